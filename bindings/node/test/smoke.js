// One run through the whole package, for runtimes without node:test and for installed packages.
// Prints "ok" and ends by itself. Argument: the package, by default this one.
'use strict';

const assert = require('node:assert');
const { Worker } = require('node:worker_threads');
const caster = require(process.argv[2] || '..');
const { VirtualNetwork } = require(`${process.argv[2] || '..'}/testing`);

const random = (from, to) => from + Math.floor(Math.random() * (to - from));
const network = {
  address: '127.0.0.1',
  multicast: `239.${random(1, 250)}.${random(1, 250)}.1`,
  port: random(20_000, 32_000),
};
const options = { ...network, heartbeat: 100, timeout: 300, self: false };
const name = require.resolve(process.argv[2] || '..');

/** A worker that runs a program; `caster`, `options` and `parentPort` are there. */
function work(source) {
  const head = `const { parentPort, workerData } = require('node:worker_threads');
    const caster = require(workerData.name);
    const { options } = workerData;`;
  return new Worker(`${head}\n${source}`, { eval: true, workerData: { name, options } });
}

async function main() {
  const own = caster.createNode({ ...options, id: 'own' });
  const events = own.events();
  await own.up();

  // Callbacks and middleware of the program, as in 0.1.1, in another environment.
  const worker = work(`
    const node = caster.createNode({ ...options, id: 'other', meta: { n: 1 } });
    node.caster.use({
      name: 'late',
      tx: (message, next) => setImmediate(next, null, message),
      rx: (message, remote, next) => setImmediate(next, null, message),
    });
    node.on('message', (message, remote) => {
      node.send({ echo: message, from: remote.id }, (err, bytes) => {
        parentPort.postMessage([err, bytes > 20]);
        node.down();
      });
    });
    node.up();`);
  const said = new Promise((resolve) => worker.once('message', resolve));
  const { node: other } = await own.waitFor(({ type }) => type === 'up', { timeout: 10_000 });
  assert.strictEqual(other.id, 'other');
  assert.deepStrictEqual(other.meta, { n: 1 });
  await own.send('é€😀');
  assert.deepStrictEqual(await said, [null, true]);
  const heard = [];
  for await (const { type, message, reason } of events) {
    heard.push([type, message ?? reason]);
    if (type === 'down') {
      break;
    }
  }
  assert.deepStrictEqual(heard, [
    ['up', undefined],
    ['message', { echo: 'é€😀', from: 'own' }],
    ['down', 'goodbye'],
  ]);

  // The error of an unused promise is emitted, that of a used one is not.
  const emitted = new Promise((resolve) => own.once('error', resolve));
  own.up();
  assert.strictEqual((await emitted).code, 'ALREADY_UP');
  await assert.rejects(own.send(1n), TypeError);

  // Workers that are ended while their nodes are up.
  for (let round = 0; round < 10; round += 1) {
    const victim = work(`
      const node = caster.createNode({ ...options, heartbeat: 10 });
      node.up(() => {
        parentPort.postMessage('up');
        setInterval(() => node.send('x'), 1);
      });`);
    await new Promise((resolve) => victim.once('message', resolve));
    await victim.terminate();
  }

  const server = caster.create({ ...network, port: network.port + 1 });
  server.use(caster.middleware.json(), caster.middleware.hash({ secret: 's' }));
  const received = new Promise((resolve) => server.once('message', (message) => resolve(message)));
  await server.bind();
  await server.send({ x: [1, 'ü'] });
  assert.deepStrictEqual(await received, { x: [1, 'ü'] });
  const many = [];
  server.on('message', (message) => many.push(message));
  assert.ok((await server.sendBatch([1, 'two', [3]])) > 3 * 20);
  while (many.length < 3) {
    await new Promise((resolve) => server.once('message', resolve));
  }
  assert.deepStrictEqual(many, [1, 'two', [3]]);
  await server.close();
  await own.down();

  const virtual = new VirtualNetwork(1);
  const [a, b] = ['a', 'b'].map((id) => virtual.node({ id, meta: { id }, self: false }));
  await a.up();
  await b.up();
  await virtual.advance(1000);
  assert.strictEqual(a.find('id', 'b')[0].id, 'b');
  virtual.unplug('b');
  await virtual.advance(60_000);
  assert.deepStrictEqual(a.find({ id: undefined }), []);
  assert.strictEqual(virtual.now, 61_000);
  console.log('ok');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
