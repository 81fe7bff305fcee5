import { Caster, CasterOptions, Node, NodeOptions } from './index.js';

/**
 * A network in memory with a clock of its own, for the tests of programs. The tests take no time, need no
 * privileges and do not affect each other.
 *
 * Its nodes and casters have the ordinary types. They open no socket, start no thread and do not keep the
 * process alive. Time passes and events are emitted only in `advance`. Two networks with the same seed
 * behave identically if the ids are given.
 */
export class VirtualNetwork {
  /** `seed`, a whole number from 0, is for everything random. Default 0. */
  constructor(seed?: number);
  /**
   * A node on this network that is not yet up, with an address of its own. The options `address`,
   * `interfaces`, `multicast6`, `ttl` and `range` have no effect.
   */
  node<Meta = any, Message = any>(options?: NodeOptions<Meta> | null): Node<Meta, Message>;
  /** A caster on this network that is not yet bound. */
  caster<Message = any>(options?: CasterOptions | null): Caster<Message>;
  /**
   * Advances the clock by this number of milliseconds. The clock stops at every event: the event is
   * emitted, and callbacks and promises run before the clock goes on. An exception of a listener rejects
   * the promise. An advance that is started during another one runs after it.
   *
   * Timers of JavaScript and the `timeout` of `waitFor` use the real clock.
   */
  advance(ms: number): Promise<void>;
  /** The virtual clock: milliseconds since the network was created. */
  readonly now: number;
  /** Share of the datagrams that are lost, from 0 to 1. Initially 0. */
  setLoss(share: number): void;
  /** Share of the datagrams that arrive twice, from 0 to 1. Initially 0. */
  setDuplicates(share: number): void;
  /**
   * Upper bound on the random delay of a datagram in milliseconds, in addition to 0.1. Datagrams may
   * arrive out of order then. Initially 0.
   */
  setDelay(ms: number): void;
  /**
   * Disconnects a node: it neither sends nor receives. Throws if no node with this id was created on this
   * network.
   */
  unplug(id: string): void;
  /** Connects it again. */
  plug(id: string): void;
  /** Closes the nodes and casters of this network that are up or bound. */
  close(): Promise<void>;
  /** Does the same at the end of `await using` (Node.js 24, TypeScript 5.2). */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The functions of a test runner that `networkPerTest` uses. */
export interface TestHooks {
  beforeEach(run: () => void): unknown;
  afterEach(run: () => Promise<void>): unknown;
}

/**
 * Makes a network for each test of a file or group, and closes its nodes after the test. Returns a function
 * that gives the network of the running test.
 *
 *     const network = networkPerTest(require('node:test'));            // node:test
 *     const network = networkPerTest({ beforeEach, afterEach });       // vitest, jest, mocha
 *
 * `seed` is for everything random on each of the networks. Default 0. Throws a TypeError if `hooks` lacks one of
 * the functions.
 */
export function networkPerTest(hooks: TestHooks, seed?: number): () => VirtualNetwork;
