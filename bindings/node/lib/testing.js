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
  #made = [];

  constructor(seed = 0) {
    number('seed', seed, 'a whole number from 0', (it) => Number.isSafeInteger(it) && it >= 0);
    this.#native = new NativeNetwork(seed);
  }

  /** A node on this network that is not yet up. */
  node(options) {
    return this.#keep(new Node(options, this.#place()));
  }

  /** A caster on this network that is not yet bound. */
  caster(options) {
    return this.#keep(new Caster(options, this.#place()));
  }

  #keep(made) {
    this.#made.push(made);
    return made;
  }

  /** Closes the nodes and casters that are open. */
  async close() {
    for (const made of this.#made.splice(0)) {
      if (made._session) {
        await (made instanceof Node ? made.down() : made.close());
      }
    }
  }

  /** For `await using`. */
  [Symbol.asyncDispose ?? Symbol('asyncDispose')]() {
    return this.close();
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

/**
 * Makes a network for each test: `hooks` has `beforeEach` and `afterEach` of the test runner. The result
 * gives the network of the test that runs.
 */
function networkPerTest(hooks, seed = 0) {
  for (const name of ['beforeEach', 'afterEach']) {
    if (typeof hooks?.[name] !== 'function') {
      const text = 'networkPerTest takes the functions beforeEach and afterEach of the test runner, as in ' +
        "networkPerTest(require('node:test'))";
      throw new TypeError(text);
    }
  }
  let network = null;
  hooks.beforeEach(() => {
    network = new VirtualNetwork(seed);
  });
  hooks.afterEach(async () => {
    const ended = network;
    network = null;
    await ended.close();
  });
  return () => {
    if (network === null) {
      throw new Error('no test runs: the network exists inside of a test only');
    }
    return network;
  };
}

module.exports = { VirtualNetwork, networkPerTest };
