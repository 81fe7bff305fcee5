// The same package through `require`. Compiled, never run.
import caster = require('caster');
import type { RemoteNode } from 'caster';

const node: caster.Node<{ a: number }> = caster.createNode<{ a: number }>();
node.on('up', (remote: RemoteNode<{ a: number }>) => remote.meta?.a.toFixed());
const server: caster.Caster = caster.create();
server.use(caster.middleware.json());
// @ts-expect-error: no such middleware
caster.middleware.gzip();
export = node;
