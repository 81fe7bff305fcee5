// Several JavaScript environments in one process.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { Worker } = require('node:worker_threads');
const { PACKAGE, eventually, lan, upNode } = require('./helper');

/** A worker that runs a program; `caster`, `options` and `parentPort` are there. */
function work(source, options) {
  const head = `const { parentPort, workerData } = require('node:worker_threads');
    const caster = require(workerData.package);
    const { options } = workerData;`;
  const workerData = { package: PACKAGE, options };
  const worker = new Worker(`${head}\n${source}`, { eval: true, workerData });
  worker.said = [];
  worker.on('message', (message) => worker.said.push(message));
  worker.failures = [];
  worker.on('error', (error) => worker.failures.push(error));
  return worker;
}

/** Threads of this process that belong to caster. */
function threads() {
  const names = fs.readdirSync('/proc/self/task').map((task) => {
    try {
      return fs.readFileSync(`/proc/self/task/${task}/comm`, 'utf8');
    } catch {
      return ''; // it has ended in the meantime
    }
  });
  return names.filter((name) => name.startsWith('caster')).length;
}

test('a worker with live nodes can be terminated, 200 times', async () => {
  const source = `
    const node = caster.createNode({ ...options, heartbeat: 10, timeout: 100 });
    const server = caster.create({ ...options, port: options.port + 1 });
    node.on('message', () => {});
    server.bind();
    node.up(() => {
      parentPort.postMessage('up');
      setInterval(() => { for (let n = 0; n < 50; n++) node.send(n); }, 1);
    });`;
  const before = threads();
  const ROUNDS = 50;
  const AT_ONCE = 4;
  for (let round = 0; round < ROUNDS; round += 1) {
    const options = lan(); // they flood each other
    const workers = Array.from({ length: AT_ONCE }, () => work(source, options));
    await eventually(() => workers.every(({ said }) => said.length > 0), 'all workers are up');
    if (round % 2) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await Promise.all(workers.map((worker) => worker.terminate()));
    assert.deepEqual(workers.flatMap(({ failures }) => failures), []);
  }
  await eventually(() => threads() === before, 'the threads of terminated workers end');
});

test('nodes of several environments find each other and leave by themselves', async (t) => {
  const network = { ...lan(), heartbeat: 100, timeout: 300, self: false };
  const own = await upNode(t, { ...network, id: 'main' });
  const source = `
    const node = caster.createNode({ ...options, id: 'worker' + workerData.options.number });
    node.on('message', async (message) => {
      if (message === 'leave') {
        parentPort.postMessage(Object.keys(node.nodes).sort());
        await node.down();
      }
    });
    (async () => {
      await node.up();
      for (const id of options.others) {
        await node.waitFor(({ type, node }) => type === 'up' && node.id === id);
      }
      await node.send('complete');
    })();`;
  const ids = ['main', 'worker0', 'worker1', 'worker2'];
  const workers = [0, 1, 2].map((number) =>
    work(source.replaceAll('workerData.options.number', number), {
      ...network,
      others: ids.filter((id) => id !== `worker${number}`),
    }),
  );
  const ended = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)));
  await eventually(() => own.heard('message').length === 3);
  await own.send('leave');
  assert.deepEqual(await Promise.all(ended), [0, 0, 0]);
  assert.deepEqual(workers.map(({ failures }) => failures.length), [0, 0, 0]);
  assert.deepEqual(workers[0].said, [['main', 'worker1', 'worker2']]);
  await eventually(() => own.heard('down').length === 3);
  assert.ok(own.heard('down').every(([, , reason]) => reason === 'goodbye'));
});

test('an exception in a worker ends the worker only', async (t) => {
  const network = { ...lan(), self: false };
  const own = await upNode(t, network);
  const worker = work(`
    const node = caster.createNode({ ...options, id: 'thrower' });
    node.on('message', () => { throw new Error('mine'); });
    node.up();`, network);
  await eventually(() => own.nodes.thrower);
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  await own.send('x');
  assert.equal(await ended, 1);
  assert.equal(worker.failures[0].message, 'mine');
  const [, { id }, reason] = await eventually(() => own.heard('down')[0]);
  assert.deepEqual([id, reason], ['thrower', 'goodbye'], 'the native half says it');
});
