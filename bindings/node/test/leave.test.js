// Leaving: the core repeats the message while the event loop goes on.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const caster = require('..');
const { VirtualNetwork } = require('../testing');
const { boundCaster, call, eventually, lan, upNode } = require('./helper');

const { json, hash } = caster.middleware;
const isLeave = ([message]) => message.suicide === true;

/** A caster that receives the datagrams of a network. */
const tap = (t, network) => boundCaster(t, network, json(), hash());

test('down sends the leave three times and does not block the event loop', async (t) => {
  const network = { ...lan(), self: false };
  const heard = await tap(t, network);
  const node = caster.createNode(network);
  await node.up();
  let done = false;
  const left = node.down().then(() => { done = true; });
  for (let tick = 0; tick < 20; tick += 1) {
    await null;
  }
  assert.equal(done, false, 'the event loop has not turned yet');
  await left;
  await eventually(() => heard.log.filter(isLeave).length === 3);
});

test('a chain that JavaScript runs gets every repetition of the leave', async (t) => {
  const network = { ...lan(), self: false };
  const heard = await tap(t, network);
  for (const later of [(go) => go(), setImmediate]) {
    heard.log.length = 0;
    const node = caster.createNode(network);
    node.caster.use({ name: 'own', tx: (message, next) => later(() => next(null, message)) });
    await node.up();
    await node.down();
    await eventually(() => heard.log.filter(isLeave).length === 3);
  }
});

test('a node that leaves is not up, and can be started again at once', async (t) => {
  const network = { ...lan(), self: false };
  const observer = await upNode(t, network);
  const node = caster.createNode({ ...network, id: 'a' });
  await node.up();
  await eventually(() => observer.nodes.a);
  const left = node.down();
  await assert.rejects(node.down(), { code: 'NOT_UP' });
  await assert.rejects(node.send('x'), { code: 'NOT_UP' });
  const again = node.up();
  await Promise.all([left, again]);
  await eventually(() => observer.heard('up').length === 2);
  assert.deepEqual(observer.heard('down').map(([, , reason]) => reason), ['goodbye']);
  await call(node, 'down');
});

test('middleware that never answers delays the end of a leave by about a second', async () => {
  const node = caster.createNode({ ...lan(), self: false });
  let stuck = false;
  node.caster.use({ name: 'stuck', tx: (message, next) => stuck || next(null, message) });
  await node.up();
  stuck = true;
  const start = Date.now();
  await node.down();
  const took = Date.now() - start;
  assert.ok(took > 900 && took < 8000, `${took} ms`);
});

test('on a network in memory a leave takes no time', async () => {
  const network = new VirtualNetwork(1);
  const a = network.node({ id: 'a', self: false });
  const b = network.node({ id: 'b', self: false });
  b.caster.use({ name: 'late', tx: (message, next) => setImmediate(next, null, message) });
  await a.up();
  await b.up();
  await network.advance(100);
  const before = network.now;
  await b.down();
  assert.equal(network.now, before);
  await network.advance(1);
  assert.deepEqual(Object.keys(a.nodes), []);
});
