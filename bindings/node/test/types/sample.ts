// Accepted and refused types. Compiled, never run.
import { once } from 'node:events';
import caster, { create, createNode, Caster, Node, middleware, version } from 'caster';
import { VirtualNetwork, networkPerTest } from 'caster/testing';
import * as runner from 'node:test';
import type { CasterError, DownReason, NodeEvent, RemoteAddress, RemoteNode } from 'caster';

/** Fails to compile unless both are the same type. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function expect<_Check extends true>(): void {}

interface Meta {
  type: 'http' | 'db';
  port: number;
}
type Message = { work: string } | { done: number };

const node = createNode<Meta, Message>({ meta: { type: 'http', port: 80 }, self: false });
expect<Same<typeof node, Node<Meta, Message>>>();
// @ts-expect-error: not such metadata
createNode<Meta>({ meta: { type: 'smtp', port: 25 } });
// @ts-expect-error: no such option
createNode({ heartbeet: 1 });
// @ts-expect-error: not such a value
createNode({ compat: '0.2.0' });
createNode({ port: '10102', hashSecret: Buffer.from('s'), id: 5, compat: '0.1.1' });
createNode(null);
new Node();

node.on('up', (remote) => {
  expect<Same<typeof remote, RemoteNode<Meta>>>();
  expect<Same<typeof remote.meta, Meta | undefined>>();
  expect<Same<typeof remote.lastSeen, number>>();
  // @ts-expect-error: an id stays
  remote.id = 'x';
});
node.once('update', (remote, changed) => {
  expect<Same<typeof changed, ('meta' | 'address')[]>>();
  return remote.meta?.port;
});
node.addListener('down', (_remote, reason) => expect<Same<typeof reason, DownReason>>());
node.prependListener('message', (message, remote) => {
  expect<Same<typeof message, Message>>();
  expect<Same<typeof remote, RemoteNode<Meta>>>();
});
node.prependOnceListener('conflict', ({ id, address }) => id.concat(address));
node.on('isolated', () => {}).on('rejoined', () => {}).on('settled', () => {}).on('newListener', (_event) => {});
const listener = (error: CasterError) => error.code?.length;
node.on('error', listener).off('error', listener).removeListener('error', listener);
node.on('an event of the program', (anything) => anything);
// @ts-expect-error: a reason is not a number
node.on('down', (_remote, reason: number) => reason);
// @ts-expect-error: not a message
node.emit('message', 5, node.nodes['x']);

const up = node.up();
expect<Same<typeof up, Promise<void>>>();
const called = node.up((error) => expect<Same<typeof error, CasterError | null>>());
expect<Same<typeof called, void>>();
const bytes = node.send({ work: 'x' });
expect<Same<typeof bytes, Promise<number>>>();
node.send({ done: 1 }, (_error, bytes) => expect<Same<typeof bytes, number | undefined>>());
// @ts-expect-error: not a message
node.send({ hello: 1 });
node.setMeta({ type: 'db', port: 1 }).catch(() => {});
node.setMeta(null, () => {});
node.updateMeta({ port: 2 }).catch(() => {});
node.updateMeta({ port: null }, () => {});
node.meta = { type: 'db', port: 1 };
// @ts-expect-error: not such metadata
node.meta = { type: 'db' };
// @ts-expect-error: the port is set in the options
node.port = 5;
node.sendBatch([{ work: 'x' }, { done: 1 }], (_error, bytes) => bytes?.toFixed());
const batch = node.sendBatch([{ done: 1 }]);
expect<Same<typeof batch, Promise<number>>>();
// @ts-expect-error: not such messages
node.sendBatch([{ hello: 1 }]);
const found = node.find({ type: 'http', port: undefined });
expect<Same<typeof found, RemoteNode<Meta>[]>>();
node.find('type', 'db').concat(node.find('port'));
// @ts-expect-error: not such metadata
node.find({ type: 'smtp' });
// @ts-expect-error: no such key
node.find('typ', 'http');
createNode().find({ type: 'http' }).concat(createNode().find('type', 'http'));
node.ref().unref().stats().dropped['hash']?.toFixed();
node.nodes['a']?.meta?.port.toFixed();

async function modern(signal: AbortSignal) {
  await using own = createNode<Meta, Message>();
  await own.up();
  await once(own, 'up', { signal });
  for await (const event of own.events({ signal, limit: 10 })) {
    expect<Same<typeof event, NodeEvent<Meta, Message>>>();
    switch (event.type) {
      case 'up':
        event.node.meta?.port.toFixed();
        break;
      case 'down':
        expect<Same<typeof event.reason, DownReason>>();
        break;
      case 'message':
        expect<Same<typeof event.message, Message>>();
        break;
      case 'conflict':
        event.address.concat(event.id);
        break;
      case 'lost':
        event.count.toFixed();
        break;
      case 'error':
        event.error.message.concat();
        break;
      // @ts-expect-error: no such event
      case 'upp':
        break;
    }
  }
  const found = await own.waitFor((event) => event.type === 'up', { timeout: 1000, signal });
  const explicit = await own.waitFor(
    (event): event is Extract<typeof event, { type: 'up' }> => event.type === 'up',
  );
  explicit.node.meta?.port.toFixed();
  // @ts-expect-error: no such event
  await own.waitFor('pu');
  const db = await own.waitFor('up', (event) => event.node.meta?.type === 'db', { timeout: 5000 });
  expect<Same<typeof db.type, 'up'>>();
  expect<Same<typeof db.node.id, string>>();
  const gone = await own.waitFor('down', 5000);
  expect<Same<typeof gone.reason, DownReason>>();
  return found.type;
}

async function below() {
  await using server = create<{ x: number }>({ loopback: false });
  expect<Same<typeof server, Caster<{ x: number }>>>();
  server.use(middleware.json(), middleware.hash({ secret: 's' }), {
    name: 'own',
    tx: (message, next) => next(null, message),
    rx(message, remote, next) {
      expect<Same<typeof remote, RemoteAddress>>();
      next(null, message);
    },
  });
  // @ts-expect-error: middleware has a name
  server.use({ tx: (message, next) => next(null, message) });
  server.on('message', (message, remote) => message.x + remote.port + remote.size);
  await server.bind();
  const bytes = await server.send({ x: 1 });
  for await (const event of server.events()) {
    if (event.type === 'message') {
      return event.message.x + event.remote.port + bytes;
    }
  }
  server.close(() => {});
  node.caster.use({ name: 'z', rx: (message, _remote, next) => next(null, message) });
  node.caster.on('message', (_envelope, remote) => remote.size);
  // @ts-expect-error: a caster has no options of nodes
  create({ heartbeat: 5 });
  return 0;
}

async function virtual() {
  const network = new VirtualNetwork(1);
  const own = network.node<Meta, Message>({ id: 'a' });
  expect<Same<typeof own, Node<Meta, Message>>>();
  await network.caster<number>({ port: 5 }).sendBatch([1]);
  await network.advance(5);
  network.setLoss(0.5);
  network.unplug(own.id);
  // @ts-expect-error: the clock is read only
  network.now = 5;
  const current = networkPerTest(runner, 3);
  expect<Same<ReturnType<typeof current>, VirtualNetwork>>();
  // @ts-expect-error: not the functions of a test runner
  networkPerTest({ beforeEach() {} });
  await network.close();
}

const text: string = version + caster.version;
export { below, bytes, virtual, modern, text, up };
