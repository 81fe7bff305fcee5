import { Caster, CasterOptions, Node, NodeOptions } from './index.js';

/**
 * A network in memory with a clock of its own, for the tests of programs: they take no time, need no
 * privileges and disturb nobody.
 *
 * Its nodes and casters are ordinary ones. No socket is opened, no thread started, and none of them
 * keeps the process alive. Time stands still but for `advance`; the events are emitted there and
 * nowhere else. Two networks with the same seed do the same, if the ids are given.
 */
export class VirtualNetwork {
  /** `seed` is for everything random: a whole number from 0. Default 0. */
  constructor(seed?: number);
  /**
   * A node on this network that is not yet up, with an address of its own. The options `address`,
   * `interfaces`, `multicast6` and `ttl` have no effect.
   */
  node<Meta = any, Message = any>(options?: NodeOptions<Meta> | null): Node<Meta, Message>;
  /** A caster on this network that is not yet bound. */
  caster<Message = any>(options?: CasterOptions | null): Caster<Message>;
  /**
   * Lets so many milliseconds pass. Time stops at every event: it is emitted, and callbacks and
   * promises have their turn before time goes on. What a listener throws rejects the promise.
   * Advances that are begun while one goes on come after it.
   *
   * Timers of JavaScript do not belong to this clock, nor does the `timeout` of `waitFor`.
   */
  advance(ms: number): Promise<void>;
  /** The virtual clock: how many milliseconds have passed since the network was made. */
  readonly now: number;
  /** Which share of the datagrams is lost, from 0 to 1. At first 0. */
  setLoss(share: number): void;
  /** Which share of the datagrams arrives twice, from 0 to 1. At first 0. */
  setDuplicates(share: number): void;
  /**
   * By how many milliseconds datagrams are late at the most, in addition to 0.1; with it they
   * overtake each other. At first 0.
   */
  setDelay(ms: number): void;
  /**
   * Cuts a node off: it neither sends nor receives. Throws if no node with this id was made on this
   * network.
   */
  unplug(id: string): void;
  /** Connects it again. */
  plug(id: string): void;
}
