/// <reference types="node" />

import { EventEmitter } from 'node:events';

/** Options of a caster. Falsy values stand for the default, as in caster 0.1.1. */
export interface CasterOptions {
  /** The multicast group. Default `224.0.0.42`. */
  multicast?: string | null;
  /**
   * The local address of the interface to use. Default `0.0.0.0`: what `interfaces` says.
   * `127.0.0.1` keeps everything on this host.
   */
  address?: string | null;
  /**
   * The interfaces to use: names, addresses, and patterns with `*` and `?`; what a `!` precedes is
   * left out. By default all that can multicast, except those of containers and virtual machines.
   */
  interfaces?: readonly string[] | null;
  /** An IPv6 group to use beside the IPv4 one, on the same port. Default none. */
  multicast6?: string | null;
  /** The UDP port, 1 to 65535. Default 10101. */
  port?: number | string | null;
  /** Whether programs on this host hear what is sent, the sender included. Default true. */
  loopback?: boolean | null;
  /** How many routers a datagram may cross, plus one: 1 to 255. Default 64. */
  ttl?: number | string | null;
  /** How many events wait for the event loop. Messages beyond are lost. Default 16384. */
  maxEvents?: number | string | null;
  /** How many bytes of messages wait for the event loop. Default 16777216. */
  maxEventBytes?: number | string | null;
  /** For how many ms more is waited for when datagrams come thick and fast. Default 2. */
  coalesce?: number | string | null;
  /** For how many µs after a datagram more are looked for without sleeping. Default 0. */
  spin?: number | string | null;
  /** How many bytes of room the system is asked for, for what was not read yet. Default 4194304. */
  receiveBuffer?: number | string | null;
  /** How many datagrams a second from one address are looked at. Default 10000000. */
  maxDatagrams?: number | string | null;
}

/** Options of a node. Falsy values stand for the default, as in caster 0.1.1. */
export interface NodeOptions<Meta = any> extends CasterOptions {
  /** The id under which others know this node, at most 255 bytes. Default `node` and digits. */
  id?: string | number | null;
  /** Metadata that goes out with every heartbeat: anything that JSON can hold. */
  meta?: Meta | null;
  /** Whether heartbeats are sent. Default true. */
  expose?: boolean | null;
  /** Interval of the heartbeats in milliseconds, 10 to 86400000. Default 1000. */
  heartbeat?: number | string | null;
  /** Silence in milliseconds after which a node is down, 10 to 86400000. Default 2000. */
  timeout?: number | string | null;
  /** Whether every datagram carries a digest. Default true. */
  hash?: boolean | null;
  /** The secret of the digest. Default: the well-known one of caster 0.1.1. */
  hashSecret?: string | Uint8Array | null;
  /** sha1 (default), md5, sha224, sha256, sha384, sha512 or ripemd160. */
  hashAlgorithm?: string | null;
  /** Whether datagrams are encrypted as in caster 0.1.1, which is no security. Default false. */
  crypto?: boolean | null;
  /** The key of the encryption. Default: the well-known one of caster 0.1.1. */
  cryptoKey?: string | Uint8Array | null;
  /** aes128, aes192, aes256 (default) or aes-BITS-cbc, -ctr, -cfb, -ofb, -ecb. */
  cryptoAlgorithm?: string | null;
  /** Whether the node discovers and hears itself. Default true, as in caster 0.1.1. */
  self?: boolean | null;
  /** Whether the first heartbeat is sent at once. Default true. */
  announce?: boolean | null;
  /**
   * Brings back what the code of caster 0.1.1 does against its README: `hash` is inverted,
   * heartbeat and timeout are 2000 and 3000, messages that are 0, "" or false are dropped.
   */
  compat?: '0.1.1' | null;
  /** How non-ASCII bytes enter the digest of what is sent. Default `auto`. */
  hashEra?: 'auto' | 'binary' | 'utf8' | null;
  /** Sends JSON as UTF-8 instead of ASCII with escapes. Default false. */
  rawUtf8?: boolean | null;
  /**
   * Hosts to write to one by one, for networks without multicast: `host`, `host:port`, an address or
   * `[address]:port`. Default none.
   */
  seeds?: readonly string[] | null;
  /** How many nodes are followed at once. New ones beyond are turned away. Default 4096. */
  maxNodes?: number | string | null;
  /** How many new nodes a second one address may bring. Default 1000. */
  maxNewNodes?: number | string | null;
  /** How many heartbeats a second are sent because others ask for one. Default 50. */
  maxAnswers?: number | string | null;
  /** Bytes of metadata on the wire, sent and received. Default 8192. */
  maxMeta?: number | string | null;
  /** Bytes of a message on the wire, sent and received. Default 61440. */
  maxMessage?: number | string | null;
  /** How deep arrays and objects may nest in what comes. Default 512. */
  maxDepth?: number | string | null;
}

