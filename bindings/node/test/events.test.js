// Events as async iterators, and `waitFor`.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const caster = require('..');
const { EventStreams } = require('../lib/event-streams');
const { eventually, lan, run, upNode } = require('./helper');

const QUICK = { heartbeat: 100, timeout: 300 };

/** All events of a stream, until it ends. */
async function all(stream) {
  const events = [];
  for await (const event of stream) {
    events.push(event);
  }
  return events;
}

test('all events of a node can be iterated over, until it is down', async (t) => {
  const network = { ...lan(), ...QUICK };
  const a = caster.createNode({ ...network, self: false });
  const events = all(a.events());
  await a.up();
  const b = caster.createNode({ ...network, id: 'b' });
  await b.up();
  await b.send({ n: 1 });
  await eventually(() => a.nodes.b);
  const record = a.nodes.b;
  await b.setMeta('m');
  await eventually(() => record.meta === 'm');
  await b.down();
  await eventually(() => !a.nodes.b);
  await a.down();
  assert.deepEqual(await events, [
    { type: 'up', node: record },
    { type: 'message', message: { n: 1 }, node: record },
    { type: 'update', node: record, changed: ['meta'] },
    { type: 'down', node: record, reason: 'goodbye' },
  ]);
  assert.ok((await events).every(({ node }) => node === record));
});

test('a stream keeps the events before its first step, and listeners get them too', async (t) => {
  const node = await upNode(t, lan());
  const streams = [node.events(), node.events()];
  for (const message of [1, 2, 3]) {
    await node.send(message);
  }
  await eventually(() => node.heard('message').length === 3);
  for (const stream of streams) {
    const messages = [];
    for await (const event of stream) {
      if (event.type === 'message') {
        messages.push(event.message);
      }
      if (messages.length === 3) {
        break;
      }
    }
    assert.deepEqual(messages, [1, 2, 3]);
    assert.deepEqual(await stream.next(), { value: undefined, done: true }, 'leaving the loop ends the stream');
  }
});

test('settled comes once after each up, when nodes contains those that were there', async (t) => {
  const network = { ...lan(), ...QUICK, self: false };
  await upNode(t, { ...network, id: 'before' });
  const node = caster.createNode({ ...network, id: 'after' });
  const heard = [];
  node.on('settled', (event) => heard.push([event, Object.keys(node.nodes)]));
  for (const times of [1, 2]) {
    await node.up();
    await eventually(() => heard.length === times);
    assert.deepEqual(heard[times - 1], [{ type: 'settled' }, ['before']]);
    await node.down();
  }
});

test('metadata and ids beyond the limits are refused when the node is created', () => {
  const create = (options) => () => caster.createNode({ ...lan(), ...options });
  assert.throws(create({ meta: 'x'.repeat(9000) }), {
    code: 'INVALID_OPTION',
    message: /option meta: the metadata takes 9002 bytes; the option maxMeta allows 8192/,
  });
  assert.throws(create({ id: 'é'.repeat(100) }), /it takes 602 bytes as JSON/);
  const { dropped } = create({ meta: 'x'.repeat(9000), maxMeta: 9002 })().stats();
  assert.deepEqual([dropped.implausible, dropped.unconfirmed], [0, 0]);
});

test('a signal ends the iteration with its reason', async (t) => {
  const node = await upNode(t, lan());
  const controller = new AbortController();
  const reading = all(node.events({ signal: controller.signal }));
  const aborted = assert.rejects(reading, { name: 'AbortError' });
  controller.abort();
  await aborted;
  const reason = new Error('mine');
  await assert.rejects(all(node.events({ signal: AbortSignal.abort(reason) })), reason);
  const stream = node.events({ signal: AbortSignal.timeout(20) });
  await assert.rejects(all(stream), { name: 'TimeoutError' });
  assert.deepEqual(await stream.next(), { value: undefined, done: true });
  assert.throws(() => node.events({ signal: 5 }), TypeError);
});

const message = (n) => ({ type: 'message', message: n });

