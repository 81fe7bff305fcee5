// `sendBatch` and `find`.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { middleware } = require('..');
const { boundCaster, call, eventually, lan, upNode } = require('./helper');

const plain = { name: 'plain', tx: (message, next) => setImmediate(next, null, message) };

test('a node sends many messages, which arrive in their order', async (t) => {
  const options = { ...lan(), self: false };
  const a = await upNode(t, { ...options, id: 'a' });
  const b = await upNode(t, { ...options, id: 'b' });
  const messages = Array.from({ length: 300 }, (_, n) => ({ n, text: 'é'.repeat(n % 7) }));
  const bytes = await a.sendBatch(messages);
  await eventually(() => b.heard('message').length === messages.length);
  assert.deepEqual(b.heard('message').map(([, message]) => message), messages);
  assert.ok(b.heard('message').every(([, , remote]) => remote === b.nodes.a));
  const single = await a.send(messages[0]);
  assert.ok(bytes > single * messages.length);
  assert.equal(await call(a, 'sendBatch', [messages[0], messages[0]]), 2 * single);
  assert.equal(await a.sendBatch([]), 0);
});

test('a caster sends values and bytes', async (t) => {
  const options = lan();
  const server = await boundCaster(t, options, middleware.json(), middleware.hash());
  const bytes = Buffer.from([1, 2, 255]);
  assert.equal(await server.sendBatch([{ n: 1 }, bytes, 'text']), (20 * 3) + 7 + 3 + 6);
  await eventually(() => server.log.length === 3);
  assert.deepEqual(server.log.map(([message]) => message), [{ n: 1 }, bytes, 'text']);
});

test('with middleware of JavaScript they are sent one by one', async (t) => {
  const options = lan();
  const server = await boundCaster(t, options, middleware.json(), plain);
  assert.equal(await server.sendBatch([1, 22, 333]), 6);
  await eventually(() => server.log.length === 3);
  assert.deepEqual(server.log.map(([message]) => message), [1, 22, 333]);
  assert.equal(await server.sendBatch([]), 0);

  const a = await upNode(t, { ...lan(), id: 'a' });
  a.caster.use(plain);
  assert.equal(await a.sendBatch(['x', 'y']), 2 * await a.send('x'));
  await eventually(() => a.heard('message').length === 3);
  await assert.rejects(server.sendBatch([1, undefined, 3]), /^TypeError: message 1: /);
});

test('an error names the message by its index, and no message was sent', async (t) => {
  const a = await upNode(t, { ...lan(), id: 'a' });
  const { sent } = a.stats();
  await assert.rejects(a.sendBatch([1, 'x'.repeat(70_000)]), { code: 'EMSGSIZE', message: /^message 1: / });
  await assert.rejects(a.sendBatch([1, 2, () => {}]), /^TypeError: message 2: message is a function/);
  await assert.rejects(a.sendBatch('text'), /array of messages/);
  await assert.rejects(call(a, 'sendBatch', {}), /array of messages/);
  assert.equal(a.heard('message').length, 0);
  assert.ok(a.stats().sent - sent <= 1); // a heartbeat
  await a.down();
  await assert.rejects(a.sendBatch([1]), { code: 'NOT_UP' });
  await a.up();
});

test('peers are found by their metadata', async (t) => {
  const options = { ...lan(), self: false };
  const a = await upNode(t, { ...options, id: 'a' });
  const http = { type: 'http', port: 80, tags: ['x', { y: 1 }] };
  await upNode(t, { ...options, id: 'b', meta: http });
  await upNode(t, { ...options, id: 'c', meta: { type: 'db', port: 5432 } });
  await upNode(t, { ...options, id: 'd', meta: 'type' });
  await eventually(() => Object.keys(a.nodes).length === 3);
  const ids = (...wanted) => a.find(...wanted).map(({ id }) => id).sort();
  assert.deepEqual(ids({ type: 'http' }), ['b']);
  assert.equal(a.find({ type: 'http' })[0], a.nodes.b);
  assert.deepEqual(ids('type', 'http'), ['b']);
  assert.deepEqual(ids('type'), ['b', 'c']);
  assert.deepEqual(ids({ type: undefined, port: 5432 }), ['c']);
  assert.deepEqual(ids({ tags: ['x', { y: 1 }] }), ['b']);
  assert.deepEqual(ids({ type: 'http', port: 81 }), []);
  assert.deepEqual(ids({}), ['b', 'c', 'd']);
  assert.throws(() => a.find(), TypeError);
  assert.throws(() => a.find(null), TypeError);
});
