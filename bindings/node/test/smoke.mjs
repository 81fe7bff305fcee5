// The installed package as a module. Prints "ok" and ends by itself.
import assert from 'node:assert';
import { VirtualNetwork, networkPerTest } from 'caster/testing';
import caster from 'caster';
import { Caster, Node, create, createNode, generateIdentity, generateKey, leaveOnSignals, middleware, publicKey, version } from 'caster';

const named = { Caster, Node, create, createNode, generateIdentity, generateKey, leaveOnSignals, middleware, publicKey, version };
assert.deepStrictEqual({ ...caster }, named);
const node = createNode({ address: '127.0.0.1', port: 22_000 + (process.pid % 10_000) });
const seen = node.waitFor(({ type }) => type === 'up');
await node.up();
assert.strictEqual((await seen).node.id, node.id);
await node.down();
assert.strictEqual(new VirtualNetwork().now, 0);
assert.throws(() => networkPerTest({}), TypeError);
console.log('ok');
