// The network disappears under a node and returns, which ended the process with caster 0.1.1. Run by
// all-runtimes.sh in a network namespace. Prints "ok" and ends by itself.
'use strict';

const assert = require('node:assert');
const { execSync } = require('node:child_process');
const caster = require('..');

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const network = (state) => execSync(`ip link set lo ${state}`);

async function main() {
  const node = caster.createNode({ heartbeat: 50, timeout: 200 });
  const errors = [];
  node.on('error', (error) => errors.push(error));
  const heard = [];
  for (const name of ['isolated', 'rejoined', 'down']) {
    node.on(name, (event) => heard.push([name, event]));
  }
  await node.up();
  await node.waitFor(({ type }) => type === 'up');
  const record = node.nodes[node.id];
  for (let round = 1; round <= 2; round += 1) {
    network('down');
    await sleep(1500);
    assert.strictEqual(errors.length, round, 'told once');
    assert.ok(node.stats().sendErrors > 3, 'tried again and counted');
    await assert.rejects(node.send('x'), { message: /^cannot send/, syscall: 'send' });
    network('up');
    const { lastSeen } = record;
    await sleep(1000);
    assert.ok(record.lastSeen > lastSeen, 'it goes on');
    await node.send('x');
  }
  const told = ['isolated', 'rejoined'].map((type) => [type, { type }]);
  assert.deepStrictEqual(heard, [...told, ...told]);
  assert.strictEqual(node.nodes[node.id], record);
  await node.down();
  console.log('ok');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
