// Networks in memory.
'use strict';

const assert = require('node:assert/strict');
const runner = require('node:test');
const { middleware } = require('..');
const { NativeNetwork, NativeNode } = require('../lib/binding');
const { VirtualNetwork, networkPerTest } = require('../testing');
const { run } = require('./helper');

const { test } = runner;

/** Two nodes that are up and know each other. */
async function pair(network, more) {
  const a = network.node({ id: 'a', self: false, ...more });
  const b = network.node({ id: 'b', self: false, meta: { type: 'db' }, ...more });
  await a.up();
  await b.up();
  await network.advance(100);
  return { a, b };
}

test('nodes discover each other, exchange messages and detect a crash without real time passing', async () => {
  const began = Date.now();
  const network = new VirtualNetwork(7);
  const { a, b } = await pair(network);
  assert.deepEqual(Object.keys(a.nodes), ['b']);
  assert.equal(b.nodes.a.meta, null);
  assert.match(a.nodes.b.address, /^10\./);

  const heard = [];
  b.on('message', (message, remote) => heard.push([message, remote.id, network.now]));
  await a.send({ hello: 1 });
  assert.deepEqual(heard, []);
  const before = network.now;
  await network.advance(5);
  assert.equal(network.now, before + 5);
  assert.equal(heard.length, 1);
  assert.deepEqual(heard[0].slice(0, 2), [{ hello: 1 }, 'a']);
  assert.ok(heard[0][2] > before && heard[0][2] < before + 1);

  const downs = [];
  a.on('down', (remote, reason) => downs.push([remote.id, reason]));
  network.unplug('b');
  await network.advance(60_000);
  assert.deepEqual(downs, [['b', 'timeout']]);
  network.plug('b');
  await network.advance(5_000);
  assert.deepEqual(Object.keys(a.nodes), ['b']);
  await b.down();
  await network.advance(1);
  assert.deepEqual(downs[1], ['b', 'goodbye']);
  assert.ok(Date.now() - began < 30_000);
});

test('the clock stops at every event, so that answers are sent at once', async () => {
  const network = new VirtualNetwork();
  const { a, b } = await pair(network);
  const came = [];
  const answer = (node) => async (count) => {
    came.push(network.now);
    await null;
    if (count < 5) {
      node.send(count + 1);
    }
  };
  a.on('message', answer(a));
  b.on('message', answer(b));
  const began = network.now;
  await a.send(0);
  await network.advance(2);
  const after = came.map((time) => Math.round((time - began) * 10) / 10);
  assert.deepEqual(after, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]);
});

test('the same seed gives the same trace', async () => {
  const trace = async (seed) => {
    const network = new VirtualNetwork(seed);
    network.setLoss(0.3);
    network.setDelay(20);
    network.setDuplicates(0.1);
    const log = [];
    for (const id of ['a', 'b', 'c']) {
      const node = network.node({ id, self: false });
      for (const name of ['up', 'down', 'message']) {
        node.on(name, (what) => log.push([network.now, id, name, what.id ?? what]));
      }
      await node.up();
      await node.send(`from ${id}`);
    }
    await network.advance(10_000);
    return log;
  };
  const first = await trace(3);
  assert.ok(first.length > 4);
  assert.deepEqual(await trace(3), first);
  assert.notDeepEqual(await trace(4), first);
});

test('waitFor resolves while the clock advances', async () => {
  const network = new VirtualNetwork();
  const a = network.node({ id: 'a', self: false });
  const b = network.node({ id: 'b' });
  await a.up();
  const up = a.waitFor((event) => event.type === 'up');
  await b.up();
  await network.advance(100);
  assert.equal((await up).node.id, 'b');
});

test('casters and chains that JavaScript runs work on a network in memory', async () => {
  const network = new VirtualNetwork();
  const casters = [0, 1].map(() => {
    const caster = network.caster({ port: 5000 });
    caster.use(middleware.json(), {
      name: 'mine',
      tx: (message, next) => setImmediate(next, null, message),
      rx: (message, remote, next) => next(null, message),
    });
    return caster;
  });
  await Promise.all(casters.map((caster) => caster.bind()));
  const heard = [];
  casters[1].on('message', (message, remote) => heard.push([message, remote.address]));
  await casters[0].send({ n: 1 });
  assert.equal(await casters[0].sendBatch([{ n: 2 }, { n: 3 }]), 2 * '{"n":2}'.length);
  await network.advance(1);
  assert.deepEqual(heard.map(([message]) => message), [{ n: 1 }, { n: 2 }, { n: 3 }]);
  assert.match(heard[0][1], /^10\./);
  await Promise.all(casters.map((caster) => caster.close()));

  const { a, b } = await pair(network, { port: 6000 });
  b.caster.use({ name: 'plain', rx: (message, remote, next) => next(null, message) });
  b.on('message', (message) => heard.push(message));
  await a.sendBatch(['x', 'y']);
  await network.advance(1);
  assert.deepEqual(heard.slice(3), ['x', 'y']);
});

