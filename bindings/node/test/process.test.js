// The end of processes and threads with nodes.
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const path = require('node:path');
const { test } = require('node:test');
const { PACKAGE, eventually, lan, run, upNode, watch } = require('./helper');

test('a process ends by itself when its nodes are down and its casters closed', async (t) => {
  const child = run(t, `
    const node = caster.createNode(options);
    const server = caster.create(options);
    server.bind(() => node.up(() => setTimeout(() => {
      node.down(() => server.close(() => console.log('closed')));
    }, 200)));`);
  await child.ended();
  assert.deepEqual([child.code, child.signal, child.out, child.err], [0, null, 'closed\n', '']);
});

test('a process stays alive while a node is up', async (t) => {
  const child = run(t, `caster.createNode(options).up(() => console.log('up'));`);
  await eventually(() => child.out);
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(child.code, undefined);
});

test('a node that was never up keeps nothing alive', async (t) => {
  const child = run(t, 'caster.createNode(options); caster.create(options);');
  await child.ended();
  assert.equal(child.code, 0);
});

test('process.exit with a live node neither hangs nor crashes', async (t) => {
  for (let round = 0; round < 5; round += 1) {
    const child = run(t, `
      const node = caster.createNode({ ...options, heartbeat: 10 });
      node.up(() => {
        setInterval(() => node.send('x'), 1);
        setTimeout(() => process.exit(7), 100);
      });`);
    await child.ended();
    assert.deepEqual([child.code, child.signal, child.err], [7, null, '']);
  }
});

test('an exception in a listener ends the process as in any program', async (t) => {
  const child = run(t, `
    const node = caster.createNode(options);
    node.on('up', () => { throw new Error('mine'); });
    node.up();`);
  await child.ended();
  assert.deepEqual([child.code, child.signal], [1, null]);
  assert.match(child.err, /Error: mine/);
});

test('a node goes on after an exception in a listener that the process catches', async (t) => {
  const child = run(t, `
    const node = caster.createNode(options);
    const heard = [];
    process.on('uncaughtException', ({ message }) => {
      heard.push(message);
      if (heard.length === 3) {
        node.down(() => console.log(heard.join()));
      }
    });
    node.on('message', (message) => { throw new Error(message); });
    node.on('message', () => console.log('never: the listener before has thrown'));
    node.up(() => ['a', 'b', 'c'].forEach((message) => node.send(message)));`);
  await child.ended();
  assert.deepEqual([child.code, child.out, child.err], [0, 'a,b,c\n', '']);
});

test('process.exit in a listener and in an exit handler', async (t) => {
  const child = run(t, `
    const node = caster.createNode({ ...options, heartbeat: 10 });
    node.on('message', () => process.exit(3));
    process.on('exit', () => { node.send('late'); node.down(); });
    node.up(() => { for (let n = 0; n < 1000; n++) node.send(n); });`);
  await child.ended();
  assert.deepEqual([child.code, child.signal, child.err], [3, null, '']);
});

test('an error without a listener ends the process, one with a callback does not', async (t) => {
  const child = run(t, `
    const node = caster.createNode(options);
    node.send('x', (error) => { console.log(error.code); node.send('x'); });`);
  await child.ended();
  assert.equal(child.out, 'NOT_UP\n');
  assert.equal(child.code, 1);
  assert.match(child.err, /Node is not up/);
});

test('a foreign secret does not end a process that does not listen', async (t) => {
  const network = lan();
  const stranger = await upNode(t, { ...network, heartbeat: 50, hashSecret: 'another' });
  const child = run(t, `
    const node = caster.createNode(options);
    node.caster.use({ name: 'own', rx: (message, remote, next) => next(null, message) });
    node.up(() => setInterval(() => {
      if (node.stats().dropped.hash > 2) {
        node.down(() => process.exit(0));
      }
    }, 20));`, network);
  await child.ended();
  assert.equal(child.code, 0);
  assert.match(child.err, /CASTER_HINT.* 127\.0\.0\.1 is on this port and cannot be understood/);
  assert.ok(stranger.stats().sent > 2);
});

test('the example discovers a peer and leaves', async (t) => {
  const network = lan();
  const observer = await upNode(t, { ...network, id: 'observer', meta: { a: 1 }, self: false });
  const modules = path.join(__dirname, 'fixtures');
  const example = path.join(PACKAGE, '../../examples/hello.js');
  const child = watch(t, spawn(process.execPath, [example, JSON.stringify(network)], {
    env: { ...process.env, NODE_PATH: modules },
  }));
  await eventually(() => /up +observer \{"a":1\}/.test(child.out), 'up');
  const [, message, remote] = await eventually(() => observer.heard('message')[0]);
  assert.equal(message, 'hello from Node.js');
  assert.deepEqual(remote.meta, { lang: 'node.js' });
  observer.send({ x: 'é' });
  await eventually(() => /message observer \{"x":"é"\}/.test(child.out), 'message');
  child.child.kill('SIGTERM');
  await child.ended();
  assert.deepEqual([child.code, child.err], [0, '']);
  const [, , reason] = await eventually(() => observer.heard('down')[0]);
  assert.equal(reason, 'goodbye');
});

test('nodes that were up leave no memory, although the collector was not called', async (t) => {
  const LIVES = Number(process.env.CASTER_LIVES ?? 600);
  const child = run(t, `
    const memory = [];
    (async () => {
      for (let n = 1; n <= ${LIVES}; n += 1) {
        const node = caster.createNode({ ...options, id: 'again' });
        node.on('message', () => node.nodes); // a cycle
        await node.up();
        await node.down();
        if (n % (${LIVES} / 3) === 0) memory.push(Math.round(process.memoryUsage.rss() / 2 ** 20));
      }
      console.log(JSON.stringify(memory));
    })();`, { ...lan(), self: false });
  await child.ended(60_000 + LIVES * 100);
  const [third, , last] = JSON.parse(child.out);
  t.diagnostic(`${LIVES} lives: ${third} MiB after a third, ${last} MiB at the end`);
  assert.ok(last - third < 16, `${third} MiB after a third, ${last} MiB at the end`);
});