test('a queue holds no more than its limit: messages are dropped first', async () => {
  const streams = new EventStreams();
  const stream = streams.add({ limit: 3 });
  [1, 2, 3, 4].forEach((n) => streams.push(message(n)));
  streams.push({ type: 'up', node: 'a' });
  streams.push({ type: 'down', node: 'a' });
  streams.push({ type: 'up', node: 'b' });
  streams.push({ type: 'up', node: 'c' }); // now something else has to go
  streams.push(message(5));
  streams.end();
  assert.deepEqual(await all(stream), [
    { type: 'lost', count: 6 },
    { type: 'down', node: 'a' },
    { type: 'up', node: 'b' },
    { type: 'up', node: 'c' },
  ]);
  assert.equal(streams.size, 0);
  for (const limit of [0, -1, 1.5, '5', NaN]) {
    assert.throws(() => streams.add({ limit }), /give a whole number from 1/);
  }
});

test('the limit of a stream without a reader is 1024', async (t) => {
  const node = await upNode(t, lan());
  const stream = node.events();
  for (let n = 0; n < 3000; n += 1) {
    node.send(n).catch(() => {});
    if (n % 100 === 0) {
      await eventually(() => node.heard('message').length >= n - 200);
    }
  }
  await eventually(() => node.heard('message').length > 2000);
  const first = await stream.next();
  assert.equal(first.value.type, 'lost');
  assert.ok(first.value.count > 900);
  await stream.return();
});

test('several readers of one stream get an event each', async () => {
  const streams = new EventStreams();
  const stream = streams.add();
  const readers = [stream.next(), stream.next(), stream.next()];
  streams.push(message(1));
  streams.push(message(2));
  streams.end();
  streams.push(message(3));
  const results = await Promise.all(readers);
  assert.deepEqual(results.map(({ value }) => value?.message), [1, 2, undefined]);
  assert.deepEqual(results.map(({ done }) => done), [false, false, true]);
});

test('an error that the operator can correct is an event of a stream, and then no warning', async (t) => {
  const node = caster.createNode({ ...lan(), ...QUICK });
  node.caster.use({ name: 'broken', tx: (_message, next) => next(new Error('broken')) });
  const stream = node.events();
  const warnings = [];
  const listen = (warning) => warnings.push(warning);
  process.on('warning', listen);
  t.after(() => process.off('warning', listen));
  await node.up();
  const { value } = await stream.next();
  assert.deepEqual([value.type, value.error.message], ['error', 'broken']);
  await assert.rejects(node.down(), /broken/);
  assert.deepEqual(warnings, []);
});

test('messages of a caster can be iterated over', async () => {
  const server = caster.create(lan());
  server.use(caster.middleware.json());
  const events = all(server.events());
  const waited = server.waitFor(({ type, message }) => type === 'message' && message === 2);
  await server.bind();
  const size = await server.send(1);
  await server.send(2);
  const { address, port } = server;
  const remote = { address, family: 'IPv4', port, size };
  assert.deepEqual(await waited, { type: 'message', message: 2, remote });
  await server.close();
  assert.deepEqual((await events)[0], { type: 'message', message: 1, remote });
});

test('waitFor finds peers that are up and peers that come up', async (t) => {
  const network = { ...lan(), ...QUICK };
  const a = await upNode(t, { ...network, id: 'a' });
  await eventually(() => a.nodes.a);
  const isUp = (id) => (event) => event.type === 'up' && event.node.id === id;
  const known = await a.waitFor(isUp('a'));
  assert.equal(known.node, a.nodes.a);
  const coming = a.waitFor(isUp('b'), { timeout: 10_000 });
  const said = a.waitFor(({ type, message }) => type === 'message' && message === 'x');
  const b = await upNode(t, { ...network, id: 'b' });
  assert.equal((await coming).node, a.nodes.b);
  await b.send('x');
  assert.equal((await said).node, a.nodes.b);
});

test('waitFor takes the type of the event', async (t) => {
  const network = { ...lan(), ...QUICK, self: false };
  const a = caster.createNode({ ...network, id: 'a' });
  const b = caster.createNode({ ...network, id: 'b', meta: { type: 'db' } });
  await a.up();
  await b.up();
  t.after(() => b.down());
  t.after(() => a.down());
  const found = await a.waitFor('up', (event) => event.node.meta?.type === 'db', { timeout: 10_000 });
  assert.equal(found.node.id, 'b');
  const said = a.waitFor('message', 10_000);
  await b.send('x');
  assert.equal((await said).message, 'x');
  await assert.rejects(a.waitFor('down', () => true, 10), { code: 'TIMED_OUT' });
});

