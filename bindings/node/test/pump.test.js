// Batches of events, most of them from a mocked queue.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Pump } = require('../lib/pump');
const { VirtualNetwork } = require('../testing');
const { eventually, lan, upNode } = require('./helper');

/** A native queue of JSON texts. */
function queue(texts) {
  return {
    drain: (limit) => `[${texts.splice(0, limit)}]`,
    bytes: () => Buffer.from('abcdef'),
    transits: () => ['first', 'second'],
  };
}

const original = JSON.parse;
const numbered = (count) => Array.from({ length: count }, (_, n) => JSON.stringify({ n }));

test('more events than one batch holds arrive in order', () => {
  const heard = [];
  const native = queue(numbered(5000));
  const pump = new Pump(native, ({ n }) => heard.push(n));
  pump.drain();
  assert.ok(heard.length < 5000);
  while (heard.length < 5000) {
    pump.drain();
  }
  assert.deepEqual(heard, [...heard.keys()]);
});

test('messages beyond one batch arrive, whether they are large or many', async () => {
  const network = new VirtualNetwork(1);
  const [a, b] = ['a', 'b'].map((id) => network.node({ id, self: false }));
  await a.up();
  await b.up();
  await network.advance(100);
  for (const [count, size] of [[5000, 1], [300, 8000]]) {
    const heard = [];
    b.removeAllListeners('message').on('message', ({ n }) => heard.push(n));
    await a.sendBatch(Array.from({ length: count }, (_, n) => ({ n, text: 'x'.repeat(size) })));
    await network.advance(1);
    assert.deepEqual(heard, Array.from({ length: count }, (_, n) => n));
  }
});

test('the same over sockets', async (t) => {
  const options = { ...lan(), self: false };
  const a = await upNode(t, { ...options, id: 'a' });
  const b = await upNode(t, { ...options, id: 'b' });
  await eventually(() => a.nodes.b && b.nodes.a);
  const end = Date.now() + 150;
  await a.sendBatch(Array.from({ length: 2500 }, (_, n) => n).map(String));
  while (Date.now() < end); // they wait in the queue meanwhile
  const lost = () => b.stats().kernelDrops + b.stats().eventsLost;
  await eventually(() => b.heard('message').length + lost() >= 2500);
  assert.ok(b.heard('message').length > 1024);
});

test('events get their bytes and transits', () => {
  const heard = [];
  const texts = ['[{"address":"10.0.0.1"},9,1,2]', '{"type":"stage","transit":1,"bytes":[3,0]}'];
  new Pump(queue(texts), (event) => heard.push(event)).drain();
  assert.equal(heard[0].message.toString(), 'bc');
  assert.equal(heard[1].transit, 'second');
  assert.equal(heard[1].message.length, 0);
});

test('each message has its own object with the source address', () => {
  const heard = [];
  const remote = (digit) => ({ address: `10.0.0.${digit}`, family: 'IPv4', port: 1 });
  const json = JSON.stringify([[remote(1), 5, 'a'], [remote(2), 6, 'b'], [0, 7, 'c'], ['id', ['d']]]);
  new Pump({ drain: () => json }, (event) => heard.push(event)).drain();
  assert.deepEqual(heard, [
    { type: 'message', message: 'a', remote: { ...remote(1), size: 5 } },
    { type: 'message', message: 'b', remote: { ...remote(2), size: 6 } },
    { type: 'message', message: 'c', remote: { ...remote(1), size: 7 } },
    { type: 'message', message: ['d'], node: 'id' },
  ]);
  assert.notEqual(heard[0].remote, heard[2].remote);
});

test('the other events of a batch arrive if one cannot be parsed', (t) => {
  const heard = [];
  const texts = ['{"n":0}', '{"poison":[",]}"]}', '{"n":2}'];
  t.mock.method(JSON, 'parse', function parse(text, ...rest) {
    if (text.includes('poison')) {
      throw new SyntaxError('not for this engine');
    }
    return original.call(JSON, text, ...rest);
  });
  new Pump(queue(texts), ({ n }) => heard.push(n)).drain();
  assert.deepEqual(heard, [0, 2]);
});

test('a handler that throws is called again for the rest', async () => {
  const heard = [];
  const pump = new Pump(queue(numbered(3)), ({ n }) => {
    heard.push(n);
    if (n === 0) {
      throw new Error('thrown');
    }
  });
  assert.throws(() => pump.drain(), /thrown/);
  await eventually(() => heard.length === 3);
  assert.deepEqual(heard, [0, 1, 2]);
});

test('events can be extracted before those that wait', async () => {
  const heard = [];
  const pump = new Pump(queue(numbered(4)), ({ n }) => heard.push(n));
  assert.deepEqual(pump.extract(({ n }) => n % 2), [{ n: 1 }, { n: 3 }]);
  assert.deepEqual(heard, []);
  await eventually(() => heard.length === 2);
  assert.deepEqual(heard, [0, 2]);
  pump.clear();
});

test('the core wakes the event loop once for many events and never for heartbeats', async (t) => {
  let drains = 0;
  const { drain } = Pump.prototype;
  t.mock.method(Pump.prototype, 'drain', function counted() {
    drains += 1;
    return drain.call(this);
  });
  const network = { ...lan(), heartbeat: 20, self: false };
  const a = await upNode(t, { ...network, id: 'a' });
  const b = await upNode(t, { ...network, id: 'b' });
  let settled = 0;
  [a, b].forEach((node) => node.on('settled', () => { settled += 1; }));
  const record = await eventually(() => settled === 2 && b.nodes.a && a.nodes.b && b.nodes.a);
  const { lastSeen } = record;
  drains = 0;
  await eventually(() => record.lastSeen > lastSeen + 400);
  assert.equal(drains, 0);
  const until = Date.now() + 300;
  for (let n = 0; n < 1000; n += 1) {
    a.send(n, () => {});
  }
  while (Date.now() < until); // they all arrive meanwhile
  await eventually(() => b.heard('message').length === 1000);
  assert.ok(drains < 10, `${drains} wakes for 1000 messages`);
});
