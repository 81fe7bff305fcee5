'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const caster = require('..');
const { eventually, lan, run, upNode } = require('./helper');

const START = `
  const node = caster.createNode({ ...options, id: 'ends', self: false });
  node.up(() => console.log('ready'));`;

async function ended(t, source, signal) {
  const network = { ...lan(), self: false, timeout: 20_000 };
  const observer = await upNode(t, network);
  const program = run(t, source, network);
  await eventually(() => observer.nodes.ends);
  program.child.kill(signal);
  await program.ended();
  await eventually(() => observer.heard('down').length === 1);
  assert.equal(observer.heard('down')[0][2], 'goodbye');
  return program;
}

test('a process that a signal ends leaves before', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    const program = await ended(t, `caster.leaveOnSignals();${START}`, signal);
    assert.equal(program.signal, signal);
  }
});

test('listeners of the program decide about its end', async (t) => {
  const source = `caster.leaveOnSignals(['SIGHUP']);${START}
    process.on('SIGHUP', () => setTimeout(() => process.exit(7), 300));`;
  const program = await ended(t, source, 'SIGHUP');
  assert.equal(program.code, 7);
});

test('a leave that goes on is waited for', async (t) => {
  const source = `caster.leaveOnSignals();${START}
    process.prependListener('SIGTERM', () => node.down(() => console.log('gone')));`;
  const network = { ...lan(), self: false, timeout: 20_000 };
  const observer = await upNode(t, network);
  const program = run(t, source, network);
  await eventually(() => observer.nodes.ends);
  program.child.kill('SIGTERM');
  await eventually(() => program.out.includes('gone'));
});

test('what is no signal is refused, and nothing is installed', () => {
  assert.throws(() => caster.leaveOnSignals(['SIGTERM', 'SIGNOT']), /not SIGNOT/);
  assert.equal(process.listenerCount('SIGTERM'), 0);
});
