/// <reference types="node" />

import { EventEmitter } from 'node:events';

/** Options of a caster. A falsy value stands for the default, as in caster 0.1.1. */
export interface CasterOptions {
  /** The multicast group. Default `224.0.0.42`. */
  multicast?: string | null;
  /**
   * The local address of the interface to use. Default `0.0.0.0`: the option `interfaces` selects.
   * `127.0.0.1` confines all traffic to this host.
   */
  address?: string | null;
  /**
   * The interfaces to use: names, addresses, and patterns with `*` and `?`. A leading `!` excludes.
   * Default: all that can multicast, except those of containers and virtual machines.
   */
  interfaces?: readonly string[] | null;
  /** An IPv6 group to use in addition to the IPv4 group, on the same port. Default none. */
  multicast6?: string | null;
  /** The UDP port, 1 to 65535. Default 10101. */
  port?: number | string | null;
  /** Whether programs on this host, the sender included, receive what is sent. Default true. */
  loopback?: boolean | null;
  /** Number of routers a datagram may cross, plus one: 1 to 255. Default 64. */
  ttl?: number | string | null;
  /**
   * How far datagrams go: nowhere, on this host only, or across no router. Default without limit. The environment
   * variable CASTER_RANGE limits all nodes of a process; the stricter of the two counts.
   */
  range?: 'off' | 'host' | 'link' | null;
  /** Number of events that may wait for the event loop. Excess messages are dropped. Default 16384. */
  maxEvents?: number | string | null;
  /** Bytes of messages that may wait for the event loop. Default 16777216. */
  maxEventBytes?: number | string | null;
  /** Upper bound on the coalescing delay at high rates, in milliseconds. Default 2. */
  coalesce?: number | string | null;
  /** Time after a datagram in which the core polls without sleeping, in microseconds. Default 0. */
  spin?: number | string | null;
  /** Size of the receive buffer to request from the system, in bytes. Default 4194304. */
  receiveBuffer?: number | string | null;
  /** Number of datagrams a second that are processed from one address. Default 10000000. */
  maxDatagrams?: number | string | null;
  /**
   * Turns secure mode on: keys of 32 bytes, as bytes, 64 hexadecimal digits or base64. The first one seals,
   * all are accepted. They take the place of `hash` and `crypto`. The port is 10103 by default.
   */
  keys?: readonly (string | Uint8Array)[] | null;
  /** In secure mode: a text of at most 255 bytes. One key and realm are one group. */
  realm?: string | null;
  /** In secure mode: integrity without secrecy. Default false. */
  hmac?: boolean | null;
}

