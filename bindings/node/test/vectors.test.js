// The golden vectors of caster 0.1.1 through the JavaScript API: all 568, none skipped.
'use strict';

const assert = require('node:assert/strict');
const { createHash } = require('node:crypto');
const dgram = require('node:dgram');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const caster = require('..');
const { boundCaster, call, eventually, lan } = require('./helper');

const FILE = path.join(__dirname, '../../../tests/vectors/vectors.json');
const { cases } = JSON.parse(fs.readFileSync(FILE, 'utf8'));
const ERAS = ['binary', 'utf8'];

/** "Hash algorithms" and "ciphers": everything that is not named there is refused at creation. */
const REFUSED_ALGORITHMS = new Set([
  'whirlpool', 'sha512-256',
  'aes-256-cfb8',
  'des', 'des-cbc', 'des-ecb', 'des-cfb', 'des3', 'des-ede-cbc',
  'des-ede3', 'des-ede3-cbc', 'des-ede3-cfb',
  'bf', 'bf-cbc', 'bf-cfb', 'blowfish', 'cast5-cbc', 'cast5-ecb', 'rc2', 'rc4', 'rc4-40',
  'camellia256', 'camellia-256-ecb', 'seed', 'idea',
]);
const REFUSED_CASES = 30;

const ID_IS_A_STRING = 'id is a string of at most 255 bytes; numbers and true are coerced as JS does, arrays and objects are dropped';
const NO_INFINITY = 'NaN and infinities are refused';
const NO_LEAVE_WITH_MESSAGE = 'leave with a message: an unknown id is dropped';

/** Cases in which Caster deviates from 0.1.1: the rule and the result. */
const z = { type: 'up', id: '"z"', meta: '9' };
const renamed = (given, id) => ({ rule: ID_IS_A_STRING, rename: [given, id] });
const dropped = (steps) => ({ rule: ID_IS_A_STRING, steps });
const LONG_ID = cases.find(({ name }) => name.startsWith('node_rx/id/"xxxx')).name;
const DIFFERENT = {
  'json/js/Infinity': { rule: NO_INFINITY, refused: /is NaN or infinite/ },
  'node_tx/heartbeat/id_number': { rule: ID_IS_A_STRING, payload: '{"id":"5","meta":null}' },
  'node_tx/heartbeat/id_float': { rule: ID_IS_A_STRING, payload: '{"id":"1.5","meta":null}' },
  'node_tx/heartbeat/id_true': { rule: ID_IS_A_STRING, payload: '{"id":"true","meta":null}' },
  'node_tx/heartbeat/id_object': { rule: ID_IS_A_STRING, refused: /option id/ },
  'node_tx/send/id_number': { rule: ID_IS_A_STRING, payload: '{"id":"7","message":"x"}' },
  'node_tx/down/id_number': { rule: ID_IS_A_STRING, payload: '{"id":"5","suicide":true}' },
  'node_rx/id/true': renamed('true', '"true"'),
  'node_rx/id/1.5': renamed('1.5', '"1.5"'),
  'node_rx/id/1e21': renamed('1e+21', '"1e+21"'),
  'node_rx/id_float_key': renamed('0.1', '"0.1"'),
  'node_rx/id/{"a":1}': dropped([[], [], [], [z]]),
  'node_rx/id/{}': dropped([[], [], [], [z]]),
  'node_rx/id/[1,2]': dropped([[], [], [], [z]]),
  'node_rx/id/[]': dropped([[], [], [], [z]]),
  [LONG_ID]: dropped([[], [], [], [z]]),
  'node_rx/id_object_key': dropped([[], [], []]),
  'node_rx/goodbye_unknown_with_message': { rule: NO_LEAVE_WITH_MESSAGE, steps: [[]] },
};

/** One runtime of each era; where the runtimes of an era differ, it is not about the era. */
const REFERENCE = { binary: '5.12.0', utf8: '6.17.1' };

function wireOf({ results }, era) {
  const outcome =
    results.find(({ runtimes }) => runtimes.includes(REFERENCE[era])) ??
    results.find((result) => result.era === 'both');
  assert.ok(outcome?.wire_base64 !== undefined, 'the vector has bytes for this era');
  return Buffer.from(outcome.wire_base64, 'base64');
}