/** Where a datagram came from. */
export interface RemoteAddress {
  address: string;
  family: 'IPv4' | 'IPv6';
  port: number;
  /** Size of the datagram on the wire, in bytes. */
  size: number;
}

/** What is known about a node. It is the same object in `nodes` and in every event. */
export interface RemoteNode<Meta = any> {
  readonly id: string;
  /** The source address of its last datagram. */
  address: string;
  /** When it was first heard: milliseconds since 1970. */
  firstSeen: number;
  /** When it was last heard: milliseconds since 1970. Live. */
  lastSeen: number;
  meta: Meta | undefined;
  /** Whether it has been silent for too long and is being asked whether it is there. Live. */
  readonly suspect: boolean;
}

/**
 * An error. `code` is the name of the operating system (`EADDRINUSE`, `EMSGSIZE`) where it was the
 * system that refused, with `errno` and `syscall`; else it is a name of caster, as in `NOT_UP`.
 */
export interface CasterError extends Error {
  code?: string;
  errno?: number;
  syscall?: string;
}

export type Callback = (error: CasterError | null) => void;
/** `bytes` is how many bytes went onto the wire; there are none if there is an error. */
export type SendCallback = (error: CasterError | null, bytes?: number) => void;
export type Next = (error: unknown, message?: any) => void;

/** A stage between program and wire. `next` may be called later, and once. */
export interface Middleware {
  name: string;
  tx?(message: any, next: Next): void;
  rx?(message: any, remote: RemoteAddress, next: Next): void;
}

/** The counters. `received` is `accepted` plus everything in `dropped`, once all is handled. */
export interface Stats {
  received: number;
  accepted: number;
  dropped: { [reason: string]: number };
  sent: number;
  sendErrors: number;
  /** Messages that were lost because the program took its events too slowly. */
  eventsLost: number;
  /** How often a single interface refused a datagram over IPv4, and over IPv6. */
  sendErrors4: number;
  sendErrors6: number;
  /** Datagrams that the system dropped because the buffer of the socket was full. Linux only. */
  kernelDrops: number;
  /** Datagrams to single hosts that came back because nobody is there. Only Linux tells. */
  undelivered: number;
  /** The size of the receive buffer in bytes, as the system granted it. */
  receiveBuffer: number;
  /** Errors that were not told, because one of the same kind had just been. */
  errorsSuppressed: number;
  /** Nodes that are known just now. */
  nodes: number;
  /** Those of them that are silent and being asked whether they are there. */
  suspects: number;
  probesSent: number;
  vouchesSent: number;
  /** How often one heartbeat answered more than one who asked. */
  answersMerged: number;
  /** Datagrams that could not be understood, by the address they came from. */
  foreign: { [address: string]: number };
}

/** Something went wrong that the operator can mend. */
export interface ErrorEvent {
  type: 'error';
  error: CasterError;
}

/** The reader was so slow that `count` events did not wait for it. */
export interface LostEvent {
  type: 'lost';
  count: number;
}

export interface EventsOptions {
  /** Ends it with an error: the reason of the signal. */
  signal?: AbortSignal;
  /** How many events wait for a slow reader at most. Default 1024. */
  limit?: number;
}

export interface WaitOptions {
  /** Ends it with an error: the reason of the signal. */
  signal?: AbortSignal;
  /** After so many milliseconds it ends with an error, `TIMED_OUT`. Default: never. */
  timeout?: number;
}

/** Events to be iterated over. They wait from the moment that it was made. */
export interface EventStream<Event> extends AsyncIterableIterator<Event> {
  next(): Promise<IteratorResult<Event, undefined>>;
  return(value?: any): Promise<IteratorResult<Event, any>>;
  [Symbol.asyncIterator](): EventStream<Event>;
}

