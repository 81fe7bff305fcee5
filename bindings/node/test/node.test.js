'use strict';

const assert = require('node:assert/strict');
const dgram = require('node:dgram');
const fs = require('node:fs');
const { once } = require('node:events');
const { test } = require('node:test');
const caster = require('..');
const { call, eventually, lan, upNode } = require('./helper');

const QUICK = { heartbeat: 100, timeout: 300 };

test('nodes discover each other, with metadata, and leave', async (t) => {
  const network = lan();
  const a = await upNode(t, { ...network, ...QUICK, id: 'a', meta: { n: 1 }, self: false });
  const b = await upNode(t, { ...network, ...QUICK, id: 'b', meta: { n: 2 }, self: false });
  await eventually(() => a.nodes.b && b.nodes.a);
  assert.deepEqual(a.nodes.b.meta, { n: 2 });
  assert.equal(a.nodes.b.address, '127.0.0.1');
  assert.deepEqual(Object.keys(a.nodes.b), ['id', 'address', 'firstSeen', 'lastSeen', 'meta']);
  assert.ok(Math.abs(a.nodes.b.firstSeen - Date.now()) < 60_000);
  const record = a.nodes.b;
  await call(b, 'down');
  const [[, gone, reason]] = await eventually(() => a.heard('down').length && a.heard('down'));
  assert.equal(gone, record);
  assert.equal(reason, 'goodbye');
  assert.equal('b' in a.nodes, false);
  assert.equal(a.heard('up').length, 1);
});

test('a silent node is down by timeout', async (t) => {
  const network = { ...lan(), ...QUICK, self: false };
  const a = await upNode(t, network);
  const b = caster.createNode({ ...network, id: 'b' });
  let muted = false;
  b.caster.use({ name: 'mute', tx: (message, next) => muted || next(null, message) });
  await call(b, 'up');
  t.after(() => {
    muted = false;
    return call(b, 'down');
  });
  await eventually(() => a.nodes.b && b.stats().sent > 3);
  muted = true;
  const [, record, reason] = await eventually(() => a.heard('down')[0]);
  assert.deepEqual([record.id, reason], ['b', 'timeout']);
});

test('messages arrive as they were', async (t) => {
  const network = lan();
  const a = await upNode(t, { ...network, ...QUICK, id: 'a', self: false });
  const b = await upNode(t, { ...network, ...QUICK, id: 'b', self: false });
  const messages = [
    'ascii', 'é', '€', '😀', '\ud800', '\u2028', 1, -1.5, 1e21, true, [1, [2, { x: null }]],
    { 'né€😀': { deep: [{}] } }, JSON.parse('{"__proto__":{"x":1}}'),
    0, '', false, null,
  ];
  for (const message of messages) {
    const bytes = await call(a, 'send', message);
    assert.ok(bytes > 20);
  }
  await eventually(() => b.heard('message').length === messages.length);
  assert.deepStrictEqual(b.heard('message').map(([, message]) => message), messages);
  assert.ok(b.heard('message').every(([, , remote]) => remote === b.nodes.a));
});

test('undefined is sent as an envelope with the id only', async (t) => {
  const network = { ...lan(), self: false };
  const a = await upNode(t, { ...network, expose: false, id: 'a' });
  const b = await upNode(t, network);
  b.caster.on('message', (message) => b.log.push(['raw', message]));
  await call(a, 'send', undefined);
  await eventually(() => b.heard('up').length);
  const raw = b.heard('raw').map(([, message]) => message);
  assert.deepEqual(raw.filter(({ id }) => id === 'a'), [{ id: 'a' }]);
  assert.equal(b.heard('message').length, 0);
  assert.equal(b.nodes.a.meta, undefined);
});