/** Options of a node. A falsy value stands for the default, as in caster 0.1.1. */
export interface NodeOptions<Meta = any> extends CasterOptions {
  /** The id of this node, at most 255 bytes. Default `node` and digits. */
  id?: string | number | null;
  /** Metadata that every heartbeat carries: any JSON value. */
  meta?: Meta | null;
  /** Whether heartbeats are sent. Default true. */
  expose?: boolean | null;
  /** Interval of the heartbeats in milliseconds, 10 to 86400000. Default 1000. */
  heartbeat?: number | string | null;
  /** Silence in milliseconds after which a peer is down, at least; 10 to 86400000. Default 2000. */
  timeout?: number | string | null;
  /** Whether every datagram carries a digest. Default true. */
  hash?: boolean | null;
  /** The secret of the digest. Default: the well-known secret of caster 0.1.1. */
  hashSecret?: string | Uint8Array | null;
  /** sha1 (default), md5, sha224, sha256, sha384, sha512 or ripemd160. */
  hashAlgorithm?: string | null;
  /** Whether datagrams are encrypted as in caster 0.1.1. This is not security. Default false. */
  crypto?: boolean | null;
  /** The key of the encryption. Default: the well-known key of caster 0.1.1. */
  cryptoKey?: string | Uint8Array | null;
  /** aes128, aes192, aes256 (default) or aes-BITS-cbc, -ctr, -cfb, -ofb, -ecb. */
  cryptoAlgorithm?: string | null;
  /** Whether the node discovers itself and receives its own messages. Default true, as in 0.1.1. */
  self?: boolean | null;
  /** Whether the first heartbeat is sent at once. Default true. */
  announce?: boolean | null;
  /**
   * Restores the behaviour of 0.1.1 where its code contradicts its README: `hash` is inverted,
   * heartbeat and timeout are 2000 and 3000, and the messages 0, "" and false are dropped.
   */
  compat?: '0.1.1' | null;
  /** How non-ASCII bytes of sent messages enter the digest. Default `auto`. */
  hashEra?: 'auto' | 'binary' | 'utf8' | null;
  /** When the rules for peers that run caster 0.1.1 apply. Default `auto`: while one is there. */
  originals?: 'auto' | 'expect' | 'never' | null;
  /**
   * In secure mode, for a migration: nodes without keys are peers, too, on `plainPort`. `accept`: they are heard;
   * `send`: all that this node sends is sent there as well, readable by anyone. A peer that was believed sealed is
   * not accepted plain again.
   */
  plain?: 'accept' | 'send' | null;
  /** The UDP port of the nodes without keys, with the option `plain`. Default 10101. */
  plainPort?: number | string | null;
  /** In secure mode: a peer whose host refuses its port is down at once, although any host can forge that. */
  refusals?: 'believe' | null;
  /**
   * In secure mode: messages of a caster, which cannot prove that it is there now, are delivered and marked as not
   * fresh. They may be recordings. Default: they are dropped.
   */
  unproven?: 'deliver' | null;
  /**
   * In secure mode: the seed of the identity of this node, 32 bytes or a text. The node signs what it says about
   * itself, and verifies the signatures of others. Without it any member of the group can speak for any other.
   */
  identity?: string | Uint8Array | null;
  /** In secure mode: the public keys of the identities that may be peers. Default: each, from its first use on. */
  trust?: readonly (string | Uint8Array)[] | null;
  /** With an identity: messages are signed, too. Default false. */
  signMessages?: boolean | null;
  /** Sends JSON as UTF-8 instead of ASCII with escapes. Default false. */
  rawUtf8?: boolean | null;
  /**
   * Hosts to send to by unicast, for networks without multicast: `host`, `host:port`, an address or
   * `[address]:port`. Default none.
   */
  seeds?: readonly string[] | null;
  /**
   * The port of this process for unicast, which it does not share. Neither the port of the group nor the
   * one after it. Default 0: the first free of 21101 to 21132, or any.
   */
  unicastPort?: number | string | null;
  /** Number of peers in the table. Further peers are rejected. Default 4096. */
  maxNodes?: number | string | null;
  /** Number of new peers a second that one address may add. Default 1000. */
  maxNewNodes?: number | string | null;
  /** Number of heartbeats a second that are sent as answers. Default 50. */
  maxAnswers?: number | string | null;
  /** Bytes of metadata on the wire, sent and received. Default 8192. */
  maxMeta?: number | string | null;
  /** Bytes of a message on the wire, sent and received. Default 65507: what a datagram holds. */
  maxMessage?: number | string | null;
  /** Nesting depth of arrays and objects in received messages. Default 512. */
  maxDepth?: number | string | null;
}

/** The source of a datagram. */
export interface RemoteAddress {
  address: string;
  family: 'IPv4' | 'IPv6';
  port: number;
  /** Size of the datagram on the wire, in bytes. */
  size: number;
}

/** A peer. Until it is down, `nodes` and all events have the same object for it. */
export interface RemoteNode<Meta = any> {
  readonly id: string;
  /** The source address of its last datagram. */
  address: string;
  /** Time of its first datagram, in milliseconds since 1970. */
  firstSeen: number;
  /** Time of its last datagram, in milliseconds since 1970. Updated without an event. */
  lastSeen: number;
  meta: Meta | undefined;
  /** Whether it is suspect: silent for too long, and being probed. Updated without an event. */
  readonly suspect: boolean;
}

/**
 * An error. For an error of the operating system, `code` is its name (`EADDRINUSE`, `EMSGSIZE`), and
 * `errno` and `syscall` are set. Otherwise `code` is a name of caster, such as `NOT_UP`.
 */
export interface CasterError extends Error {
  code?: string;
  errno?: number;
  syscall?: string;
}

export type Callback = (error: CasterError | null) => void;
/** `bytes` is the number of bytes on the wire. It is undefined if there is an error. */
export type SendCallback = (error: CasterError | null, bytes?: number) => void;
export type Next = (error: unknown, message?: any) => void;