function value(encoded) {
  if (encoded === null || typeof encoded !== 'object') {
    return encoded;
  }
  if (encoded.utf16) {
    return String.fromCharCode(...encoded.utf16);
  }
  if (encoded.buffer_base64 !== undefined) {
    return Buffer.from(encoded.buffer_base64, 'base64');
  }
  if ('value' in encoded) {
    return encoded.value;
  }
  return encoded.js === undefined ? encoded : evaluate(encoded.js);
}

function evaluate(expression) {
  return new Function(`return (${expression});`)();
}

function input({ json, base64, js }) {
  if (base64 !== undefined) {
    return Buffer.from(base64, 'base64');
  }
  return js === undefined ? JSON.parse(json) : evaluate(js);
}

function values(options) {
  return Object.fromEntries(Object.entries(options).map(([name, v]) => [name, value(v)]));
}

function makeChain({ chain, options }, era) {
  return chain.map((name) => {
    const given = values(options[name] ?? {});
    switch (name) {
      case 'json':
        return caster.middleware.json({ rawUtf8: true });
      case 'hash':
        return caster.middleware.hash({ ...given, era });
      default:
        return caster.middleware[name](given);
    }
  });
}

function isRefused({ options = {} }) {
  return Object.values(options).some(({ algorithm }) => REFUSED_ALGORITHMS.has(algorithm));
}

/** Calls stages one behind the other and returns what came out. */
function walk(stages, message) {
  let current = message;
  for (const stage of stages) {
    let calls = 0;
    stage(current, (error, result) => {
      calls += 1;
      if (error) {
        throw error;
      }
      current = result;
    });
    assert.equal(calls, 1, 'next is called once');
  }
  return current;
}

const remote = { address: '127.0.0.1', family: 'IPv4', port: 1, size: 1 };
const counted = { tx: 0, rx: 0, node_tx: 0, node_rx: 0, refused: 0, different: 0 };

function of(kind) {
  return cases.filter((vector) => vector.kind === kind);
}

function refusesAtCreation(vector) {
  counted.refused += 1;
  assert.throws(() => makeChain(vector, 'utf8'), (error) => {
    assert.equal(error.code, 'INVALID_OPTION');
    return /not supported; use/.test(error.message);
  });
}

describe('vectors: tx', () => {
  for (const vector of of('tx')) {
    test(vector.name, () => {
      counted.tx += 1;
      if (isRefused(vector)) {
        return refusesAtCreation(vector);
      }
      const different = DIFFERENT[vector.name];
      counted.different += different ? 1 : 0;
      for (const era of ERAS) {
        const stages = makeChain(vector, era).map(({ tx }) => tx);
        if (different) {
          assert.throws(() => walk(stages, input(vector.input)), different.refused);
          continue;
        }
        const wire = walk(stages, input(vector.input));
        assert.equal(wire.toString('hex'), wireOf(vector, era).toString('hex'), era);
      }
    });
  }
});

describe('vectors: rx', () => {
  for (const vector of of('rx')) {
    test(vector.name, () => {
      counted.rx += 1;
      if (isRefused(vector)) {
        return refusesAtCreation(vector);
      }
      const wire = Buffer.from(vector.wire_base64, 'base64');
      const { message, error } = vector.dropin;
      for (const era of ERAS) {
        const chain = makeChain(vector, era).reverse();
        const stages = chain.map(({ rx }) => (current, next) => rx(current, remote, next));
        const receive = () => walk(stages, wire);
        if (error) {
          const code = { hash: 'HASH_MISMATCH', decrypt: 'DECRYPT' }[error];
          assert.throws(receive, (thrown) => thrown instanceof Error && thrown.code === code);
        } else if (message.json !== undefined) {
          assert.deepStrictEqual(receive(), JSON.parse(message.json));
        } else {
          const received = receive();
          assert.ok(Buffer.isBuffer(received));
          assert.equal(received.toString('base64'), message.buffer_base64);
        }
      }
    });
  }
});

/** A datagram of a node with the default secret and algorithm, made without this package. */
function hashed(payload) {
  const digest = createHash('sha1').update('9ve2cND;d3"Vs').update(payload).digest();
  return Buffer.concat([digest, Buffer.from(payload)]);
}

