// Secure mode: keys, how they change, and that they do not appear anywhere.
'use strict';

const assert = require('node:assert/strict');
const { inspect } = require('node:util');
const { test } = require('node:test');
const caster = require('..');
const { boundCaster, call, eventually, lan, upNode } = require('./helper');

const MARKER = Buffer.from(Array.from({ length: 32 }, (_, at) => 0x81 + at));
const SHAPES = [
  MARKER.toString('hex'),
  MARKER.toString('base64').replace('=', ''),
  MARKER.toString('base64url'),
  MARKER.toString('latin1'),
  inspect(MARKER).slice('<Buffer '.length, -1),
  [...MARKER].join(', '),
  [...MARKER].join(','),
];
const showsTheKey = (text) => SHAPES.some((shape) => text.toLowerCase().includes(shape.toLowerCase()));

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

test('a key is bytes or text of an exact length', () => {
  const key = caster.generateKey();
  assert.equal(key.length, 32);
  assert.notDeepEqual(key, caster.generateKey());
  const [expected] = caster.createNode({ ...lan(), keys: [key] }).keyIds;
  assert.match(expected, /^[0-9a-f]{8}$/);
  for (const form of [new Uint8Array(key), key.toString('hex'), key.toString('base64'), key.toString('base64url')]) {
    assert.deepEqual(caster.createNode({ ...lan(), keys: [form] }).keyIds, [expected]);
  }
  assert.deepEqual(caster.createNode(lan()).keyIds, []);
  assert.equal(caster.createNode({ keys: [key] }).port, 10103);
});

test('anything else is refused with advice', () => {
  for (const key of [Buffer.alloc(31, 7), 'a password of 32 characters long', Buffer.from('a password of 32 characters long'), 'g'.repeat(64)]) {
    assert.throws(() => caster.createNode({ ...lan(), keys: [key] }), { code: 'INVALID_OPTION', message: /generate_key/ });
  }
  assert.throws(() => caster.createNode({ ...lan(), keys: [5] }), TypeError);
  assert.throws(() => caster.create({ ...lan(), keys: [5] }), TypeError);
  assert.throws(() => caster.createNode({ ...lan(), keys: MARKER.toString('hex') }), TypeError);
  assert.throws(() => caster.createNode({ ...lan(), keys: [MARKER], hash: true }), { code: 'INVALID_OPTION' });
  assert.throws(() => caster.createNode({ keys: [MARKER], port: 10101 }), { code: 'INVALID_OPTION' });
});

test('nodes talk and change their key', async (t) => {
  const [older, newer] = [caster.generateKey(), caster.generateKey()];
  const options = { ...lan(), self: false, heartbeat: 200, timeout: 2000, keys: [older] };
  const a = await upNode(t, { ...options, id: 'a' });
  const b = await upNode(t, { ...options, id: 'b' });
  await eventually(() => a.nodes.b && b.nodes.a, 'they meet');
  for (const [step, key] of [['addKey', newer], ['useKey', newer], ['removeKey', older]]) {
    a[step](key);
    b[step](key);
    await pause(800); // a few heartbeats, which name the keys that may come next
    await call(a, 'send', step);
    await eventually(() => b.heard('message').some(([, message]) => message === step), step);
  }
  assert.equal(a.keyIds.length, 1);
  assert.equal(a.keyOf('b'), a.keyIds[0]);
  assert.equal(a.keyOf('c'), null);
  a.addKey(older);
  a.removeKey(older, { now: true });
  assert.throws(() => a.removeKey(newer), { code: 'INVALID_ARGUMENT' });
  assert.throws(() => a.addKey(newer), { code: 'INVALID_OPTION' });
  assert.throws(() => caster.createNode(lan()).addKey(newer), { code: 'INVALID_OPTION' });
});

