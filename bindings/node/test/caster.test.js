'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { test } = require('node:test');
const caster = require('..');
const { boundCaster, call, eventually, lan } = require('./helper');

const { json, hash, crypto } = caster.middleware;

test('the fields show the options in force', () => {
  const server = caster.create();
  const { multicast, address, port, loopback, ttl } = server;
  assert.deepEqual(
    { multicast, address, port, loopback, ttl },
    { multicast: '224.0.0.42', address: '0.0.0.0', port: 10101, loopback: true, ttl: 64 },
  );
  assert.equal(caster.create({ loopback: 0 }).loopback, true);
  assert.equal(caster.create({ loopback: false }).loopback, false);
  assert.equal(caster.create({ port: '10102' }).port, 10102);
  assert.ok(server instanceof caster.Caster);
});

test('a field that is assigned before bind has effect', async (t) => {
  const network = lan();
  const moved = caster.create({ ...network, port: network.port + 1 });
  moved.use(json());
  moved.port = network.port;
  await call(moved, 'bind');
  t.after(() => moved.close());
  const server = await boundCaster(t, network, json());
  await call(moved, 'send', 'moved');
  await eventually(() => server.log.length);
  assert.equal(server.log[0][1].port, network.port);
});

test('bytes and text are sent without middleware, values with json', async (t) => {
  const network = lan();
  const plain = await boundCaster(t, network);
  assert.equal(await call(plain, 'send', Buffer.from('é')), 2);
  assert.equal(await call(plain, 'send', 'é'), 2);
  assert.equal(await call(plain, 'send', new Uint8Array([1, 2])), 2);
  await assert.rejects(call(plain, 'send', { a: 1 }), { code: 'MIDDLEWARE' });
  await eventually(() => plain.log.length === 3);
  const [[message, remote]] = plain.log;
  assert.ok(Buffer.isBuffer(message));
  assert.equal(message.toString(), 'é');
  assert.deepEqual(remote, {
    address: '127.0.0.1', family: 'IPv4', port: network.port, size: 2,
  });

  const values = await boundCaster(t, lan(), json(), hash(), crypto());
  const sent = [{ hello: 'wörld' }, 'text', 0, null, [1, '😀'], Buffer.from('not json')];
  for (const value of sent) {
    await call(values, 'send', value);
  }
  await eventually(() => values.log.length === sent.length);
  assert.deepStrictEqual(values.log.map(([value]) => value), sent);
  for (const nothing of [undefined, () => {}, Symbol('x')]) {
    await assert.rejects(call(values, 'send', nothing), TypeError);
  }
});

test('errors go to the callback, or are emitted', async () => {
  const server = caster.create(lan());
  await assert.rejects(call(server, 'send', Buffer.from('x')), { code: 'NOT_BOUND' });
  const emitted = once(server, 'error');
  server.send(Buffer.from('x'));
  assert.equal((await emitted)[0].code, 'NOT_BOUND');
  await call(server, 'bind');
  await assert.rejects(call(server, 'bind'), { code: 'ALREADY_BOUND' });
  const large = { code: 'EMSGSIZE' };
  await assert.rejects(call(server, 'send', Buffer.alloc(70_000)), large);
  await call(server, 'close');
  await call(server, 'close');
  await call(server, 'bind');
  await call(server, 'close');
});

test('invalid middleware is refused with the texts of 0.1.1', () => {
  const server = caster.create(lan());
  const refused = (middleware, message) => assert.throws(() => server.use(middleware), { message });
  refused({ tx() {} }, 'Middleware name not set');
  refused({ name: 'x', tx: 1 }, 'middleware.tx is not a function');
  refused({ name: 'x', rx: 1 }, 'middleware.rx is not a function');
  refused({ name: 'x' }, 'middleware has no functionality');
  server.use(json());
  refused(json(), 'middleware already in use');
  refused({ name: 'json', tx() {} }, 'middleware already in use');
});

test('the error of a wrong middleware option names the accepted values', () => {
  assert.throws(() => hash({ algorithm: 'nope' }), /hash algorithm "nope" is not supported; use one of sha1/);
  assert.throws(() => crypto({ algorithm: 'des' }), /use aes128, aes192, aes256/);
  assert.throws(() => hash({ era: 'stone' }), /hash era "stone" is not known; use auto, binary or utf8/);
  assert.doesNotThrow(() => hash({ secret: null, algorithm: undefined }));
});

test('a digest that does not match is counted, and an error for listeners', async (t) => {
  const network = lan();
  const server = await boundCaster(t, network, json(), hash({ secret: 'ours' }));
  const stranger = await boundCaster(t, network, json(), hash({ secret: 'theirs' }));
  await call(stranger, 'send', 'x');
  await eventually(() => server.stats().dropped.hash === 1);
  const error = once(server, 'error');
  await call(stranger, 'send', 'x');
  const [rejected] = await error;
  assert.ok(rejected instanceof Error);
  assert.equal(rejected.message, 'Hash does not match');
  assert.equal(server.log.length, 0);
  await call(server, 'send', 'fine');
  await eventually(() => server.log.length === 1);
});

/** A middleware that records each call of `tx` and `rx`. */
function wrapper(name, trace, later = (go) => go()) {
  const note = (direction, kind) => trace.push(`${name}.${direction} ${kind}`);
  const kindOf = (message) => (Buffer.isBuffer(message) ? 'bytes' : typeof message);
  return {
    name,
    tx(message, next) {
      note('tx', kindOf(message));
      later(() => next(null, message));
    },
    rx(message, remote, next) {
      note('rx', kindOf(message));
      assert.equal(remote.family, 'IPv4');
      later(() => next(null, message));
    },
  };
}

