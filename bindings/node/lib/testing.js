// A network in memory, for the tests of programs.
'use strict';

// Kept, because tests put others in their places.
const { setImmediate } = require('node:timers');
const { NativeNetwork } = require('./binding');
const { Caster } = require('./caster');
const { attempt } = require('./errors');
const { Node } = require('./node');

/** Checks a number before it goes to the core. */
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

/** The callbacks and promises of the program have their turn. */
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

  /** What a node or caster needs to be here. */
  #place() {
    return { native: this.#native, join: (drain) => this.#drains.push(drain) };
  }

  /** Lets time pass. Where something happens it stops until the program has heard of it. */
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
    await others(); // what has been called before comes first
    for (;;) {
      const told = this.#native.advance(until);
      if (told.length === 0) {
        return;
      }
      told.forEach((number) => this.#drains[number]());
      await others();
    }
  }

  /** The virtual clock: how many milliseconds have passed. */
  get now() {
    return this.#native.now;
  }

  /** Which share of the datagrams is lost. */
  setLoss(value) {
    this.#native.setLoss(share(value));
  }

  /** Which share of the datagrams arrives twice. */
  setDuplicates(value) {
    this.#native.setDuplicates(share(value));
  }

  /** By how many milliseconds datagrams are late at the most. */
  setDelay(ms) {
    this.#native.setDelay(milliseconds(ms));
  }

  /** Cuts a node off. */
  unplug(id) {
    attempt(() => this.#native.setPlugged(String(id), false));
  }

  /** Connects it again. */
  plug(id) {
    attempt(() => this.#native.setPlugged(String(id), true));
  }
}

module.exports = { VirtualNetwork };
