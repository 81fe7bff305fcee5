// The installed package as a module. Prints "ok" and ends by itself.
import assert from 'node:assert';
import { VirtualNetwork } from 'caster/testing';
import caster, { Caster, Node, create, createNode, middleware, version } from 'caster';

assert.deepStrictEqual({ ...caster }, { Caster, Node, create, createNode, middleware, version });
const node = createNode({ address: '127.0.0.1', port: 20_000 + (process.pid % 12_000) });
const seen = node.waitFor(({ type }) => type === 'up');
await node.up();
assert.strictEqual((await seen).node.id, node.id);
await node.down();
assert.strictEqual(new VirtualNetwork().now, 0);
console.log('ok');