test('a node in migration knows old and sealed ones', async (t) => {
  const key = caster.generateKey();
  const group = lan();
  const times = { self: false, heartbeat: 200, timeout: 3000 };
  const plain = { ...group, ...times, port: group.port + 2 };
  const old = await upNode(t, { ...plain, id: 'old' });
  const both = await upNode(t, { ...group, ...times, id: 'both', keys: [key], plain: 'send', plainPort: plain.port });
  const sealed = await upNode(t, { ...group, ...times, id: 'new', keys: [key] });
  await eventually(() => both.nodes.old && both.nodes.new && old.nodes.both && sealed.nodes.both, 'they meet');
  assert.equal(both.keyOf('old'), null);
  assert.equal(both.keyOf('new'), both.keyIds[0]);
  assert.equal(both.stats().plainNodes, 1);
  await call(both, 'send', 'to all');
  for (const node of [old, sealed]) {
    await eventually(() => node.heard('message').some(([, message]) => message === 'to all'), 'the message');
  }
  assert.equal(both.forgetSealed('new'), false);
  await call(sealed, 'down');
  await eventually(() => !both.nodes.new, 'it is gone');
  assert.equal(both.forgetSealed('new'), true);
  assert.throws(() => caster.createNode({ ...group, plain: 'accept' }), { code: 'INVALID_OPTION' });
});

test('a caster is sealed, and nodes take nothing from it', async (t) => {
  const key = caster.generateKey();
  const options = { ...lan(), keys: [key] };
  const json = caster.middleware.json();
  const a = await boundCaster(t, options, json);
  const b = await boundCaster(t, options, caster.middleware.json());
  const node = await upNode(t, { ...options, id: 'n', self: false });
  const hints = [];
  node.on('hint', (hint) => hints.push(hint));
  await call(a, 'send', { id: 'x', message: 1 });
  await eventually(() => b.log.some((entry) => JSON.stringify(entry).includes('"message":1')), 'the message');
  await eventually(() => hints.some((hint) => JSON.stringify(hint).includes('a bare caster')), 'the hint');
  assert.ok(node.stats().dropped.unproven >= 1);
});

test('messages of a caster are delivered and marked if an option says so', async (t) => {
  const options = { ...lan(), keys: [caster.generateKey()] };
  const voice = await boundCaster(t, options, caster.middleware.json());
  const node = await upNode(t, { ...options, id: 'n', self: false, unproven: 'deliver' });
  const peer = await upNode(t, { ...options, id: 'm', self: false });
  await eventually(() => node.nodes.m && peer.nodes.n, 'they meet');
  const told = [];
  node.on('message', (message, { id }, assurance) => told.push([id, message, assurance]));
  const events = node.events();
  await call(voice, 'send', { id: 'x', message: [1] });
  await eventually(() => told.length === 1, 'the message of the caster');
  await call(peer, 'send', 2);
  await eventually(() => told.length === 2, 'the message of the peer');
  assert.deepEqual(told, [['x', [1], { sealed: true, fresh: false, signed: false }], ['m', 2, { sealed: true, fresh: true, signed: false }]]);
  const found = [];
  for await (const event of events) {
    if (event.type === 'message' && found.push([event.sealed, event.fresh]) === 2) {
      break;
    }
  }
  assert.deepEqual(found, [[true, false], [true, true]]);
  assert.deepEqual(Object.keys(node.nodes), ['m']);
  const plain = lan();
  const [a, b] = [await upNode(t, { ...plain, id: 'a', self: false }), await upNode(t, { ...plain, id: 'b', self: false })];
  const given = [];
  b.on('message', (...all) => given.push(all.length));
  await eventually(() => b.nodes.a, 'they meet');
  await call(a, 'send', 1);
  await eventually(() => given.length > 0, 'the message');
  assert.deepEqual(given, [2]);
  assert.throws(() => caster.createNode({ ...lan(), unproven: 'deliver' }), { code: 'INVALID_OPTION' });
});

