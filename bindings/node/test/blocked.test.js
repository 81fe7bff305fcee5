// A blocked event loop.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { eventually, lan, run, upNode } = require('./helper');

/** Blocks the calling thread. */
const BLOCK = 'const block = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);';

test('peers see no down while the event loop is blocked for 10 s', async (t) => {
  const network = { ...lan(), heartbeat: 200, timeout: 600, self: false };
  const own = await upNode(t, { ...network, id: 'own' });
  const child = run(t, `
    ${BLOCK}
    const node = caster.createNode({ ...options, id: 'busy' });
    node.on('down', ({ id }) => console.log('down', id));
    node.on('message', (message) => {
      if (message === 'block') {
        console.log('blocked');
        block(10_000);
        console.log('back', Boolean(node.nodes.own), node.nodes.own.lastSeen > Date.now() - 2000);
      } else {
        node.down();
      }
    });
    node.up();`, network);
  const record = await eventually(() => own.nodes.busy);
  await own.send('block');
  await eventually(() => child.out.includes('blocked'));
  const before = record.lastSeen;
  await eventually(() => child.out.includes('back'), 'the end of the blockade', 30_000);
  assert.ok(record.lastSeen - before > 9000, 'heartbeats went on');
  assert.equal(own.heard('up').length, 1);
  assert.equal(own.heard('down').length, 0);
  await own.send('leave');
  await child.ended();
  assert.equal(child.out, 'blocked\nback true true\n');
  assert.equal(own.heard('down')[0][2], 'goodbye');
});

test('memory stays bounded while the event loop is blocked under a flood', async (t) => {
  const network = { ...lan(), self: false };
  const own = await upNode(t, network);
  const child = run(t, `
    ${BLOCK}
    const node = caster.createNode({ ...options, id: 'flooded' });
    node.on('error', () => {});
    node.on('message', (message) => { if (message === 'last') report(); });
    const rss = () => Math.round(process.memoryUsage.rss() / 2 ** 20);
    let before, after, peak = 0;
    node.up(() => setTimeout(() => {
      before = rss();
      console.log('blocked');
      const until = Date.now() + 20_000;
      while (node.stats().eventsLost < 30_000 && Date.now() < until) {
        block(50);
        peak = Math.max(peak, rss());
      }
      console.log('back');
    }, 100));
    function report() {
      console.log(JSON.stringify({ before, peak, stats: node.stats() }));
      node.down();
    }`, network);
  await eventually(() => own.nodes.flooded && child.out.includes('blocked'));
  const payload = 'x'.repeat(1000);
  for (let sent = 0; !child.out.includes('back') && sent < 1_000_000; sent += 50) {
    for (let n = 0; n < 50; n += 1) {
      own.send(payload).catch(() => {});
    }
    await new Promise(setImmediate);
  }
  await eventually(() => child.out.includes('back'));
  const ending = setInterval(() => own.send('last').catch(() => {}), 50);
  t.after(() => clearInterval(ending));
  await child.ended();
  const { before, peak, stats } = JSON.parse(child.out.split('\n')[2]);
  assert.ok(stats.eventsLost >= 30_000, `${stats.eventsLost} messages of 1 kB were lost`);
  // 16 MiB of messages may wait; those that were lost would have been twice as much.
  assert.ok(peak - before < 48, `${peak - before} MiB more than before`);
});