test('an exception of a listener rejects the advance, and the next advance goes on', async () => {
  const network = new VirtualNetwork();
  const { a, b } = await pair(network);
  b.once('message', () => {
    throw new Error('thrown');
  });
  await a.send(1);
  await assert.rejects(network.advance(10), /thrown/);
  const next = b.waitFor((event) => event.type === 'message');
  await a.send(2);
  await Promise.all([network.advance(10), network.advance(10)]);
  assert.equal((await next).message, 2);
});

test('heartbeats of known peers do not cross into JavaScript', () => {
  const native = new NativeNetwork(1);
  const nodes = ['a', 'b'].map((id) => new NativeNode(JSON.stringify({ id, self: false }), native));
  nodes.forEach((node) => node.open(() => {}));
  const told = [];
  while (native.now < 1000) {
    for (const number of native.advance(1000)) {
      told.push(...JSON.parse(nodes[number].drain(10)).map(({ type, node }) => `${type} ${node?.id}`));
    }
  }
  const settled = 'settled undefined';
  assert.deepEqual(told.sort(), [settled, settled, 'up a', 'up b']);
  const received = () => JSON.parse(nodes[0].stats()).received;
  const before = received();
  assert.deepEqual(native.advance(101_000), []);
  assert.ok(received() - before >= 99);
});

test('misuse is an error', async () => {
  const network = new VirtualNetwork();
  await assert.rejects(network.advance(-1), /ms: -1 is not accepted; give milliseconds from 0/);
  await assert.rejects(network.advance('5'), RangeError);
  assert.throws(() => network.setLoss(2), /share: 2 is not accepted; give a number from 0 to 1/);
  assert.throws(() => new VirtualNetwork(0.5), /seed/);
  assert.throws(() => network.unplug('nobody'), /no node with the id nobody/);
  assert.throws(() => network.node({ port: -1 }), /port/);
  const { a } = await pair(network); // the numbers are right after a node that could not be created
  assert.deepEqual(Object.keys(a.nodes), ['b']);
});

test('the process ends although a node is up', async (t) => {
  const program = run(t, `
    const { VirtualNetwork } = require(${JSON.stringify(require.resolve('../testing'))});
    const network = new VirtualNetwork();
    network.node({ id: 'x' }).up(() => console.log('up'));`);
  await program.ended();
  assert.deepEqual([program.code, program.out], [0, 'up\n']);
});

test('a network closes its nodes and casters', async () => {
  const network = new VirtualNetwork();
  const { a, b } = await pair(network);
  const caster = network.caster();
  await caster.bind();
  await b.down();
  const ended = caster.events().next();
  await network.close();
  assert.deepEqual((await ended).done, true);
  await assert.rejects(a.send(1), { code: 'NOT_UP' });
  await network.close();
  await a.up();
});

test('networkPerTest wants the functions of a test runner', () => {
  for (const wrong of [undefined, null, {}, { beforeEach() {} }, { beforeEach() {}, afterEach: 5 }]) {
    assert.throws(() => networkPerTest(wrong), /takes the functions beforeEach and afterEach/);
  }
  const none = networkPerTest({ beforeEach() {}, afterEach() {} });
  assert.throws(none, /no test runs/);
});

runner.describe('networkPerTest', { concurrency: 1 }, () => {
  const network = networkPerTest(runner, 7);
  let earlier;

  test('gives a network to a test', async () => {
    const { a, b } = await pair(network());
    earlier = { a, network: network() };
    assert.deepEqual(Object.keys(b.nodes), ['a']);
  });

  test('and another one to the next, when all nodes of the first are closed', async () => {
    assert.notEqual(network(), earlier.network);
    assert.equal(network().now, 0);
    await assert.rejects(earlier.a.send(1), { code: 'NOT_UP' });
  });
});
