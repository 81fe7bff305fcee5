// Arguments that would be taken for something else without a word are refused.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const caster = require('..');
const { lan } = require('./helper');

test('NaN and infinity are no numbers for options', () => {
  for (const [name, value] of [['timeout', Infinity], ['heartbeat', NaN], ['port', -Infinity], ['max_nodes', NaN]]) {
    const given = { ...lan(), [name]: value };
    const error = { code: 'INVALID_OPTION', message: new RegExp(`"${value}" is not accepted; give `) };
    assert.throws(() => caster.createNode(given), error, name);
  }
  assert.throws(() => caster.create({ port: NaN }), { code: 'INVALID_OPTION' });
});

test('NaN and infinity have no JSON form', async () => {
  const refused = (place) => ({
    code: 'INVALID_ARGUMENT',
    message: `${place} is NaN or infinite, which JSON cannot hold; give a finite number or null`,
  });
  assert.throws(() => caster.createNode({ ...lan(), id: NaN }), refused('options.id'));
  assert.throws(() => caster.createNode({ ...lan(), meta: [NaN] }), refused('options.meta[0]'));
  const node = caster.createNode({ ...lan(), self: false });
  await node.up();
  await assert.rejects(node.send({ a: [null, -Infinity] }), refused('message.a[1]'));
  await assert.rejects(node.sendBatch([1, NaN]), { code: 'INVALID_ARGUMENT', message: /^message 1: message is NaN/ });
  await assert.rejects(node.setMeta({ n: NaN }), refused('meta.n'));
  await assert.rejects(node.updateMeta({ n: NaN }), refused('changes.n'));
  assert.throws(() => { node.meta = NaN; }, refused('meta'));
  assert.throws(() => node.find({ n: NaN }), refused('find.n'));
  assert.ok((await node.send({ a: null, b: 'NaN', toJSON: undefined })) > 0);
  assert.ok((await node.send({ when: { toJSON: () => null, value: NaN } })) > 0);
  await node.down();
  const server = caster.create(lan());
  server.use(caster.middleware.json());
  await server.bind();
  await assert.rejects(server.send([NaN]), refused('message[0]'));
  await server.close();
});

test('with compat NaN and infinity are null, as in caster 0.1.1', async () => {
  const node = caster.createNode({ ...lan(), compat: '0.1.1', id: NaN, meta: { n: NaN } });
  assert.match(node.id, /^node/);
  await node.up();
  assert.equal(await node.send([NaN, Infinity]), await node.send([null, null]));
  assert.ok((await node.sendBatch([NaN])) > 0);
  await node.setMeta({ n: Infinity });
  await node.updateMeta({ m: NaN });
  await node.down();
});

test('an option has one spelling', () => {
  const both = { ...lan(), hashSecret: 'a', hash_secret: 'b' };
  assert.throws(() => caster.createNode(both), {
    code: 'INVALID_OPTION',
    message: /hashSecret and as hash_secret/,
  });
});

test('the error about a BigInt says where it is', async () => {
  const bigint = (place) => ({ name: 'TypeError', message: new RegExp(`^${place} is a BigInt, which`) });
  const node = caster.createNode({ ...lan(), self: false });
  await node.up();
  await assert.rejects(node.send({ a: [1, { load: 5n }] }), bigint('message\\.a\\[1\\]\\.load'));
  await assert.rejects(node.sendBatch([1, 5n]), bigint('message 1: message'));
  await assert.rejects(node.setMeta({ n: 5n }), bigint('meta\\.n'));
  assert.throws(() => node.find({ n: 5n }), bigint('find\\.n'));
  assert.throws(() => caster.createNode({ meta: { n: 5n } }), bigint('options\\.meta\\.n'));
  const circle = {};
  circle.self = circle;
  await assert.rejects(node.send(circle), /circular/);
  const mine = new TypeError('a BigInt of mine');
  await assert.rejects(node.send({ toJSON() { throw mine; } }), { name: 'TypeError' });
  await node.down();
});

/** Nodes and casters for calls that are refused. */
function some() {
  const key = caster.generateKey();
  return {
    node: caster.createNode({ ...lan(), self: false }),
    sealed: caster.createNode({ ...lan(), keys: [key] }),
    bare: caster.create(lan()),
    key,
  };
}

/** Checks that each call throws an error, or returns a promise of one, with this text. */
async function refusedAll(calls) {
  for (const [call, text] of calls) {
    await assert.rejects(async () => call(), (error) => text.test(error.message) || assert.fail(`${call}: ${error.message}`), `${call}`);
  }
}

test('what JSON leaves out in silence is refused', async () => {
  const { node } = some();
  await node.up();
  const values = [
    [() => 1, /function, which JSON/],
    [Symbol('a'), /symbol, which JSON/],
    [new Map([['a', 1]]), /type Map, .*fromEntries/],
    [[{ a: new Set([1]) }], /\[0\]\.a is of type Set, .*array/],
    [Promise.resolve(1), /type Promise, .*await/],
    [{ error: new Error('x') }, /\.error is of type Error, .*message/],
  ];
  for (const [value, text] of values) {
    await refusedAll([
      [() => node.send(value), text],
      [() => node.sendBatch([value]), text],
      [() => node.setMeta(value), text],
      [() => node.find('a', value), text],
      [() => caster.createNode({ ...lan(), meta: value }), text],
    ]);
  }
  const holds = Object.assign(new Map(), { toJSON: () => 'mine' });
  assert.ok((await node.send([holds, {}, Object.assign(new Error('x'), { code: 5 })])) > 0);
  await node.down();
  const old = caster.createNode({ ...lan(), compat: '0.1.1' });
  await old.up();
  assert.ok((await old.send(new Map())) > 0);
  await old.down();
});