describe('vectors: node_tx', () => {
  for (const vector of of('node_tx')) {
    test(vector.name, async (t) => {
      counted.node_tx += 1;
      const different = DIFFERENT[vector.name];
      counted.different += different ? 1 : 0;
      for (const era of ERAS) {
        const network = lan();
        const options = {
          ...values(vector.node_options),
          ...network,
          compat: '0.1.1',
          rawUtf8: true,
          hashEra: era,
        };
        if (different?.refused) {
          assert.throws(() => caster.createNode(options), different.refused);
          continue;
        }
        const tap = await boundCaster(t, network);
        const node = caster.createNode(options);
        await call(node, 'up');
        if (vector.action === 'send') {
          await call(node, 'send', input(vector.input));
        }
        if (vector.action === 'down') {
          await call(node, 'down');
        } else {
          t.after(() => call(node, 'down'));
        }
        // Heartbeats may come before it, and again.
        const expected = different ? hashed(different.payload) : wireOf(vector, era);
        const sent = () => tap.log.map(([wire]) => wire.toString('hex'));
        await eventually(() => sent().includes(expected.toString('hex')), `${expected}`).catch(
          (error) => assert.fail(`${era}: ${error.message}, but ${sent()}`),
        );
        if (node.expose) {
          assert.equal(new Set(sent()).size, vector.action === 'heartbeat' ? 1 : 2, 'no others');
        }
      }
    });
  }
});

/** The events of a vector in the types of JavaScript. */
function expectedEvents(events) {
  return events.map(({ type, id, meta, message, remote }) => {
    const parse = (text) => (text === undefined || text === null ? undefined : JSON.parse(text));
    return type === 'message'
      ? { type, message: parse(message), remote: parse(remote) }
      : { type, id: parse(id), meta: parse(meta) };
  });
}

function renameIds(steps, [from, to]) {
  const rename = (text) => (text === from ? to : text);
  return steps.map((events) =>
    events.map((event) => {
      const copy = { ...event };
      for (const key of ['id', 'remote']) {
        if (key in copy) {
          copy[key] = rename(copy[key]);
        }
      }
      return copy;
    }),
  );
}

describe('vectors: node_rx', () => {
  const socket = dgram.createSocket('udp4');

  before(async () => {
    await new Promise((resolve) => socket.bind(0, '127.0.0.1', resolve));
    socket.setMulticastInterface('127.0.0.1');
  });
  after(() => socket.close());

  for (const vector of of('node_rx')) {
    test(vector.name, async (t) => {
      counted.node_rx += 1;
      const different = DIFFERENT[vector.name];
      counted.different += different ? 1 : 0;
      const options = {
        ...lan(),
        ...values(vector.node_options),
        compat: '0.1.1',
        expose: false,
      };
      const node = caster.createNode(options);
      let events = [];
      const put = (type) => ({ id, meta }) => {
        if (id !== 'marker') {
          events.push({ type, id, meta });
        }
      };
      node.on('up', put('up'));
      node.on('down', put('down'));
      node.on('update', put('update'));
      node.on('error', (error) => events.push({ type: 'error', error }));
      let marks = 0;
      node.on('message', (message, { id }) => {
        if (id === 'marker') {
          marks += 1;
        } else {
          events.push({ type: 'message', message, remote: id });
        }
      });
      await call(node, 'up');
      t.after(() => call(node, 'down'));
      // It speaks with the same options, so what it says comes after the datagram before it.
      const marker = caster.createNode({ ...options, id: 'marker', self: false });
      await call(marker, 'up');
      t.after(() => call(marker, 'down'));

      let steps = different?.steps ?? vector.dropin.steps;
      steps = different?.rename ? renameIds(steps, different.rename) : steps;
      const left = new Set(['marker']);
      assert.equal(steps.length, vector.steps.length);
      for (const [index, { wire_base64 }] of vector.steps.entries()) {
        events = [];
        const wire = Buffer.from(wire_base64, 'base64');
        await call(socket, 'send', wire, options.port, options.multicast);
        await call(marker, 'send', 'mark');
        await eventually(() => marks === index + 1, 'the mark');
        const expected = expectedEvents(steps[index]);
        assert.deepStrictEqual(events, expected, `step ${index}`);
        for (const { type, id } of expected) {
          if (type === 'up') {
            left.add(id);
          } else if (type === 'down') {
            left.delete(id);
          }
        }
      }
      assert.deepStrictEqual(Object.keys(node.nodes).sort(), [...left].sort());
    });
  }
});

test('every vector was run', () => {
  const { tx, rx, node_tx, node_rx } = counted;
  assert.equal(cases.length, 568);
  assert.equal(tx + rx + node_tx + node_rx, 568);
  assert.equal(counted.refused, REFUSED_CASES);
  assert.equal(counted.different, Object.keys(DIFFERENT).length);
});
