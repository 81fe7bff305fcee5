// Finds others, says who it found and what they say. Argument: options as a JSON object.
'use strict';

const caster = require('caster');

const options = JSON.parse(process.argv[2] || '{}');
const node = caster.createNode({ meta: { lang: 'node.js' }, self: false, ...options });

function show(word, remote, what) {
  console.log(word.padEnd(7), remote.id, JSON.stringify(what));
}

node.on('up', (remote) => show('up', remote, remote.meta));
node.on('update', (remote) => show('update', remote, remote.meta));
node.on('down', (remote, reason) => show('down', remote, reason));
node.on('message', (message, remote) => show('message', remote, message));
node.on('error', (err) => console.error(err.message));

const hello = () => node.send('hello from Node.js');
let timer;
node.up((err) => {
  if (err) throw err;
  hello();
  timer = setInterval(hello, 1000);
});

function leave() {
  clearInterval(timer);
  node.down(); // says goodbye; then nothing is left to do
}
process.once('SIGINT', leave).once('SIGTERM', leave);
