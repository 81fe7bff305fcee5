// A network in memory, for the tests of programs.
'use strict';

// Kept, because tests replace the global one.
const { setImmediate } = require('node:timers');
const { NativeNetwork } = require('./binding');
const { Caster } = require('./caster');
const { attempt } = require('./errors');
const { Node } = require('./node');

/** Checks a number argument. */
function number(name, value, accepted, isGood) {
  if (typeof value !== 'number' || !isGood(value)) {
    throw new RangeError(`${name}: ${String(value)} is not accepted; give ${accepted}`);
  }
  return value;
}

const share = (value) =>
  number('share', value, 'a number from 0 to 1', (it) => it >= 0 && it <= 1);
const milliseconds = (value) =>
  number('ms', value, 'milliseconds from 0', (it) => it >= 0 && it < Infinity);

/** Lets the callbacks and promises of the program run. */
const others = () => new Promise((resolve) => setImmediate(resolve));

class VirtualNetwork {
  #native;
  #drains = []; // by the number of the node or caster
  #turn = Promise.resolve();

  constructor(seed = 0) {
    number('seed', seed, 'a whole number from 0', (it) => Number.isSafeInteger(it) && it >= 0);
    this.#native = new NativeNetwork(seed);
  }

  /** A node on this network that is not yet up. */
  node(options) {
    return new Node(options, this.#place());
  }

  /** A caster on this network that is not yet bound. */
  caster(options) {
    return new Caster(options, this.#place());
  }

  /** The connection of a node or caster to this network. */
  #place() {
    return { native: this.#native, join: (drain) => this.#drains.push(drain) };
  }

  /** Advances the clock. It stops at every event until the program has handled it. */
  async advance(ms) {
    milliseconds(ms);
    const before = this.#turn;
    let end;
    this.#turn = new Promise((resolve) => {
      end = resolve;
    });
    try {
      await before;
      await this.#run(this.#native.now + ms);
    } finally {
      end();
    }
  }

  async #run(until) {
    await others(); // callbacks that are due come first
    for (;;) {
      const told = this.#native.advance(until);
      if (told.length === 0) {
        return;
      }
      told.forEach((number) => this.#drains[number]());
      await others();
    }
  }

  /** The virtual clock in milliseconds. */
  get now() {
    return this.#native.now;
  }

  /** Sets the share of the datagrams that are lost. */
  setLoss(value) {
    this.#native.setLoss(share(value));
  }

  /** Sets the share of the datagrams that arrive twice. */
  setDuplicates(value) {
    this.#native.setDuplicates(share(value));
  }

  /** Sets the upper bound on the random delay of a datagram, in milliseconds. */
  setDelay(ms) {
    this.#native.setDelay(milliseconds(ms));
  }

  /** Disconnects a node. */
  unplug(id) {
    attempt(() => this.#native.setPlugged(String(id), false));
  }

  /** Connects it again. */
  plug(id) {
    attempt(() => this.#native.setPlugged(String(id), true));
  }
}

module.exports = { VirtualNetwork };