test('waitFor passes any number of peers that are up to the predicate', async () => {
  const streams = new EventStreams();
  const known = Array.from({ length: 5000 }, (_, n) => ({ type: 'up', node: n }));
  assert.equal(await streams.waitFor([({ node }) => node === 7], known, []), known[7]);
  assert.equal(streams.size, 0);
});

test('waitFor ends with an error if no event passes', async () => {
  const node = caster.createNode({ ...lan(), self: false });
  const never = () => false;
  await node.up();
  await assert.rejects(node.waitFor(never, { timeout: 10 }), { code: 'TIMED_OUT', message: /10 ms/ });
  await assert.rejects(node.waitFor(never, 10), { code: 'TIMED_OUT', message: /10 ms/ });
  await assert.rejects(node.waitFor(never, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  const controller = new AbortController();
  const waiting = assert.rejects(node.waitFor(never, { signal: controller.signal }), {
    name: 'AbortError',
  });
  controller.abort();
  await waiting;
  const ended = assert.rejects(node.waitFor(never), { code: 'ENDED' });
  await node.down();
  await ended;
  await assert.rejects(node.waitFor(5), TypeError);
  await assert.rejects(node.waitFor('pu'), { name: 'RangeError', message: /no event "pu"; give one of up, / });
  await assert.rejects(caster.create(lan()).waitFor('up'), { name: 'RangeError', message: /message, error, lost/ });
  await assert.rejects(node.waitFor(never, { timeout: -1 }), RangeError);
  await assert.rejects(node.waitFor(never, NaN), RangeError);
  for (const options of ['5000', null, () => 5]) {
    await assert.rejects(node.waitFor(never, options), TypeError);
  }
  const thrower = caster.createNode(lan());
  const thrown = assert.rejects(thrower.waitFor(() => { throw new Error('mine'); }), /mine/);
  await thrower.up();
  await thrown;
  await thrower.down();
});

test('two nodes with one id are reported by conflict', async (t) => {
  const network = { ...lan(), ...QUICK, id: 'twin', self: false };
  const a = caster.createNode(network);
  t.after(() => a.down());
  const heard = [];
  a.on('conflict', (event) => heard.push(event));
  const iterated = a.waitFor(({ type }) => type === 'conflict', { timeout: 10_000 });
  await a.up();
  await upNode(t, network);
  const expected = { type: 'conflict', id: 'twin', address: '127.0.0.1' };
  assert.deepEqual(await iterated, expected);
  assert.deepEqual(heard, [expected]);
});

test('datagrams of foreign groups are reported by hint, or the first by a warning of the process', async (t) => {
  const network = { ...lan(), ...QUICK, self: false };
  await upNode(t, { ...network, hashSecret: 'another' });
  const listening = caster.createNode(network);
  t.after(() => listening.down());
  const heard = listening.waitFor(({ type }) => type === 'hint', { timeout: 10_000 });
  listening.on('hint', () => {});
  await listening.up();
  assert.match((await heard).message, /127\.0\.0\.1 is on this port and cannot be understood/);
  const { foreign } = listening.stats();
  assert.ok(foreign['127.0.0.1'] > 0);

  const child = run(t, `
    const nodes = [1, 2].map(() => caster.createNode(options));
    nodes.forEach((node) => node.up());
    Promise.all(nodes.map((node) => node.waitFor(({ type }) => type === 'hint')))
      .then(() => nodes.forEach((node) => node.down()));`, network);
  await child.ended();
  assert.equal(child.code, 0);
  assert.equal(child.err.match(/CASTER_HINT/g).length, 1);
});

test('a process that only waits for events stays alive as long as the node is up', async (t) => {
  const child = run(t, `
    (async () => {
      const node = caster.createNode(options);
      node.up();
      for await (const event of node.events()) {
        console.log(event.type);
        if (event.type === 'settled') node.down();
      }
      console.log('ended');
    })();`);
  await child.ended();
  assert.deepEqual([child.code, child.out, child.err], [0, 'up\nsettled\nended\n', '']);
});
