// The differences from caster 0.1.1 in docs/compatibility.md that no other test covers.
'use strict';

const assert = require('node:assert/strict');
const dgram = require('node:dgram');
const { test } = require('node:test');
const caster = require('..');
const { boundCaster, call, eventually, lan, run, upNode } = require('./helper');

const QUICK = { heartbeat: 100, timeout: 300 };
const { json, hash } = caster.middleware;

/** The first datagram that a node with these options sends. */
async function firstDatagram(t, options) {
  const network = lan();
  const tap = await boundCaster(t, network);
  await upNode(t, { ...network, id: 'a', ...options });
  const [[datagram]] = await eventually(() => tap.log.length > 0 && tap.log);
  return datagram;
}

test('hash has the meaning of the README of 0.1.1, and with compat that of its code', async (t) => {
  const isPlain = async (options) => (await firstDatagram(t, options))[0] === '{'.charCodeAt(0);
  assert.equal(await isPlain({}), false);
  assert.equal(await isPlain({ hash: true }), false);
  assert.equal(await isPlain({ hash: false }), true);
  const compat = '0.1.1';
  assert.equal(await isPlain({ compat }), false);
  assert.equal(await isPlain({ compat, hash: true }), true);
  assert.equal(await isPlain({ compat, hash: false }), false);
});

test('compat sends nothing that 0.1.1 did not send', async (t) => {
  const datagram = await firstDatagram(t, { compat: '0.1.1', hash: true, meta: 1 });
  assert.equal(datagram.toString(), '{"id":"a","meta":1}');
});

test('JSON is sent as ASCII, or as UTF-8 with rawUtf8', async (t) => {
  const meta = 'é€😀\ud800';
  const text = (datagram) => datagram.toString('latin1');
  const plain = text(await firstDatagram(t, { hash: false, meta }));
  assert.match(plain, /^[\x20-\x7e]*$/);
  assert.ok(plain.includes('"meta":"\\u00e9\\u20ac\\ud83d\\ude00\\ud800"'), plain);
  const raw = await firstDatagram(t, { hash: false, meta: 'é', rawUtf8: true });
  assert.ok(raw.includes('"meta":"é"'));
});

test('digests of both eras are accepted', async (t) => {
  const network = { ...lan(), ...QUICK, hashSecret: 'clé', self: false };
  const own = await upNode(t, network);
  for (const hashEra of ['binary', 'utf8', 'auto']) {
    await upNode(t, { ...network, id: hashEra, hashEra, meta: 'é', rawUtf8: true });
  }
  await eventually(() => Object.keys(own.nodes).length === 3);
  assert.equal(own.stats().dropped.hash, 0);
});

test('a peer with a heartbeat interval beyond the timeout does not flap', async (t) => {
  const network = { ...lan(), self: false };
  const own = await upNode(t, { ...network, ...QUICK });
  await upNode(t, { ...network, id: 'slow', heartbeat: 700, timeout: 2000 });
  const { lastSeen } = await eventually(() => own.nodes.slow);
  await eventually(() => own.nodes.slow?.lastSeen > lastSeen + 2000);
  assert.equal(own.heard('down').length, 0);
});

test('a leave from another address has no effect, and the node in whose name it is contradicts it', async (t) => {
  const network = { ...lan(), ...QUICK, self: false };
  const own = await upNode(t, { ...network, id: 'own' });
  const other = await upNode(t, { ...network, id: 'other', heartbeat: 60_000, timeout: 120_000 });
  const { lastSeen } = await eventually(() => own.nodes.other);
  const socket = dgram.createSocket('udp4');
  await new Promise((resolve) => socket.bind(0, '127.0.0.2', resolve));
  t.after(() => socket.close());
  socket.setMulticastInterface('127.0.0.1');
  let forged;
  hash().tx(Buffer.from('{"id":"other","suicide":true}'), (error, wire) => { forged = wire; });
  await new Promise((resolve) => setTimeout(resolve, 20)); // lastSeen is in milliseconds
  await call(socket, 'send', forged, network.port, network.multicast);
  await eventually(() => own.nodes.other?.lastSeen > lastSeen, 'the contradiction');
  assert.equal(own.heard('down').length, 0);
  assert.equal(other.heard('down').length, 0);
});

test('a leave with a message is one datagram, and the message is lost', async (t) => {
  const network = { ...lan(), self: false };
  const own = await upNode(t, network);
  const server = await boundCaster(t, network, json(), hash());
  await call(server, 'send', { id: 'x' });
  await eventually(() => own.nodes.x);
  await call(server, 'send', { id: 'x', suicide: true, message: 'last words' });
  await eventually(() => own.heard('down').length);
  await call(server, 'send', { id: 'x', suicide: true, message: 'too late' });
  await eventually(() => own.stats().dropped.unknownGoodbye);
  assert.equal(own.heard('message').length, 0);
  assert.equal(own.heard('up').length, 1);
});

test('the first heartbeat is sent at once, or with announce: false after one interval', async (t) => {
  const network = { ...lan(), heartbeat: 400, self: false };
  const tap = await boundCaster(t, network, hash(), json());
  const start = Date.now();
  await upNode(t, { ...network, announce: false });
  await eventually(() => tap.log.length);
  assert.ok(Date.now() - start >= 350);
  await upNode(t, { ...network, heartbeat: 60_000, timeout: 120_000 });
  await eventually(() => tap.log.length > 1);
});

test('address and loopback of a node have effect', async () => {
  const node = caster.createNode({ ...lan(), loopback: false });
  assert.deepEqual([node.caster.address, node.caster.loopback], ['127.0.0.1', false]);
});

test('the error of a port in use names the cause: an original does not share it', async (t) => {
  const holder = dgram.createSocket('udp4');
  await new Promise((resolve) => holder.bind(0, '0.0.0.0', resolve));
  t.after(() => holder.close());
  const node = caster.createNode({ ...lan(), port: holder.address().port });
  await assert.rejects(node.up(), { code: 'EADDRINUSE', message: /original caster/ });
});

test('each unsafe option of 0.1.1 is one warning of the process', async (t) => {
  const codes = async (source) => {
    const child = run(t, source);
    await child.ended();
    assert.equal(child.code, 0, child.err);
    return [...child.err.matchAll(/\[(CASTER_\w+)\]/g)].map(([, code]) => code);
  };
  const twice = (options) => `[1, 2].forEach(() => caster.createNode(${JSON.stringify(options)}));`;
  assert.deepEqual(await codes(twice({})), []);
  assert.deepEqual(await codes(twice({ crypto: true })), ['CASTER_CRYPTO']);
  assert.deepEqual(await codes(twice({ crypto: false, hash: null })), []);
  assert.deepEqual(await codes(twice({ hash: true })), ['CASTER_HASH_MEANING']);
  assert.deepEqual(await codes(twice({ hash: false })), ['CASTER_HASH_MEANING']);
  assert.deepEqual(await codes(twice({ hash: false, compat: null })), []);
  assert.deepEqual(await codes(twice({ hash: true, compat: '0.1.1' })), ['CASTER_HASH_INVERTED']);
  assert.deepEqual(await codes(twice({ compat: '0.1.1' })), []);
  assert.deepEqual(await codes(twice({ heartbeet: 1 })), ['CASTER_UNKNOWN_OPTION']);
  const middleware = 'caster.middleware.crypto(); caster.middleware.crypto({ key: "k" });';
  assert.deepEqual(await codes(middleware), ['CASTER_CRYPTO']);
});
