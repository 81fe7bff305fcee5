// Calls without a callback.
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { test } = require('node:test');
const caster = require('..');
const { call, eventually, lan, run, upNode } = require('./helper');

const QUICK = { heartbeat: 100, timeout: 300 };

test('every call without a callback returns a promise of its outcome', async (t) => {
  const network = { ...lan(), self: false };
  const other = await upNode(t, network);
  const node = caster.createNode({ ...network, id: 'a' });
  assert.equal(await node.up(), undefined);
  const bytes = await node.send('x');
  assert.equal(bytes, 20 + '{"id":"a","message":"x"}'.length);
  assert.equal(await node.setMeta({ n: 1 }), undefined);
  assert.deepEqual(node.meta, { n: 1 });
  await eventually(() => other.nodes.a?.meta?.n === 1);
  assert.ok((await node.caster.send({ id: 'a' })) > 20);
  assert.equal(await node.down(), undefined);

  const server = caster.create(lan());
  assert.equal(await server.bind(), undefined);
  assert.equal(await server.send(Buffer.from('xy')), 2);
  assert.equal(await server.close(), undefined);
});

test('a promise that the program uses rejects, and no error is emitted', async (t) => {
  const node = caster.createNode(lan());
  const server = caster.create(lan());
  for (const emitter of [node, node.caster, server]) {
    emitter.on('error', (error) => assert.fail(error));
  }
  const notUp = { message: 'Node is not up', code: 'NOT_UP' };
  await assert.rejects(node.down(), notUp);
  await assert.rejects(node.send('x'), notUp);
  await assert.rejects(node.send('x').then(() => 'sent'), notUp);
  assert.equal(await node.send('x').catch(({ code }) => code), 'NOT_UP');
  await assert.rejects(node.send('x').finally(() => {}), notUp);
  await assert.rejects(Promise.all([node.send(1), node.send(2)]), notUp);
  const [first, second] = [node.send(1), node.send(2)];
  await assert.rejects(first, notUp);
  await assert.rejects(second, notUp);
  await assert.rejects((async () => node.send('x'))(), notUp);
  await assert.rejects(node.caster.send({}), { code: 'NOT_UP' });
  await assert.rejects(node.caster.bind(), /node\.up/);
  await assert.rejects(node.setMeta(1n), TypeError);
  await assert.rejects(server.send('x'), { code: 'NOT_BOUND' });
  await node.up();
  t.after(() => node.down());
  await assert.rejects(node.up(), { message: 'Node already up', code: 'ALREADY_UP' });
  await assert.rejects(node.send(1n), TypeError);
  await assert.rejects(node.send('x'.repeat(70_000)), { code: 'EMSGSIZE' });
  await new Promise(setImmediate);
});

test('the error of an unused promise is emitted once', async () => {
  const node = caster.createNode(lan());
  const errors = [];
  node.on('error', (error) => errors.push(error.code));
  let rejections = 0;
  const count = () => (rejections += 1);
  process.on('unhandledRejection', count);
  node.send('x');
  node.up(null);
  node.up(undefined);
  assert.deepEqual(errors, [], 'after the call has returned');
  await eventually(() => errors.length === 2);
  await node.down();
  process.off('unhandledRejection', count);
  assert.deepEqual([errors, rejections], [['NOT_UP', 'ALREADY_UP'], 0]);
});

test('the outcome is an ordinary promise', async (t) => {
  const node = await upNode(t, lan());
  const outcome = node.send('x');
  assert.ok(outcome instanceof Promise);
  const derived = outcome.then((bytes) => bytes);
  assert.equal(Object.getPrototypeOf(derived), Promise.prototype);
  assert.equal(await derived, await outcome);
  assert.equal(node.send('x', () => {}), undefined, 'there is none beside a callback');
});

test('a rejection with a handler for success only is unhandled', async (t) => {
  const child = run(t, `caster.createNode(options).send('x').then(() => console.log('sent'));`);
  await child.ended();
  assert.deepEqual([child.code, child.out], [1, '']);
  assert.match(child.err, /Node is not up/);
});

test('the error of an unused promise ends a process without a listener', async (t) => {
  const child = run(t, `caster.createNode(options).send('x');`);
  await child.ended();
  assert.equal(child.code, 1);
  assert.match(child.err, /Node is not up/);
});

test('setMeta with a callback', async (t) => {
  const network = { ...lan(), ...QUICK, self: false };
  const a = await upNode(t, { ...network, id: 'a' });
  const b = await upNode(t, network);
  await eventually(() => b.nodes.a);
  const updated = once(b, 'update');
  await call(a, 'setMeta', ['é']);
  const [record, changed] = await updated;
  assert.deepEqual([record.meta, changed], [['é'], ['meta']]);
  await assert.rejects(call(a, 'setMeta', 'x'.repeat(10_000)), { message: /maxMeta/ });
  assert.deepEqual(a.meta, ['é']);
});

test('updateMeta changes some keys', async (t) => {
  const network = { ...lan(), ...QUICK, self: false };
  const a = await upNode(t, { ...network, id: 'a', meta: { type: 'db', load: 0 } });
  const b = await upNode(t, network);
  await eventually(() => b.nodes.a);
  const updated = once(b, 'update');
  assert.equal(await a.updateMeta({ load: 0.5, type: null }), undefined);
  assert.deepEqual((await updated)[0].meta, { load: 0.5 });
  assert.deepEqual(a.meta, { load: 0.5 });
  await call(a, 'updateMeta', { port: 1 });
  await assert.rejects(a.updateMeta([1]), { message: /the change is not an object/ });
  await assert.rejects(a.updateMeta(undefined), { message: /the change is not an object/ });
  await assert.rejects(a.updateMeta({ x: 'x'.repeat(10_000) }), { message: /maxMeta/ });
  await assert.rejects(a.updateMeta({ n: 1n }), TypeError);
  assert.deepEqual(a.meta, { load: 0.5, port: 1 });
});

/** Does the same as `await using`, also on versions without this syntax. */
async function using(resource, body) {
  const AsyncFunction = (async () => {}).constructor;
  let withSyntax;
  try {
    withSyntax = new AsyncFunction('resource', 'body', 'await using it = resource; await body(it);');
  } catch {
    await body(resource);
    await resource[Symbol.asyncDispose]();
    return;
  }
  await withSyntax(resource, body);
}

test('await using takes a node down and closes a caster', async (t) => {
  const network = lan();
  const observer = await upNode(t, { ...network, self: false });
  await using(caster.createNode({ ...network, id: 'a' }), async (node) => {
    await node.up();
    await eventually(() => observer.nodes.a);
  });
  const [, { id }, reason] = await eventually(() => observer.heard('down')[0]);
  assert.deepEqual([id, reason], ['a', 'goodbye']);

  const server = caster.create(lan());
  await using(server, () => server.bind());
  await assert.rejects(server.send('x'), { code: 'NOT_BOUND' });

  const never = caster.createNode(lan());
  await using(never, () => {});
  await using(never, async () => {
    await never.up();
    await never.down();
  });
});

test('unref lets the process end, ref keeps it alive', async (t) => {
  const ended = run(t, `
    const node = caster.createNode(options).unref();
    const server = caster.create(options);
    server.bind(() => node.up(() => server.unref()));`);
  await ended.ended();
  assert.deepEqual([ended.code, ended.signal, ended.err], [0, null, '']);
  const alive = run(t, `
    const node = caster.createNode(options).unref();
    node.up(() => { node.ref(); console.log('up'); });`);
  await eventually(() => alive.out);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(alive.code, undefined);
});