/** How events can be taken that are not listened to. */
interface Readable<Event> {
  /**
   * The events from now on, until the node goes down or the caster is closed. When `limit` events
   * wait, messages are lost, the newest first; up, update and down take their places.
   */
  events(options?: EventsOptions): EventStream<Event>;
  /** The first event that passes. For a node, those that are there already count as `up`. */
  waitFor<E extends Event>(
    predicate: (event: Event) => event is E,
    options?: WaitOptions,
  ): Promise<E>;
  waitFor(predicate: (event: Event) => unknown, options?: WaitOptions): Promise<Event>;
}

/** What casters have, alone or below a node. */
interface Chained {
  multicast: string;
  address: string;
  port: number;
  loopback: boolean;
  ttl: number;

  /** Adds middleware, from the program to the wire. Throws if one is bad or already in use. */
  use(...middleware: Middleware[]): void;
}

/** The events of a caster and what their listeners get. */
export interface CasterEvents<Message = any> {
  message: [message: Message, remote: RemoteAddress];
  error: [error: CasterError];
}

/** What `caster.events()` gives. */
export type CasterEvent<Message = any> =
  | { type: 'message'; message: Message; remote: RemoteAddress }
  | ErrorEvent
  | LostEvent;

/**
 * A multicast server with middleware. While it is bound the process stays alive.
 *
 * A method that takes a callback returns a promise if it gets none. An error of a call goes to its
 * callback or promise; if there is no callback and nobody uses the promise, it is emitted as
 * `error`. Datagrams that the middleware turns away are counted, and emitted as `error` only if
 * somebody listens.
 */
export class Caster<Message = any> extends EventEmitter<CasterEvents<Message>> {
  constructor(options?: CasterOptions | null);
  /** Opens the socket and joins the group. Fields assigned before count. */
  bind(): Promise<void>;
  bind(callback: Callback | null | undefined): void;
  /** Sends bytes, or whatever the middleware makes bytes of. Gives the bytes on the wire. */
  send(message: Message): Promise<number>;
  send(message: Message, callback: SendCallback | null | undefined): void;
  /**
   * Sends many messages, several times as fast as one by one. They go out as single datagrams, in
   * this order. Gives the sum of the bytes on the wire. The text of an error names the message by
   * its place, from 0; none has been sent then, unless it was the system that refused, or there is
   * middleware of JavaScript, with which they are sent one by one.
   */
  sendBatch(messages: readonly Message[]): Promise<number>;
  sendBatch(messages: readonly Message[], callback: SendCallback | null | undefined): void;
  /** Closes the socket. It can be bound again. */
  close(): Promise<void>;
  close(callback: (() => void) | null | undefined): void;
  /** Closes it: for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
  /** While it is bound the process stays alive. This is the default. */
  ref(): this;
  /** The process may end although it is bound. */
  unref(): this;
  stats(): Stats;
}
export interface Caster<Message = any> extends Chained, Readable<CasterEvent<Message>> {}

/** The caster below a node. It is bound and closed by the node. */
export interface NodeCaster extends Chained, EventEmitter<CasterEvents> {
  /** Sends a message without telling who sent it. Other nodes take it for what it says. */
  send(message: any): Promise<number>;
  send(message: any, callback: SendCallback | null | undefined): void;
}

/** Keys of metadata and their values, in all the shapes that the metadata may have. */
export type Wanted<Meta> = Meta extends object
  ? { readonly [Key in keyof Meta]?: Meta[Key] }
  : { readonly [key: string]: unknown };

/** Why a node is down: it said so, it was silent, or it has started anew and is up again. */
export type DownReason = 'goodbye' | 'timeout' | 'restart';

/** Another node has this id as well, which may be this node's own. */
export interface ConflictEvent {
  type: 'conflict';
  id: string;
  address: string;
}

/**
 * Somebody on this port cannot be understood; `message` says who, and what may be the cause. If
 * nobody listens, the first one is a warning of the process.
 */
export interface HintEvent {
  type: 'hint';
  message: string;
}

/** The events of a node and what their listeners get. */
export interface NodeEvents<Meta = any, Message = any> {
  up: [node: RemoteNode<Meta>];
  update: [node: RemoteNode<Meta>, changed: ('meta' | 'address')[]];
  down: [node: RemoteNode<Meta>, reason: DownReason];
  message: [message: Message, node: RemoteNode<Meta>];
  conflict: [event: ConflictEvent];
  /** It hears nobody any more and takes itself for cut off. */
  isolated: [event: { type: 'isolated' }];
  /** It hears others again. */
  rejoined: [event: { type: 'rejoined' }];
  /** The answers to the first heartbeat have arrived: earlier peers are known. Once after each `up()`. */
  settled: [event: { type: 'settled' }];
  hint: [event: HintEvent];
  error: [error: CasterError];
}

