// Base class of a caster and of the caster of a node: a chain of middleware and two events.
'use strict';

const { EventEmitter } = require('node:events');
const { Chain } = require('./chain');
const { attempt } = require('./errors');
const { toNative } = require('./message');
const { encodeAll, sendEach } = require('./send-batch');

/**
 * The core runs the chain while all of it is built in. As soon as the program adds its own middleware
 * or accesses `_middleware`, `_tx` or `_rx`, JavaScript runs the whole chain.
 */
class Chained extends EventEmitter {
  #chain = new Chain();
  #inJavaScript = false;

  /** Adds middleware next to the wire. */
  use(...list) {
    for (const middleware of list) {
      this._load();
      this.#chain.add(middleware);
      if (!this.#inJavaScript && !this._runNatively(Object.values(this.#chain.middleware))) {
        this.#leaveNative();
      }
    }
  }

  get _middleware() {
    return this.#exposed().middleware;
  }

  set _middleware(middleware) {
    this.#exposed().middleware = middleware;
  }

  get _tx() {
    return this.#exposed().tx;
  }

  set _tx(stages) {
    this.#exposed().tx = stages;
  }

  get _rx() {
    return this.#exposed().rx;
  }

  set _rx(stages) {
    this.#exposed().rx = stages;
  }

  /** The chain if JavaScript runs it, else null. */
  _chainHere() {
    return this.#inJavaScript ? this.#chain : null;
  }

  /**
   * Runs the chain on a message if JavaScript runs it, and calls `transmit` with the result. Calls
   * `done(error)`, or `done(null, bytes)` with what `transmit` returns.
   */
  _send(message, transmit, done) {
    const finish = (error, wire) => {
      if (error) {
        done(error);
        return;
      }
      let bytes;
      try {
        bytes = attempt(() => transmit(toNative(wire)));
      } catch (failure) {
        done(failure);
        return;
      }
      done(null, bytes);
    };
    const chain = this._chainHere();
    if (chain) {
      chain.runTx(message, finish);
    } else {
      finish(null, message);
    }
  }

  /**
   * Sends many messages: encoded by `encode`, with one call of `together(encoded)`. If JavaScript runs the
   * chain, calls `one(message, done)` for each.
   */
  _sendBatch(messages, { encode, together, one }, done) {
    if (!Array.isArray(messages)) {
      throw new TypeError('sendBatch needs an array of messages');
    }
    if (this._chainHere()) {
      sendEach(messages, one, done);
    } else {
      const encoded = encodeAll(messages, encode);
      done(null, attempt(() => together(encoded)));
    }
  }

  #exposed() {
    if (!this.#inJavaScript) {
      this._load();
      this.#leaveNative();
    }
    return this.#chain;
  }

  #leaveNative() {
    this.#inJavaScript = true;
    this._runInJavaScript();
    this._watch();
  }

  /** Adds the middleware that the chain has from the start. */
  _preload(list) {
    list.forEach((middleware) => this.#chain.add(middleware));
  }

  /** Calls `_preload` when the chain is needed for the first time. */
  _load() {}

  /** Makes the core report single datagrams while the program listens to them. */
  _watch() {}
}

for (const method of [
  'on',
  'addListener',
  'prependListener',
  'off',
  'removeListener',
  'removeAllListeners',
]) {
  Chained.prototype[method] = function (...given) {
    EventEmitter.prototype[method].apply(this, given);
    this._watch();
    return this;
  };
}

module.exports = { Chained };
