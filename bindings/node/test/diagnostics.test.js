// A node shows what it is and what happens to it.
'use strict';

const assert = require('node:assert');
const { subscribe, unsubscribe } = require('node:diagnostics_channel');
const { spawn } = require('node:child_process');
const { test } = require('node:test');
const util = require('node:util');
const { VirtualNetwork } = require('../testing');
const { PACKAGE, run, watch } = require('./helper');

const quiet = { self: false, hashSecret: 'MARKER', crypto: true, cryptoKey: 'MARKER' };

test('a node shows id, state, metadata and peers, and no secret', async () => {
  const network = new VirtualNetwork(1);
  const node = network.node({ ...quiet, id: 'a', meta: { type: 'db' } });
  assert.equal(util.inspect(node), "Node { id: 'a', up: false, meta: { type: 'db' }, nodes: {} }");
  await node.up();
  await network.node({ ...quiet, id: 'b' }).up();
  await network.advance(100);
  const text = util.inspect(node, { depth: 3 });
  assert.match(text, /up: true/);
  assert.match(text, /nodes: \{\s*b: \{\s*id: 'b'/);
  assert.doesNotMatch(util.inspect(node, { depth: 9, showHidden: true }), /MARKER/);
  assert.equal(util.inspect({ x: { y: { node } } }, { depth: 2 }), '{ x: { y: { node: [Node a] } } }');
});

test('the channel has the events before the listeners get them', async () => {
  const seen = [];
  const note = ({ node, event }) => seen.push(['channel', node.id, event.type]);
  subscribe('caster:event', note);
  const network = new VirtualNetwork(1);
  const node = network.node({ ...quiet, id: 'a' });
  node.on('up', () => seen.push(['listener']));
  await node.up();
  await network.node({ ...quiet, id: 'b' }).up();
  await network.advance(100);
  unsubscribe('caster:event', note);
  const first = seen.findIndex((it) => it[0] === 'listener');
  assert.deepEqual(seen.slice(first - 1, first), [['channel', 'a', 'up']]);
});

test('NODE_DEBUG writes events to stderr', async (t) => {
  const script = `
    const { VirtualNetwork } = require(${JSON.stringify(`${PACKAGE}/testing`)});
    const network = new VirtualNetwork(1);
    const node = (id) => network.node({ id, self: false }).up();
    node('a').then(() => node('b')).then(() => network.advance(100)).then(() => process.exit(0));
  `;
  for (const [debug, expected] of [['caster', /CASTER \d+: a: opened[^]*a: up b/], ['http', /^$/]]) {
    const env = { ...process.env, NODE_DEBUG: debug };
    const child = watch(t, spawn(process.execPath, ['-e', script], { env }));
    await child.ended();
    assert.match(child.err, expected);
  }
});

test('the first node of a process rehearses events, which no program sees', async (t) => {
  const rehearsals = `
    const { Peers } = require(${JSON.stringify(`${PACKAGE}/lib/peers`)});
    const { add } = Peers.prototype;
    let count = 0;
    Peers.prototype.add = function (peer) { count += 1; return add.call(this, peer); };`;
  const makeTwo = `
    const of = () => { count = 0; const it = new Kind(options); return [count, Object.keys(it.nodes).length]; };
    console.log(JSON.stringify([of(), of(), seen]));`;
  const cases = [
    ['const seen = []; const Kind = caster.Node;', [[1, 0], [0, 0], []]],
    [
      `const seen = []; const Kind = caster.Node;
      require('node:diagnostics_channel').subscribe('caster:event', () => seen.push('channel'));`,
      [[0, 0], [0, 0], []],
    ],
    [
      'const seen = []; class Kind extends caster.Node { emit(name) { seen.push(name); } }',
      [[0, 0], [0, 0], []],
    ],
  ];
  for (const [program, expected] of cases) {
    const child = run(t, `${rehearsals}${program}${makeTwo}`);
    await child.ended();
    assert.deepEqual(JSON.parse(child.out || child.err), expected);
  }
});