/** A stage between the program and the wire. `next` may be called later. Only its first call counts. */
export interface Middleware {
  name: string;
  tx?(message: any, next: Next): void;
  rx?(message: any, remote: RemoteAddress, next: Next): void;
}

/**
 * Counters. `received` is the sum of `accepted` and all of `dropped` once every datagram is handled. Own messages do
 * not come back on Linux, unless another node of the process shares the socket or the option `self` is set.
 */
export interface Stats {
  received: number;
  accepted: number;
  dropped: { [reason: string]: number };
  sent: number;
  sendErrors: number;
  /** Messages dropped because the program took its events too slowly. */
  eventsLost: number;
  /** Number of datagrams that a single interface refused, over IPv4 and over IPv6. */
  sendErrors4: number;
  sendErrors6: number;
  /** Datagrams that the system dropped because the buffer of the socket was full. Linux only. */
  kernelDrops: number;
  /** Unicast datagrams that were refused by their destination. Linux only. */
  undelivered: number;
  /** Size of the receive buffer that the system granted, in bytes. */
  receiveBuffer: number;
  /** Errors that were not reported because one of the same kind had just been. */
  errorsSuppressed: number;
  /** Peers that are up. */
  nodes: number;
  /** Those of them that have no keys, in migration to secure mode. */
  plainNodes: number;
  /** Peers that are suspect. */
  suspects: number;
  probesSent: number;
  vouchesSent: number;
  /** Number of heartbeats that answered several peers. */
  answersMerged: number;
  /** Datagrams sent that are larger than the MTU of an interface, and so travel as IP fragments. */
  oversized: number;
  /** Calls to the system that receive datagrams, or wait for them, and failed. */
  receiveErrors: number;
  /** Pieces of messages sent, without repairs, and received. */
  piecesSent: number;
  piecesReceived: number;
  /** Pieces sent again because a peer missed them. */
  repairsSent: number;
  /** Questions for missing pieces sent. */
  nacksSent: number;
  /** Messages in pieces that were given up because pieces were missing for a second. */
  incomplete: number;
  /** Number of datagrams that could not be understood, by source address. */
  foreign: { [address: string]: number };
  /**
   * How often this host has failed to assemble a datagram from its fragments since `up` or `bind`: the
   * datagrams of all programs. Linux only.
   */
  reassemblyFailures: number;
  /** The interfaces of this host, by index. Empty while down. */
  interfaces: InterfaceStats[];
}

/** An interface of this host, and what was sent and received on it since `up` or `bind`. */
export interface InterfaceStats {
  name: string;
  index: number;
  addresses: string[];
  /** The largest IP packet in bytes. 1500 if the system does not tell. */
  mtu: number;
  /** Whether it is up and has a carrier. */
  up: boolean;
  /** Whether the group is joined on it. */
  joined: boolean;
  /** Datagrams sent to the group. */
  sent: number;
  received: number;
  /** Received datagrams that came from an address of the interface itself. */
  echoes: number;
  /** Why the group could not be joined on it. */
  error: string | null;
}

/** An error that the operator can correct. */
export interface ErrorEvent {
  type: 'error';
  error: CasterError;
}

/** The reader was too slow: `count` events were dropped. */
export interface LostEvent {
  type: 'lost';
  count: number;
}

export interface EventsOptions {
  /** Ends the stream with an error: the reason of the signal. */
  signal?: AbortSignal;
  /** Number of events that may wait for a slow reader. Default 1024. */
  limit?: number;
}

export interface WaitOptions {
  /** Ends the wait with an error: the reason of the signal. */
  signal?: AbortSignal;
  /** Time in milliseconds after which the wait ends with the error `TIMED_OUT`. Default: no limit. */
  timeout?: number;
}

/** Events as an async iterator. They are kept from the creation of the stream. */
export interface EventStream<Event> extends AsyncIterableIterator<Event> {
  next(): Promise<IteratorResult<Event, undefined>>;
  return(value?: any): Promise<IteratorResult<Event, any>>;
  [Symbol.asyncIterator](): EventStream<Event>;
}

