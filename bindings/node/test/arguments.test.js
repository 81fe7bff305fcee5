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
  assert.throws(() => node.find({ n: NaN }), refused('find'));
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
  assert.throws(() => node.find({ n: 5n }), bigint('find'));
  assert.throws(() => caster.createNode({ meta: { n: 5n } }), bigint('options\\.meta\\.n'));
  const circle = {};
  circle.self = circle;
  await assert.rejects(node.send(circle), /circular/);
  const mine = new TypeError('a BigInt of mine');
  await assert.rejects(node.send({ toJSON() { throw mine; } }), { name: 'TypeError' });
  await node.down();
});