test('assigned metadata is announced and reported by update', async (t) => {
  const network = { ...lan(), ...QUICK, self: false };
  const a = await upNode(t, { ...network, id: 'a', meta: { n: 1 } });
  const b = await upNode(t, network);
  const record = await eventually(() => b.nodes.a);
  a.meta = { n: 2 };
  assert.deepEqual(a.meta, { n: 2 });
  const [, updated, changed] = await eventually(() => b.heard('update')[0]);
  assert.equal(updated, record);
  assert.deepEqual(updated.meta, { n: 2 });
  assert.deepEqual(changed, ['meta']);
  assert.throws(() => { a.meta = 1n; }, TypeError);
  assert.deepEqual(a.meta, { n: 2 });
});

test('lastSeen is updated and the record stays the same', async (t) => {
  const network = { ...lan(), ...QUICK };
  const a = await upNode(t, { ...network, id: 'a' });
  const record = await eventually(() => a.nodes.a);
  const first = record.lastSeen;
  await eventually(() => record.lastSeen > first);
  assert.equal(a.heard('up').length, 1);
  assert.equal(JSON.parse(JSON.stringify(record)).lastSeen >= first, true);
  await call(a, 'down');
  const last = record.lastSeen;
  assert.equal(typeof last, 'number');
  assert.equal(a.nodes.a, record, 'down does not clear the table');
});

test('a node discovers itself unless self is false', async (t) => {
  const a = await upNode(t, { ...lan(), id: 'a' });
  await call(a, 'send', 'x');
  await eventually(() => a.heard('message').length);
  assert.equal(a.heard('up')[0][1].id, 'a');
});

test('names of Object.prototype are ordinary ids', async (t) => {
  const network = { ...lan(), ...QUICK, self: false };
  const a = await upNode(t, network);
  assert.equal(Object.getPrototypeOf(a.nodes), null);
  for (const id of ['hasOwnProperty', '__proto__', 'constructor']) {
    const other = await upNode(t, { ...network, id, meta: id });
    await eventually(() => Object.hasOwn(a.nodes, id));
    await call(other, 'send', id);
    await eventually(() => a.heard('message').some(([, message]) => message === id));
    await call(other, 'down');
    await eventually(() => a.heard('down').some(([, remote]) => remote.id === id));
    assert.equal(Object.hasOwn(a.nodes, id), false);
  }
});

test('garbage is counted by reason and has no other effect', async (t) => {
  const network = { ...lan(), ...QUICK, self: false };
  const a = await upNode(t, network);
  const socket = dgram.createSocket('udp4');
  await new Promise((resolve) => socket.bind(0, '127.0.0.1', resolve));
  t.after(() => socket.close());
  socket.setMulticastInterface('127.0.0.1');
  const hash = caster.middleware.hash();
  const hashed = (text) => {
    let wire;
    hash.tx(Buffer.from(text), (error, result) => { wire = result; });
    return wire;
  };
  const datagrams = [
    Buffer.from('abc'), Buffer.alloc(40), hashed('null'), hashed('[]'), hashed('{"id":0}'),
    hashed('{"id":{"toString":1}}'), hashed('not json'), hashed('['.repeat(2000) + ']'.repeat(2000)), Buffer.alloc(0),
    hashed('{"id":"x","suicide":true}'),
  ];
  for (const datagram of datagrams) {
    await call(socket, 'send', datagram, network.port, network.multicast);
  }
  await eventually(() => a.stats().received >= datagrams.length);
  const b = await upNode(t, { ...network, id: 'b' });
  await eventually(() => a.nodes.b);
  const { dropped } = a.stats();
  const expected = {
    truncated: 2, hash: 1, notAnObject: 2, noId: 1, badId: 1, notJson: 1, tooDeep: 1,
    unknownGoodbye: 1,
  };
  for (const [reason, count] of Object.entries(expected)) {
    assert.equal(dropped[reason], count, reason);
  }
  assert.equal(a.heard('error').length, 0);
  await call(b, 'send', 'still here');
  await eventually(() => a.heard('message').length);
});

