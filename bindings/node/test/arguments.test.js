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
  // As in caster 0.1.1, and as JSON has it.
  assert.match(caster.createNode({ ...lan(), id: NaN }).id, /^node/);
  assert.deepEqual(caster.createNode({ ...lan(), meta: [NaN] }).meta, [NaN]);
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
