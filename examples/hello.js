// Finds peers, prints their events and messages. Argument: options as a JSON object.
'use strict';

const caster = require('caster');

const options = JSON.parse(process.argv[2] || '{}');
const node = caster.createNode({ meta: { lang: 'node.js' }, self: false, ...options });

node.on('up', (remote) => console.log('up', remote.id, JSON.stringify(remote.meta)));
node.on('update', (remote) => console.log('update', remote.id, JSON.stringify(remote.meta)));
node.on('down', (remote, reason) => console.log('down', remote.id, reason));
node.on('message', (message, remote) =>
  console.log('message', remote.id, JSON.stringify(message)),
);
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
  node.down(); // leaves; the process then ends
}
process.once('SIGINT', leave).once('SIGTERM', leave);