test('options have names, and secrets are used', async () => {
  const given = (options) => () => caster.createNode({ ...lan(), ...options });
  await refusedAll([
    [() => caster.createNode([]), /^options have to be an object of names and values, not Array$/],
    [() => caster.createNode(new Map()), /not Map$/],
    [() => caster.create(new Set()), /not Set$/],
    [given({ port: () => 1 }), /option port: .*whole number from 1 to 65535/],
    [given({ id: Symbol('x') }), /options\.id is a symbol/],
    [given({ hash: 'no' }), /option hash: "no" is not accepted; give true or false/],
    [given({ expose: 'off' }), /option expose: .*true or false/],
    [given({ loopback: 'false' }), /option loopback: .*true or false/],
    [given({ hashSecret: {} }), /option hashSecret: this is not accepted; give a string/],
    [given({ hashSecret: 'a', hash: false }), /option hashSecret: hash is off/],
    [given({ cryptoKey: 'a' }), /option cryptoKey: crypto is off/],
    [given({ keys: [] }), /option keys: it is empty; give at least one key/],
    [() => caster.create({ ...lan(), keys: [] }), /option keys: it is empty/],
    [() => caster.middleware.hash('secret'), /middleware\.hash takes an object with secret, algorithm, era/],
    [() => caster.middleware.hash({ sceret: 'x' }), /middleware\.hash has no option "sceret"; it has secret/],
    [() => caster.middleware.json({ rawutf8: true }), /middleware\.json has no option "rawutf8"/],
  ]);
  assert.ok(given({ hash: 1, expose: 0, loopback: '', keys: null })());
  assert.ok(given({ cryptoKey: 'a', compat: '0.1.1' })(), 'as in caster 0.1.1');
  const bytes = new Uint8Array(Buffer.from('a secret'));
  const [a, b] = [bytes, 'a secret'].map((hashSecret) => caster.middleware.hash({ secret: hashSecret }));
  a.tx(Buffer.from('x'), (error, wire) => b.rx(wire, null, (other, back) => assert.deepEqual([other, `${back}`], [null, 'x'])));
});

test('calls take what they say', async () => {
  const { node, sealed, bare, key } = some();
  const order = /takes the name of an event, a predicate, and milliseconds or an object, in this order/;
  await refusedAll([
    [() => node.up(5), /a callback has to be a function, not number/],
    [() => bare.bind({}), /a callback has to be a function, not object/],
    [() => bare.send('x', 'y'), /a callback has to be a function, not string/],
    [() => node.events(5), /events takes an object with limit, signal/],
    [() => node.events({ limt: 5 }), /events has no option "limt"; it has limit, signal/],
    [() => node.waitFor('up', { timout: 5 }), /waitFor has no option "timout"; it has timeout, signal/],
    [() => node.waitFor('up', { type: 'db' }), /waitFor has no option "type"/],
    [() => node.waitFor('up', { timeout: '5' }), /timeout: 5 is not accepted; give milliseconds from 0 to 2147483647/],
    [() => node.waitFor('up', { signal: 5 }), /signal has to be an AbortSignal/],
    [() => node.waitFor('up', 5, () => true), order],
    [() => node.waitFor('up', () => true, 5, 5), order],
    [() => node.find(['type']), /find needs an object, or a key and a value/],
    [() => node.find(new Map()), /find needs an object/],
    [() => sealed.keyOf(), /keyOf takes the id of a peer, a string, not undefined/],
    [() => sealed.removeKey(key, true), /removeKey takes an object with now/],
    [() => sealed.removeKey(key, { nwo: true }), /removeKey has no option "nwo"; it has now/],
    [() => sealed.removeKey(key, { now: 'no' }), /now is a boolean, not string/],
    [() => caster.leaveOnSignals('SIGTERM'), /takes an array of names, as in \['SIGTERM'\], not SIGTERM/],
    [() => caster.leaveOnSignals(5), /takes an array of names/],
    [() => caster.leaveOnSignals(['SIGKILL']), /SIGKILL cannot be handled/],
  ]);
  assert.equal(process.listenerCount('SIGTERM'), 0);
});

test('a listener for an event with a typing error is warned of, once', async () => {
  const { node, bare } = some();
  const told = [];
  const listen = ({ code, message }) => code === 'CASTER_UNKNOWN_EVENT' && told.push(message);
  process.on('warning', listen);
  for (const name of ['Up', 'Up', 'updated', 'upset', 'myOwn', 'up', Symbol('up')]) {
    node.on(name, () => {});
  }
  node.once('downn', () => {});
  bare.addListener('messages', () => {});
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', listen);
  const warned = (given, meant) => `there is no event "${given}"; did you mean "${meant}"?`;
  assert.deepEqual(told, [warned('Up', 'up'), warned('updated', 'update'), warned('downn', 'down'), warned('messages', 'message')]);
});