/** Taking events without listeners. */
interface Readable<Event extends { type: string }> {
  /**
   * The events from now on, until the node is down or the caster is closed. When `limit` events wait, a
   * new message is dropped; any other event replaces the newest message.
   */
  events(options?: EventsOptions): EventStream<Event>;
  /**
   * The first event of this type for which the predicate returns true; without a type, the first of
   * any. Peers of a node that are up already are
   * passed to it first, as events `up`. Fails with `ENDED` if the events end before. A number instead
   * of options is the timeout in milliseconds.
   */
  waitFor<T extends Event['type']>(
    type: T,
    predicate: (event: Extract<Event, { type: T }>) => unknown,
    options?: WaitOptions | number,
  ): Promise<Extract<Event, { type: T }>>;
  waitFor<T extends Event['type']>(
    type: T,
    options?: WaitOptions | number,
  ): Promise<Extract<Event, { type: T }>>;
  waitFor<E extends Event>(
    predicate: (event: Event) => event is E,
    options?: WaitOptions | number,
  ): Promise<E>;
  waitFor(predicate: (event: Event) => unknown, options?: WaitOptions | number): Promise<Event>;
}

/** Members of a caster, whether it is alone or below a node. */
interface Chained {
  multicast: string;
  address: string;
  port: number;
  loopback: boolean;
  ttl: number;

  /** Adds middleware next to the wire. Throws if it is invalid or its name is in use. */
  use(...middleware: Middleware[]): void;
}

/** The events of a caster and the arguments of their listeners. */
export interface CasterEvents<Message = any> {
  message: [message: Message, remote: RemoteAddress];
  error: [error: CasterError];
}

/** The events of `caster.events()`. */
export type CasterEvent<Message = any> =
  | { type: 'message'; message: Message; remote: RemoteAddress }
  | ErrorEvent
  | LostEvent;

/**
 * A multicast socket with middleware. While it is bound the process stays alive.
 *
 * A method that takes a callback returns a promise if it gets none. The error of a call goes to its
 * callback or promise. Without a callback, and if the program does not use the promise, it is emitted
 * as `error`. Datagrams that the middleware rejects are counted; they are emitted as `error` only to
 * listeners. All callbacks and listeners run on the event loop of the environment that created it.
 */
export class Caster<Message = any> extends EventEmitter<CasterEvents<Message>> {
  constructor(options?: CasterOptions | null);
  /** Opens the socket and joins the group. Fields that were assigned before are options. */
  bind(): Promise<void>;
  bind(callback: Callback | null | undefined): void;
  /** Sends bytes, or a value that the middleware turns into bytes. Gives the bytes on the wire. */
  send(message: Message): Promise<number>;
  send(message: Message, callback: SendCallback | null | undefined): void;
  /**
   * Sends many messages in this order, as single datagrams, several times as fast as one by one. Gives
   * the sum of the bytes on the wire. The text of an error names the message by its index, from 0. After
   * an error of the system some messages may have been sent; after any other error none was. With
   * middleware of the program the messages are sent one by one, all that can be.
   */
  sendBatch(messages: readonly Message[]): Promise<number>;
  sendBatch(messages: readonly Message[], callback: SendCallback | null | undefined): void;
  /** Closes the socket. It can be bound again. */
  close(): Promise<void>;
  close(callback: (() => void) | null | undefined): void;
  /** Closes the socket, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
  /** The process stays alive while it is bound. This is the default. */
  ref(): this;
  /** The process may end while it is bound. */
  unref(): this;
  stats(): Stats;
}
export interface Caster<Message = any> extends Chained, Readable<CasterEvent<Message>> {}

/** The caster below a node, which opens and closes it. */
export interface NodeCaster extends Chained, EventEmitter<CasterEvents> {
  /** Sends a message without the envelope of the node. Receivers take it as an envelope. */
  send(message: any): Promise<number>;
  send(message: any, callback: SendCallback | null | undefined): void;
}

/** Keys and values of metadata, for every member of a union of types. */
export type Wanted<Meta> = Meta extends object
  ? { readonly [Key in keyof Meta]?: Meta[Key] }
  : { readonly [key: string]: unknown };

/** New values of some keys of the metadata; `null` removes a key. */
export type MetaChanges<Meta> = Meta extends object
  ? { readonly [Key in keyof Meta]?: Meta[Key] | null }
  : { readonly [key: string]: unknown };

/** Why a peer is down: it left, it was silent, or it restarted and is up again. */
export type DownReason = 'goodbye' | 'timeout' | 'restart';

