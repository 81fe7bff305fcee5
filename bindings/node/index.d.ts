/// <reference types="node" />

import { EventEmitter } from 'node:events';

/** Options of a caster. Falsy values stand for the default, as in caster 0.1.1. */
export interface CasterOptions {
  /** The multicast group. Default `224.0.0.42`. */
  multicast?: string | null;
  /**
   * The local address of the interface to use. Default `0.0.0.0`: the interface that the system
   * routes multicast to. `127.0.0.1` keeps everything on this host.
   */
  address?: string | null;
  /** The UDP port, 1 to 65535. Default 10101. */
  port?: number | string | null;
  /** Whether programs on this host hear what is sent, the sender included. Default true. */
  loopback?: boolean | null;
  /** How many routers a datagram may cross, plus one: 1 to 255. Default 64. */
  ttl?: number | string | null;
}

/** Options of a node. Falsy values stand for the default, as in caster 0.1.1. */
export interface NodeOptions extends CasterOptions {
  /** The id under which others know this node, at most 255 bytes. Default `node` and digits. */
  id?: string | number | null;
  /** Metadata that goes out with every heartbeat: anything that JSON can hold. */
  meta?: unknown;
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
  eventsLost: number;
}

/** The events and the chain that casters have, alone or below a node. */
declare class Chained extends EventEmitter {
  multicast: string;
  address: string;
  port: number;
  loopback: boolean;
  ttl: number;

  /** Adds middleware, from the program to the wire. Throws if one is bad or already in use. */
  use(...middleware: Middleware[]): void;

  on(event: 'message', listener: (message: any, remote: RemoteAddress) => void): this;
  on(event: 'error', listener: (error: CasterError) => void): this;
  once(event: 'message', listener: (message: any, remote: RemoteAddress) => void): this;
  once(event: 'error', listener: (error: CasterError) => void): this;
}

/**
 * A multicast server with middleware. While it is bound the process stays alive.
 *
 * Errors of a call go to its callback; without a callback they are emitted as `error`. Datagrams
 * that the middleware turns away are counted, and emitted as `error` only if somebody listens.
 */
export class Caster extends Chained {
  constructor(options?: CasterOptions | null);
  /** Opens the socket and joins the group. Fields assigned before count. */
  bind(callback?: Callback): void;
  /** Sends bytes, or whatever the middleware makes bytes of. */
  send(message: any, callback?: SendCallback): void;
  /** Closes the socket. It can be bound again. */
  close(callback?: () => void): void;
  stats(): Stats;
}

/** The caster below a node. It is bound and closed by the node. */
export interface NodeCaster extends Chained {
  /** Sends a message without telling who sent it. Other nodes take it for what it says. */
  send(message: any, callback?: SendCallback): void;
}

/**
 * A node: says that it is there, knows who else is, and talks with them. While it is up the
 * process stays alive.
 */
export class Node<Meta = any, Message = any> extends EventEmitter {
  constructor(options?: NodeOptions | null);

  readonly id: string;
  /** Assign it to tell others of new metadata. Changes inside the object are not noticed. */
  meta: any;
  readonly expose: boolean;
  readonly heartbeat: number;
  readonly timeout: number;
  readonly multicast: string;
  readonly port: number;
  readonly caster: NodeCaster;
  /** The nodes that are up, by id. It has no prototype. */
  readonly nodes: { [id: string]: RemoteNode<Meta> };

  /** Starts the node. */
  up(callback?: Callback): void;
  /** Says goodbye and stops the node. It can go up again. */
  down(callback?: Callback): void;
  /** Sends anything that JSON can hold to all other nodes. */
  send(message?: Message, callback?: SendCallback): void;
  stats(): Stats;

  on(event: 'up', listener: (remote: RemoteNode<Meta>) => void): this;
  on(
    event: 'update',
    listener: (remote: RemoteNode<Meta>, changed: ('meta' | 'address')[]) => void,
  ): this;
  on(
    event: 'down',
    listener: (remote: RemoteNode<Meta>, reason: 'goodbye' | 'timeout') => void,
  ): this;
  on(event: 'message', listener: (message: Message, remote: RemoteNode<Meta>) => void): this;
  on(event: 'error', listener: (error: CasterError) => void): this;
}

export function create(options?: CasterOptions | null): Caster;
export function createNode<Meta = any, Message = any>(
  options?: NodeOptions | null,
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