test('nodes sign and verify', async (t) => {
  const key = caster.generateKey();
  const seeds = [1, 2, 3].map(() => caster.generateIdentity());
  const publics = seeds.map((seed) => caster.publicKey(seed));
  assert.match(publics[0], /^[0-9a-f]{64}$/);
  assert.equal(caster.publicKey(seeds[0].toString('hex')), publics[0]);
  const options = { ...lan(), keys: [key], self: false, signMessages: true };
  const a = await upNode(t, { ...options, id: 'a', identity: seeds[0], trust: [publics[1]] });
  const b = await upNode(t, { ...options, id: 'b', identity: seeds[1] });
  await eventually(() => a.nodes.b && b.nodes.a, 'they meet');
  assert.equal(a.identityOf('b'), publics[1]);
  assert.equal(a.identityOf('z'), null);
  const forger = await upNode(t, { ...options, id: 'b', identity: seeds[2] });
  await eventually(() => a.stats().dropped.identity > 5, 'the forger is refused');
  const told = [];
  a.on('message', (message, { id }, assurance) => told.push([id, message, assurance]));
  await call(forger, 'send', 'forged');
  await call(b, 'send', 1);
  await eventually(() => told.length > 0, 'the message');
  assert.deepEqual(told, [['b', 1, { sealed: true, fresh: true, signed: true }]]);
  assert.equal(a.forgetSealed('b'), false);
  for (const wrong of [seeds[0].subarray(1), 'a', 5, [seeds[0]], {}]) {
    assert.throws(() => caster.createNode({ ...lan(), keys: [key], identity: wrong }));
    assert.throws(() => caster.publicKey(wrong));
  }
  for (const trust of [[], publics[0], [publics[0].slice(1)], [5]]) {
    assert.throws(() => caster.createNode({ ...lan(), keys: [key], trust }));
  }
  assert.throws(() => caster.createNode({ keys: [key], identity: key }), { code: 'INVALID_OPTION', message: /one of the keys/ });
  assert.throws(() => caster.createNode({ identity: key }), { code: 'INVALID_OPTION', message: /needs keys/ });
  assert.throws(() => caster.create({ keys: [key], identity: seeds[0] }), /those of nodes/);
});

test('a key is in no text', async (t) => {
  const texts = [];
  const fails = (action) => {
    assert.throws(action, (error) => {
      texts.push(inspect(error, { depth: 9, showHidden: true }), String(error), error.stack);
      return true;
    });
  };
  const hex = MARKER.toString('hex');
  fails(() => caster.createNode({ keys: [MARKER.subarray(1)] }));
  fails(() => caster.createNode({ keys: [MARKER, MARKER] }));
  fails(() => caster.createNode({ keys: [`${hex}0`] }));
  fails(() => caster.createNode({ keys: hex }));
  fails(() => caster.createNode({ keys: { a: MARKER } }));
  fails(() => caster.createNode({ keys: [[MARKER]] }));
  fails(() => caster.createNode({ keys: [MARKER], hash: true }));
  fails(() => caster.createNode({ keys: [MARKER], heartbeat: -1 }));
  fails(() => caster.createNode(lan()).addKey(MARKER));
  const group = caster.generateKey();
  fails(() => caster.createNode({ keys: [MARKER], identity: MARKER }));
  fails(() => caster.createNode({ keys: [group], identity: MARKER.subarray(1) }));
  fails(() => caster.createNode({ keys: [group], identity: [MARKER] }));
  fails(() => caster.createNode({ keys: [group], identity: hex, heartbeat: -1 }));
  fails(() => caster.createNode({ identity: MARKER }));
  fails(() => caster.create({ keys: [group], identity: hex }));
  fails(() => caster.publicKey(`${hex}0`));
  texts.push(inspect(caster.createNode({ keys: [group], identity: MARKER }), { depth: 9, showHidden: true }));
  const options = { ...lan(), self: false, keys: [MARKER] };
  const a = await upNode(t, { ...options, id: 'a' });
  const b = await upNode(t, { ...options, id: 'b' });
  fails(() => a.addKey(MARKER));
  fails(() => a.removeKey(hex));
  await eventually(() => a.nodes.b && b.nodes.a, 'they meet');
  texts.push(inspect(a, { depth: 9, showHidden: true }), inspect(a.stats()), inspect(a.nodes), inspect(a.keyIds));
  texts.push(JSON.stringify(a.stats()), inspect(a.log, { depth: 9 }));
  assert.ok(texts.length > 30);
  for (const text of texts) {
    assert.ok(!showsTheKey(text), text);
  }
  assert.ok(showsTheKey(inspect(MARKER)) && showsTheKey(`key ${hex}`), 'it can fail');
});