/** Two nodes have this id. It may be the id of this node. */
export interface ConflictEvent {
  type: 'conflict';
  id: string;
  address: string;
}

/**
 * Datagrams on this port cannot be understood. `message` names the address and the probable cause. Without
 * a listener, the first hint is a warning of the process.
 */
export interface HintEvent {
  type: 'hint';
  message: string;
}

/** The assurance that secure mode gives of a message. */
export interface Assurance {
  /** The sender has a key of the group. */
  sealed: true;
  /** The sender has proven that it is there now. A message that is not fresh may be a recording. */
  fresh: boolean;
  /** The identity of the sender has signed it. Then no other member of the group has written it. */
  signed: boolean;
}

/** The events of a node and the arguments of their listeners. */
export interface NodeEvents<Meta = any, Message = any> {
  up: [node: RemoteNode<Meta>];
  update: [node: RemoteNode<Meta>, changed: ('meta' | 'address')[]];
  down: [node: RemoteNode<Meta>, reason: DownReason];
  /** `assurance` is of messages that were sealed. */
  message: [message: Message, node: RemoteNode<Meta>, assurance?: Assurance];
  conflict: [event: ConflictEvent];
  /** The node receives nothing and appears to be partitioned. */
  isolated: [event: { type: 'isolated' }];
  /** The node receives datagrams of peers again. */
  rejoined: [event: { type: 'rejoined' }];
  /** `nodes` contains the peers that were up before. Once after each `up()`, within 3 s. */
  settled: [event: { type: 'settled' }];
  hint: [event: HintEvent];
  error: [error: CasterError];
}

/** The events of `node.events()`. */
export type NodeEvent<Meta = any, Message = any> =
  | { type: 'up'; node: RemoteNode<Meta> }
  | { type: 'update'; node: RemoteNode<Meta>; changed: ('meta' | 'address')[] }
  | { type: 'down'; node: RemoteNode<Meta>; reason: DownReason }
  | { type: 'message'; message: Message; node: RemoteNode<Meta>; sealed?: true; fresh?: boolean; signed?: boolean }
  | ConflictEvent
  | { type: 'isolated' }
  | { type: 'rejoined' }
  | { type: 'settled' }
  | HintEvent
  | ErrorEvent
  | LostEvent;

/**
 * A node: announces itself, discovers its peers, and exchanges messages with them. While it is up the
 * process stays alive.
 *
 * A method that takes a callback returns a promise if it gets none. The error of a call goes to its
 * callback or promise. Without a callback, and if the program does not use the promise, it is emitted
 * as `error`. All callbacks and listeners run on the event loop of the environment that created it.
 */
export class Node<Meta = any, Message = any> extends EventEmitter<NodeEvents<Meta, Message>> {
  constructor(options?: NodeOptions<Meta> | null);

  readonly id: string;
  /** Assign it to announce new metadata. Changes inside the object have no effect. */
  get meta(): Meta | null;
  set meta(meta: Meta | null | undefined);
  readonly expose: boolean;
  readonly heartbeat: number;
  readonly timeout: number;
  readonly multicast: string;
  readonly port: number;
  readonly caster: NodeCaster;
  /** The peers that are up, by id. The object has no prototype. */
  readonly nodes: { [id: string]: RemoteNode<Meta> };