test('a listener of errors on node.caster gets the error of each rejected datagram', async (t) => {
  const network = { ...lan(), ...QUICK, self: false };
  const a = await upNode(t, network);
  await upNode(t, { ...network, hashSecret: 'another' });
  await eventually(() => a.stats().dropped.hash > 0);
  const [error] = await once(a.caster, 'error');
  assert.ok(error instanceof Error);
  assert.equal(error.message, 'Hash does not match');
  assert.equal(error.code, 'HASH_MISMATCH');
});

test('errors go to the callback, or are emitted', async (t) => {
  const node = caster.createNode(lan());
  await assert.rejects(call(node, 'down'), { message: 'Node is not up' });
  await assert.rejects(call(node, 'send', 'x'), { message: 'Node is not up', code: 'NOT_UP' });
  const emitted = once(node, 'error');
  node.send('x');
  assert.equal((await emitted)[0].code, 'NOT_UP');
  await call(node, 'up');
  t.after(() => call(node, 'down'));
  await assert.rejects(call(node, 'up'), { message: 'Node already up', code: 'ALREADY_UP' });
  const again = once(node, 'error');
  node.up();
  assert.equal((await again)[0].message, 'Node already up');
  const circular = {};
  circular.circular = circular;
  await assert.rejects(call(node, 'send', circular), TypeError);
  await assert.rejects(call(node, 'send', 1n), TypeError);
  const large = { code: 'EMSGSIZE', syscall: 'send' };
  await assert.rejects(call(node, 'send', 'x'.repeat(70_000)), large);
});

test('callbacks are called later, with null and the bytes on the wire', async (t) => {
  const node = await upNode(t, lan());
  let returned = false;
  const outcome = new Promise((resolve) => {
    node.send('x', (...args) => resolve([returned, ...args]));
  });
  returned = true;
  const wire = 20 + JSON.stringify({ id: node.id, message: 'x' }).length;
  assert.deepEqual(await outcome, [true, null, wire]);
});

test('the error of a port in use has the code of the system', async (t) => {
  const holder = dgram.createSocket('udp4');
  await new Promise((resolve) => holder.bind(0, '0.0.0.0', resolve));
  t.after(() => holder.close());
  const node = caster.createNode({ ...lan(), port: holder.address().port });
  await assert.rejects(call(node, 'up'), (error) => {
    assert.ok(error.errno < 0);
    assert.equal(error.syscall, 'bind');
    return error.code === 'EADDRINUSE';
  });
});

test('options are read as by 0.1.1', () => {
  const falsy = caster.createNode({ id: 0, meta: '', heartbeat: 0, timeout: null, port: 0, ttl: '' });
  assert.match(falsy.id, /^node\d+$/);
  assert.equal(falsy.meta, null);
  assert.equal(falsy.heartbeat, 1000);
  assert.equal(falsy.timeout, 2000);
  assert.equal(falsy.port, 10101);
  assert.equal(falsy.multicast, '224.0.0.42');
  assert.equal(falsy.expose, true);
  assert.equal(caster.createNode({ expose: null }).expose, false);
  assert.equal(caster.createNode({ expose: 0 }).expose, false);
  assert.equal(caster.createNode({ expose: undefined }).expose, true);
  assert.equal(caster.createNode({ port: '10102' }).port, 10102);
  assert.equal(caster.createNode({ id: 5 }).id, '5');
  assert.equal(caster.createNode(Object.create({ id: 'inherited' })).id, 'inherited');
  assert.match(caster.createNode().id, /^node\d+$/);
  assert.match(caster.createNode(null).id, /^node\d+$/);
  const compat = caster.createNode({ compat: '0.1.1' });
  assert.deepEqual([compat.heartbeat, compat.timeout], [2000, 3000]);
});

test('options that cannot work are refused at creation', () => {
  const refused = (options, text) =>
    assert.throws(() => caster.createNode(options), (error) => {
      assert.equal(error.code, 'INVALID_OPTION');
      return text.test(error.message);
    });
  refused({ ttl: 256 }, /option ttl: 256 is not accepted; give a whole number from 1 to 255/);
  refused({ multicast: '10.0.0.1' }, /multicast/);
  refused({ id: { a: 1 } }, /option id/);
  refused({ hashAlgorithm: 'whirlpool' }, /sha256/);
  refused({ crypto: true, cryptoAlgorithm: 'des3' }, /aes-256-cbc/);
  assert.throws(() => caster.createNode('x'), TypeError);
});