/** What `node.events()` gives. */
export type NodeEvent<Meta = any, Message = any> =
  | { type: 'up'; node: RemoteNode<Meta> }
  | { type: 'update'; node: RemoteNode<Meta>; changed: ('meta' | 'address')[] }
  | { type: 'down'; node: RemoteNode<Meta>; reason: DownReason }
  | { type: 'message'; message: Message; node: RemoteNode<Meta> }
  | ConflictEvent
  | { type: 'isolated' }
  | { type: 'rejoined' }
  | { type: 'settled' }
  | HintEvent
  | ErrorEvent
  | LostEvent;

/**
 * A node: says that it is there, knows who else is, and talks with them. While it is up the
 * process stays alive.
 *
 * A method that takes a callback returns a promise if it gets none. An error of a call goes to its
 * callback or promise; if there is no callback and nobody uses the promise, it is emitted as
 * `error`.
 */
export class Node<Meta = any, Message = any> extends EventEmitter<NodeEvents<Meta, Message>> {
  constructor(options?: NodeOptions<Meta> | null);

  readonly id: string;
  /** Assign it to tell others of new metadata. Changes inside the object are not noticed. */
  get meta(): Meta | null;
  set meta(meta: Meta | null | undefined);
  readonly expose: boolean;
  readonly heartbeat: number;
  readonly timeout: number;
  readonly multicast: string;
  readonly port: number;
  readonly caster: NodeCaster;
  /** The nodes that are up, by id. It has no prototype. */
  readonly nodes: { [id: string]: RemoteNode<Meta> };

  /** Starts the node. */
  up(): Promise<void>;
  up(callback: Callback | null | undefined): void;
  /** Says goodbye and stops the node. It can go up again. */
  down(): Promise<void>;
  down(callback: Callback | null | undefined): void;
  /** Sends anything that JSON can hold to all other nodes. Gives the bytes on the wire. */
  send(message?: Message): Promise<number>;
  send(message: Message, callback: SendCallback | null | undefined): void;
  /**
   * Sends many messages, several times as fast as one by one. They go out as single datagrams, in
   * this order. Gives the sum of the bytes on the wire. The text of an error names the message by
   * its place, from 0; none has been sent then, unless it was the system that refused, or there is
   * middleware of JavaScript, with which they are sent one by one.
   */
  sendBatch(messages: readonly Message[]): Promise<number>;
  sendBatch(messages: readonly Message[], callback: SendCallback | null | undefined): void;
  /**
   * The nodes that are up whose metadata is an object with all these keys and with equal values.
   * A value that is `undefined` stands for any.
   */
  find(wanted: Wanted<Meta>): RemoteNode<Meta>[];
  /** The same with one key. Without a value any will do. */
  find<Key extends keyof Wanted<Meta> & string>(
    key: Key,
    value?: Wanted<Meta>[Key],
  ): RemoteNode<Meta>[];
  /** Tells others of new metadata. */
  setMeta(meta: Meta | null): Promise<void>;
  setMeta(meta: Meta | null, callback: Callback | null | undefined): void;
  /** Takes it down if it is up: for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
  /** While it is up the process stays alive. This is the default. */
  ref(): this;
  /** The process may end although it is up. */
  unref(): this;
  stats(): Stats;
}
export interface Node<Meta = any, Message = any> extends Readable<NodeEvent<Meta, Message>> {}

export function create<Message = any>(options?: CasterOptions | null): Caster<Message>;
export function createNode<Meta = any, Message = any>(
  options?: NodeOptions<Meta> | null,
): Node<Meta, Message>;

/** The built-in middleware. Each returns an object whose `tx` and `rx` can be called. */
export const middleware: {
  /** Values become JSON and back; bytes pass through. */
  json(options?: { rawUtf8?: boolean }): Required<Middleware>;
  /** A digest of a shared secret and the payload in front of the payload. */
  hash(options?: {
    secret?: string | Uint8Array | null;
    algorithm?: string | null;
    era?: 'auto' | 'binary' | 'utf8';
  }): Required<Middleware>;
  /** Encryption as in caster 0.1.1, which is no security. */
  crypto(options?: {
    key?: string | Uint8Array | null;
    algorithm?: string | null;
  }): Required<Middleware>;
};

/** The version of the package. */
export const version: string;