  /** Starts the node. */
  up(): Promise<void>;
  up(callback: Callback | null | undefined): void;
  /**
   * Leaves and closes the socket. The core sends the leave three times within 8 ms, against loss, and the
   * callback is called or the promise resolves after that; the event loop does not wait. It can go up
   * again. Fails with `NOT_UP`, or with the error of middleware of the program.
   */
  down(): Promise<void>;
  down(callback: Callback | null | undefined): void;
  /** Sends any JSON value to all peers. Gives the bytes on the wire. */
  send(message?: Message): Promise<number>;
  send(message: Message, callback: SendCallback | null | undefined): void;
  /**
   * Sends many messages in this order, as single datagrams, several times as fast as one by one. Gives
   * the sum of the bytes on the wire. The text of an error names the message by its index, from 0. After
   * an error of the system some messages may have been sent; after any other error none was. With
   * middleware of the program the messages are sent one by one, all that can be.
   */
  sendBatch(messages: readonly Message[]): Promise<number>;
  sendBatch(messages: readonly Message[], callback: SendCallback | null | undefined): void;
  /**
   * The peers that are up whose metadata is an object with all these keys and with equal values.
   * A value that is `undefined` stands for any value.
   */
  find(wanted: Wanted<Meta>): RemoteNode<Meta>[];
  /** The same with one key. Without a value, any value matches. */
  find<Key extends keyof Wanted<Meta> & string>(
    key: Key,
    value?: Wanted<Meta>[Key],
  ): RemoteNode<Meta>[];
  /** Announces new metadata. */
  setMeta(meta: Meta | null): Promise<void>;
  setMeta(meta: Meta | null, callback: Callback | null | undefined): void;
  /**
   * Changes some keys of the metadata and announces it; `null` removes a key. The metadata has to be an
   * object or null. If the call fails, it stays as it is.
   */
  updateMeta(changes: MetaChanges<Meta>): Promise<void>;
  updateMeta(changes: MetaChanges<Meta>, callback: Callback | null | undefined): void;
  /** The ids of the keys of secure mode; the first one seals. Empty without keys. */
  readonly keyIds: readonly string[];
  /** Accepts one more key of secure mode. Add it on all nodes before one of them uses it. */
  addKey(key: string | Uint8Array): void;
  /** Seals with this key from now on. It has to be added before. */
  useKey(key: string | Uint8Array): void;
  /**
   * Accepts this key no longer: nodes that still seal with it are not heard. It is closed in two timeouts,
   * or at once with `now`: to exclude a node that has it.
   */
  removeKey(key: string | Uint8Array, options?: { now?: boolean }): void;
  /** The id of the key that a peer sends with. `null` without keys, and for an id that is not up. */
  keyOf(id: string): string | null;
  /**
   * The identity of a peer: its public key as 64 hexadecimal digits. `null` for an id that is not up or has none, and
   * if this node has neither the option `identity` nor `trust`.
   */
  identityOf(id: string): string | null;
  /**
   * Accepts a peer that is not up with another identity, or with none, the next time. With the option `plain` it may
   * also be plain again, although it was believed sealed. Otherwise neither is accepted as long as this node exists.
   * Returns whether there was anything to forget.
   */
  forgetSealed(id: string): boolean;
  /** Calls `down` if it is up, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
  /** The process stays alive while it is up. This is the default. */
  ref(): this;
  /** The process may end while it is up. */
  unref(): this;
  stats(): Stats;
}
export interface Node<Meta = any, Message = any> extends Readable<NodeEvent<Meta, Message>> {}

export function create<Message = any>(options?: CasterOptions | null): Caster<Message>;
export function createNode<Meta = any, Message = any>(
  options?: NodeOptions<Meta> | null,
): Node<Meta, Message>;

/** A new key of 32 random bytes for secure mode. */
export function generateKey(): Buffer;
/** The seed of a new identity, 32 random bytes, for the option `identity`. */
export function generateIdentity(): Buffer;
/** The public key of an identity, as 64 hexadecimal digits, for the option `trust` of others. */
export function publicKey(seed: string | Uint8Array): string;

/** The built-in middleware. Each function returns an object whose `tx` and `rx` can be called. */
export const middleware: {
  /** Converts values to JSON and back. Bytes pass unchanged. */
  json(options?: { rawUtf8?: boolean }): Required<Middleware>;
  /** Prefixes the payload with a digest of a shared secret and the payload. */
  hash(options?: {
    secret?: string | Uint8Array | null;
    algorithm?: string | null;
    era?: 'auto' | 'binary' | 'utf8';
  }): Required<Middleware>;
  /** Encrypts as caster 0.1.1 does. This is not security. */
  crypto(options?: {
    key?: string | Uint8Array | null;
    algorithm?: string | null;
  }): Required<Middleware>;
};

/**
 * Makes all open nodes leave at the first of these signals, and ends the process by the signal after it.
 * The default is SIGTERM and SIGINT. If the program has listeners of its own for the signal, these decide
 * whether the process ends. For the main thread: workers get no signals.
 */
export function leaveOnSignals(signals?: Iterable<'SIGTERM' | 'SIGINT' | 'SIGHUP' | (string & {})>): void;

/** The version of the package. */
export const version: string;