test('an unknown option is one warning', async () => {
  const warnings = [];
  const listen = (warning) => warnings.push(warning);
  process.on('warning', listen);
  caster.createNode({ heartbeet: 1 });
  caster.createNode({ heartbeet: 1 });
  await eventually(() => warnings.length > 0);
  process.off('warning', listen);
  assert.deepEqual(warnings.map(({ name }) => name), ['CasterWarning']);
  assert.match(warnings[0].message, /did you mean "heartbeat"\?/);
});

test('secrets and keys may be bytes', async (t) => {
  const network = { ...lan(), ...QUICK, self: false, crypto: true };
  const secret = 'clé';
  const a = await upNode(t, {
    ...network,
    hashSecret: Buffer.from(secret),
    cryptoKey: Buffer.from(secret, 'latin1'),
  });
  await upNode(t, { ...network, id: 'b', hashSecret: secret, cryptoKey: secret });
  await eventually(() => a.nodes.b);
});

test('compat drops falsy messages', async (t) => {
  const network = lan();
  const node = await upNode(t, { ...network, compat: '0.1.1' });
  for (const message of [0, '', false, null, 'last']) {
    await call(node, 'send', message);
  }
  await eventually(() => node.heard('message').length);
  assert.deepEqual(node.heard('message').map(([, message]) => message), ['last']);
});

test('up and down again leak neither descriptors nor threads', async () => {
  const count = (what) => fs.readdirSync(`/proc/self/${what}`).length;
  const node = caster.createNode({ ...lan(), ...QUICK });
  const cycle = async () => {
    const seen = once(node, 'up');
    await call(node, 'up');
    await seen;
    await call(node, 'down');
  };
  const rest = () => new Promise((resolve) => setTimeout(resolve, 200)); // the thread ends after `down`
  await cycle();
  await rest();
  const before = [count('fd'), count('task')];
  for (let round = 0; round < 20; round += 1) {
    await cycle();
  }
  await rest();
  assert.deepEqual([count('fd'), count('task')], before);
});

test('no event is emitted after down', async (t) => {
  const network = lan();
  const node = await upNode(t, network);
  node.send('a');
  node.send('b');
  await call(node, 'down');
  const heard = node.log.length;
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(node.log.length, heard);
});

test('the other events are emitted after a listener has thrown', async (t) => {
  const node = await upNode(t, lan());
  const caught = [];
  const originals = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => caught.push(error.message));
  t.after(() => {
    process.removeAllListeners('uncaughtException');
    originals.forEach((listener) => process.on('uncaughtException', listener));
  });
  node.on('message', (message) => {
    if (message < 3) {
      throw new Error(`thrown ${message}`);
    }
  });
  for (const message of [1, 2, 3]) {
    node.send(message);
  }
  await eventually(() => node.heard('message').length === 3 && caught.length === 2);
  assert.deepEqual(caught, ['thrown 1', 'thrown 2']);
});

test('node.caster sees envelopes and sends without one', async (t) => {
  const network = { ...lan(), self: false };
  const a = await upNode(t, { ...network, id: 'a' });
  const b = await upNode(t, { ...network, id: 'b' });
  b.caster.on('message', (...args) => b.log.push(['raw', ...args]));
  const bytes = await call(a.caster, 'send', { id: 'ghost', meta: 7 });
  await eventually(() => b.nodes.ghost);
  assert.equal(b.nodes.ghost.meta, 7);
  const [, message, remote] = b.heard('raw').find(([, { id }]) => id === 'ghost');
  assert.deepEqual(message, { id: 'ghost', meta: 7 });
  assert.deepEqual(remote, { address: '127.0.0.1', family: 'IPv4', port: a.port, size: bytes });
  assert.equal(a.caster.port, a.port);
  await assert.rejects(call(a.caster, 'bind'), /node\.up/);
});