for (const [how, later] of [['synchronous', undefined], ['asynchronous', setImmediate]]) {
  test(`${how} middleware before, between and after the built-in`, async (t) => {
    const network = lan();
    const trace = [];
    const around = (name) => wrapper(name, trace, later);
    const server = await boundCaster(
      t, network, around('a'), json(), around('b'), hash(), crypto(), around('c'),
    );
    await boundCaster(t, network, json(), hash(), crypto());
    await call(server, 'send', { x: 1 });
    await eventually(() => server.log.length);
    assert.deepEqual(server.log[0][0], { x: 1 });
    assert.deepEqual(trace, [
      'a.tx object', 'b.tx bytes', 'c.tx bytes', 'c.rx bytes', 'b.rx bytes', 'a.rx object',
    ]);
    const { received, accepted } = server.stats();
    assert.deepEqual([received, accepted], [1, 1]);
  });
}

test('a chain that JavaScript runs has the same wire format as one in the core', async (t) => {
  const network = lan();
  const own = await boundCaster(t, network, json(), wrapper('own', []), hash(), crypto());
  const plain = await boundCaster(t, network, json(), hash(), crypto());
  await call(own, 'send', 'é from own');
  await call(plain, 'send', 'é from plain');
  await eventually(() => own.log.length === 2 && plain.log.length === 2);
  assert.deepEqual(own.log.map(([text]) => text), ['é from own', 'é from plain']);
  assert.deepEqual(plain.log.map(([text]) => text), ['é from own', 'é from plain']);
});

test('the listener gets the value that the middleware returned', async (t) => {
  const when = new Date(5);
  const dates = { name: 'dates', rx: (message, remote, next) => next(null, when) };
  const server = await boundCaster(t, lan(), dates, json());
  await call(server, 'send', 1);
  await eventually(() => server.log.length);
  assert.equal(server.log[0][0], when);
});

test('middleware that fails or throws', async (t) => {
  const server = await boundCaster(t, lan(), json());
  let how = (next) => next(null, Buffer.from('1'));
  server.use({ name: 'moody', tx: (message, next) => how(next) });
  let wayIn = (message, next) => next(null, message);
  server.use({ name: 'inward', rx: (message, remote, next) => wayIn(message, next) });
  assert.equal(await call(server, 'send', 'x'), 1);
  how = (next) => next(new Error('failed'));
  await assert.rejects(call(server, 'send', 'x'), /failed/);
  how = () => { throw new Error('thrown'); };
  await assert.rejects(call(server, 'send', 'x'), /thrown/);
  how = (next) => next(null, { not: 'bytes' });
  await assert.rejects(call(server, 'send', 'x'), { code: 'MIDDLEWARE' });
  how = (next) => { next(null, Buffer.from('2')); next(null, Buffer.from('3')); };
  await call(server, 'send', 'x');
  await eventually(() => server.log.length === 2);
  assert.deepEqual(server.log.map(([value]) => value), [1, 2]);

  wayIn = () => { throw new Error('never fatal'); };
  await call(server, 'send', 'x');
  await eventually(() => server.stats().dropped.middleware === 1);
  const error = once(server, 'error');
  await call(server, 'send', 'x');
  assert.equal((await error)[0].message, 'never fatal');
});

test('_middleware, _tx and _rx are the chain that is run', async (t) => {
  const network = lan();
  const server = await boundCaster(t, network, json(), hash());
  await call(server, 'send', 'a');
  await eventually(() => server.log.length === 1);
  assert.deepEqual(Object.keys(server._middleware), ['json', 'hash']);
  assert.equal(server._tx.length, 2);
  server._middleware = {};
  server._tx = [];
  server._rx = [];
  const same = json();
  server.use(same);
  await call(server, 'send', 'b');
  server._rx.length = 0;
  await eventually(() => server.log.length === 2);
  assert.equal(server.log[1][0].toString(), '"b"');
  assert.throws(() => server.use(same), { message: 'middleware already in use' });
  const other = await boundCaster(t, network, same);
  await call(server, 'send', 'c');
  await eventually(() => other.log.length === 1);
  assert.equal(other.log[0][0], 'c');
});

test('built-in middleware that the program has changed is run with the change', async (t) => {
  const loud = json();
  loud.tx = (message, next) => next(null, Buffer.from(JSON.stringify(message).toUpperCase()));
  const server = await boundCaster(t, lan(), loud);
  await call(server, 'send', 'quiet');
  await eventually(() => server.log.length);
  assert.equal(server.log[0][0], 'QUIET');
});

test('middleware objects can be called', () => {
  const calls = [];
  const next = (...args) => calls.push(args);
  json().tx({ é: 1 }, next);
  json().rx(Buffer.from('{"a":1}'), {}, next);
  json().rx(Buffer.from('nope'), {}, next);
  hash().rx(Buffer.from('short'), {}, next);
  crypto().rx(Buffer.from('short'), {}, next);
  hash().tx('text', next);
  json().tx(undefined, next);
  assert.deepEqual(calls[0], [null, Buffer.from('{"\\u00e9":1}')]);
  assert.deepEqual(calls[1], [null, { a: 1 }]);
  assert.deepEqual(calls[2], [null, Buffer.from('nope')]);
  assert.equal(calls[3][0].message, 'Hash does not match');
  assert.equal(calls[4][0].code, 'DECRYPT');
  assert.match(calls[5][0].message, /hash works on bytes/);
  assert.ok(calls[6][0] instanceof TypeError);
  assert.deepEqual(calls.map(({ length }) => length), Array(7).fill(2));
});
