// What a caster and the caster of a node have in common: a chain of middleware and two events.
'use strict';

const { EventEmitter } = require('node:events');
const { attempt } = require('./errors');
const { Chain, nativeOf, toJson } = require('./middleware');
const { isBytes } = require('./options');

/**
 * As long as all middleware is built in, the core runs it. From the moment that a program adds its
 * own or touches `_middleware`, `_tx` or `_rx`, the whole chain runs here.
 */
class Chained extends EventEmitter {
  #chain = new Chain();
  #inJavaScript = false;

  /** Adds middleware, from the program to the wire. */
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

  /** The chain if it has to be run here, else null. */
  _chainHere() {
    return this.#inJavaScript ? this.#chain : null;
  }

  /**
   * Runs the chain on a message, if it has to be run here. What comes out goes to `transmit` and
   * the bytes that this returns to `done`, like any error.
   */
  _send(message, transmit, done) {
    const finish = (error, wire) => {
      let failure = error;
      let bytes;
      try {
        if (!failure) {
          bytes = attempt(() => transmit(isBytes(wire) ? wire : toJson(wire)));
        }
      } catch (thrown) {
        failure = thrown;
      }
      if (failure) {
        done(failure);
      } else {
        done(null, bytes);
      }
    };
    const chain = this._chainHere();
    if (chain) {
      chain.runTx(message, finish);
    } else {
      finish(null, message);
    }
  }

  /**
   * Sends many messages: all at once, or one by one with `one(message, done)` if the chain has to be
   * run here.
   */
  _sendBatch(messages, { together, one }, done) {
    if (!Array.isArray(messages)) {
      throw new TypeError('sendBatch needs an array of messages');
    }
    if (this._chainHere()) {
      sendEach(messages, one, done);
    } else {
      done(null, attempt(() => together(messages)));
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

  /** Puts those into the chain that are there from the start. */
  _preload(list) {
    list.forEach((middleware) => this.#chain.add(middleware));
  }

  /** Calls `_preload` when the chain is needed for the first time. */
  _load() {}

  /** Tells the core what is listened to. */
  _watch() {}
}

/** Sends one by one, without waiting. Ends with the sum of bytes, or the first error. */
function sendEach(messages, one, done) {
  let left = messages.length;
  let sum = 0;
  let failure = null;
  const settle = () => (failure ? done(failure) : done(null, sum));
  messages.forEach((message, at) => {
    const finish = (error, bytes) => {
      left -= 1;
      sum += bytes ?? 0;
      failure ??= error && placed(error, at);
      if (left === 0) {
        settle();
      }
    };
    try {
      one(message, finish);
    } catch (error) {
      finish(error);
    }
  });
  if (messages.length === 0) {
    settle();
  }
}

/** The error with the place of the message in its text, as the core gives it. */
function placed(error, at) {
  if (error instanceof Error) {
    error.message = `message ${at}: ${error.message}`;
  }
  return error;
}

/** What the core is given of many messages. */
function encodeAll(messages, encode) {
  return messages.map((message, at) => {
    try {
      return encode(message);
    } catch (error) {
      throw placed(error, at);
    }
  });
}

// The core tells about single datagrams only as long as somebody listens.
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

/** The native halves of middleware, or null if one has none. */
function nativesOf(list) {
  const natives = list.map(nativeOf);
  return natives.every(Boolean) ? natives : null;
}

module.exports = { Chained, encodeAll, nativesOf };
