// At a high rate of events the event loop receives by itself.
'use strict';

const assert = require('node:assert/strict');
const { AsyncLocalStorage } = require('node:async_hooks');
const fs = require('node:fs');
const { test } = require('node:test');
const { boundCaster, call, eventually, lan, run, upNode } = require('./helper');

/** Sends `count` messages, each after the one before has returned. */
function pingPong(server, count) {
  return new Promise((resolve, reject) => {
    const listen = (message) => {
      const n = message.readUInt32LE();
      if (n === count) {
        server.off('message', listen);
        resolve();
      } else {
        next(n + 1);
      }
    };
    const next = (n) => {
      const message = Buffer.alloc(64);
      message.writeUInt32LE(n);
      server.send(message, (error) => error && reject(error));
    };
    server.on('message', listen);
    next(1);
  });
}

/** Number of times that threads of caster in this process have slept. */
function sleeps() {
  return fs.readdirSync('/proc/self/task').reduce((sum, task) => {
    const status = fs.readFileSync(`/proc/self/task/${task}/status`, 'utf8');
    const [, count] = /^Name:\s+caster[^]*^voluntary_ctxt_switches:\s+(\d+)/m.exec(status) ?? [];
    return sum + Number(count ?? 0);
  }, 0);
}

test('the thread of the core sleeps while messages are exchanged', async (t) => {
  const server = await boundCaster(t, lan());
  const before = sleeps();
  await pingPong(server, 20_000);
  assert.ok(sleeps() - before < 10_000, `it slept ${sleeps() - before} times`);
});

test('messages at a low rate arrive, and so do those after a pause', async (t) => {
  const server = await boundCaster(t, lan());
  for (let round = 0; round < 3; round += 1) {
    await pingPong(server, 300);
    await new Promise((resolve) => setTimeout(resolve, 30));
    await pingPong(server, 1);
  }
});

test('heartbeats go on while the event loop is busy after it has received', async (t) => {
  const network = { ...lan(), heartbeat: 50, timeout: 400 };
  const child = run(t, `
    const node = caster.createNode({ ...options, id: 'busy' });
    let left = 500;
    node.on('message', () => {
      left -= 1;
      if (left > 0) {
        node.send('again');
      } else {
        const end = Date.now() + 2000;
        while (Date.now() < end);
        node.down(() => console.log('down'));
      }
    });
    node.up(() => node.send('first'));`, network);
  const observer = await upNode(t, { ...network, id: 'observer', self: false });
  await child.ended();
  assert.equal(child.out, 'down\n');
  const downs = await eventually(() => observer.heard('down').length > 0 && observer.heard('down'));
  assert.deepEqual(downs.map(([, { id }, reason]) => [id, reason]), [['busy', 'goodbye']]);
});

test('a caster can be closed and bound again in a listener that such an event loop has called', async (t) => {
  const options = lan();
  const server = await boundCaster(t, options);
  for (let round = 0; round < 20; round += 1) {
    await pingPong(server, 50);
    await new Promise((resolve, reject) => {
      server.once('message', () => {
        server.close();
        call(server, 'bind').then(resolve, reject);
      });
      server.send(Buffer.alloc(4), () => {});
    });
  }
  await pingPong(server, 50);
});

test('two casters of one network receive all messages, and one does after the other has closed', async (t) => {
  const options = lan();
  const server = await boundCaster(t, options);
  await pingPong(server, 100);
  const other = await boundCaster(t, options);
  await pingPong(server, 100);
  await eventually(() => other.log.length === 100);
  await call(other, 'close');
  await pingPong(server, 100);
});

test('the first and the last message have the same asynchronous context, and ticks run between them', async (t) => {
  const storage = new AsyncLocalStorage();
  const server = await storage.run('context', () => boundCaster(t, lan()));
  const stores = new Set(); // Node.js 24 and newer keep none for addons
  let ticks = 0;
  let heard = 0;
  server.on('message', () => {
    stores.add(storage.getStore());
    assert.equal(ticks, 2 * heard);
    heard += 1;
    process.nextTick(() => { ticks += 1; });
    queueMicrotask(() => { ticks += 1; });
  });
  await storage.run('context', () => pingPong(server, 500));
  assert.deepEqual([heard, stores.size], [500, 1]);
});

test('an exception in a listener that such an event loop has called is uncaught', async (t) => {
  const child = run(t, `
    const server = caster.create(options);
    const COUNT = 500;
    let heard = 0;
    let caught = 0;
    process.on('uncaughtException', ({ message }) => {
      caught += message === 'mine';
      process.nextTick(() => {
        if (caught === COUNT) {
          server.close(() => console.log(heard));
        } else {
          server.send(Buffer.alloc(1), () => {});
        }
      });
    });
    server.on('message', () => { heard += 1; throw new Error('mine'); });
    server.bind(() => server.send(Buffer.alloc(1), () => {}));`);
  await child.ended();
  assert.deepEqual([child.code, child.out, child.err], [0, '500\n', '']);
});

test('watching the socket does not keep the process alive', async (t) => {
  const child = run(t, `
    const server = caster.create(options);
    let left = 500;
    server.on('message', () => {
      left -= 1;
      if (left > 0) {
        server.send(Buffer.alloc(1), () => {});
      } else {
        server.unref();
        console.log('done');
      }
    });
    server.bind(() => server.send(Buffer.alloc(1), () => {}));`);
  await child.ended();
  assert.deepEqual([child.code, child.out, child.err], [0, 'done\n', '']);
});

test('a worker is terminated while its event loop receives', async (t) => {
  const child = run(t, `
    const { Worker } = require('node:worker_threads');
    const source = \`
      const { parentPort, workerData } = require('node:worker_threads');
      const caster = require(workerData.package);
      const server = caster.create(workerData.options);
      let heard = 0;
      server.on('message', () => {
        heard += 1;
        if (heard === 100) {
          parentPort.postMessage('running');
        }
        server.send(Buffer.alloc(1), () => {});
      });
      server.bind(() => server.send(Buffer.alloc(1), () => {}));\`;
    const round = (left) => {
      const workerData = { package: ${JSON.stringify(require('./helper').PACKAGE)},
        options: { ...options, port: options.port + left } };
      const worker = new Worker(source, { eval: true, workerData });
      worker.once('message', async () => {
        await worker.terminate();
        if (left > 0) {
          round(left - 1);
        } else {
          console.log('ended');
        }
      });
    };
    round(30);`);
  await child.ended(30_000); // 31 threads start one after the other
  assert.deepEqual([child.code, child.signal, child.out, child.err], [0, null, 'ended\n', '']);
});