/** Inverts every byte. `later` calls its argument, which calls `next`. */
function inverse(name, later = (go) => go()) {
  const flip = (bytes) => Buffer.from(bytes.map((byte) => byte ^ 0xff));
  return {
    name,
    tx: (message, next) => later(() => next(null, flip(message))),
    rx: (message, remote, next) => later(() => next(null, flip(message))),
  };
}

for (const [how, later] of [['synchronous', undefined], ['asynchronous', setImmediate]]) {
  test(`${how} middleware of the program below a node`, async (t) => {
    const network = { ...lan(), ...QUICK, self: false };
    const nodes = [];
    for (const id of ['a', 'b']) {
      const node = caster.createNode({ ...network, id, meta: { id } });
      node.caster.use(inverse('inverse', later), inverse('second', later));
      node.caster.use({ name: 'only tx', tx: (message, next) => next(null, message) });
      node.log = [];
      node.on('message', (message, remote) => node.log.push([message, remote.id, remote.meta]));
      nodes.push(node);
      await call(node, 'up');
    }
    const [a, b] = nodes;
    t.after(() => call(b, 'down'));
    const bytes = await call(a, 'send', { x: 'é' });
    assert.ok(bytes > 20);
    await eventually(() => b.log.length);
    assert.deepEqual(b.log, [[{ x: 'é' }, 'a', { id: 'a' }]], 'a heartbeat came first');
    await eventually(() => a.nodes.b);
    assert.equal(b.stats().dropped.middleware, 0);
    a.meta = 'new';
    await once(b, 'update');
    const down = once(b, 'down');
    await call(a, 'down');
    assert.equal((await down)[1], 'goodbye');
    await call(a, 'up');
    await once(b, 'up');
    await call(a, 'down');
  });
}

test('middleware that fails below a node is reported once and counted', async (t) => {
  const network = { ...lan(), ...QUICK, self: false };
  const a = caster.createNode({ ...network, id: 'a' });
  const broken = (message, next) => next(new Error('broken'));
  a.caster.use({ name: 'broken', tx: broken });
  const errors = [];
  a.on('error', (error) => errors.push(error.message));
  await call(a, 'up');
  await assert.rejects(call(a, 'send', 'x'), /broken/);
  await eventually(() => errors.length);
  await new Promise((resolve) => setTimeout(resolve, 350));
  assert.deepEqual(errors, ['broken']);
  await assert.rejects(call(a, 'down'), /broken/);

  const b = caster.createNode({ ...network, id: 'b' });
  b.caster.use({ name: 'picky', rx: (message, remote, next) => next('no') });
  await call(b, 'up');
  t.after(() => call(b, 'down'));
  await upNode(t, { ...network, id: 'c' });
  await eventually(() => b.stats().dropped.middleware > 0);
  assert.deepEqual(await once(b.caster, 'error'), ['no']);
  assert.deepEqual(Object.keys(b.nodes), []);
});

test('fields of node.caster that the program replaces have effect', async (t) => {
  const network = { ...lan(), ...QUICK, self: false };
  const plain = { json: caster.middleware.json() };
  const nodes = [];
  for (const id of ['a', 'b']) {
    const node = caster.createNode({ ...network, id });
    assert.deepEqual(Object.keys(node.caster._middleware), ['json', 'hash']);
    node.caster._middleware = plain;
    node.caster._tx = [plain.json.tx];
    node.caster._rx = [plain.json.rx];
    nodes.push(node);
    await call(node, 'up');
    t.after(() => call(node, 'down'));
  }
  const [a, b] = nodes;
  await eventually(() => a.nodes.b && b.nodes.a);
  const id = '{"id":"a","message":1}';
  assert.equal(await call(a, 'send', 1), id.length, 'there is no digest any more');
});
