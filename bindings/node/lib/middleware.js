// The built-in middleware as objects, and chains of middleware.
'use strict';

const { NativeMiddleware } = require('./binding');
const { attempt } = require('./errors');
const { encode, isBytes } = require('./options');
const { warnOfHabits } = require('./warnings');

/** What a middleware object was when it was made: its native half and its functions. */
const originals = new WeakMap();

/** JSON text of any value that JSON can hold. */
function toJson(value) {
  const json = JSON.stringify(value);
  if (json === undefined) {
    throw new TypeError(`a message has to be a value that JSON can hold, not ${typeof value}`);
  }
  return json;
}

/** Middleware that turns values into bytes and back. */
function overValues(native) {
  return {
    name: native.name,
    tx(message, next) {
      let wire = message;
      if (!isBytes(message)) {
        try {
          wire = native.tx(toJson(message));
        } catch (err) {
          return next(err, null);
        }
      }
      return next(null, wire);
    },
    rx(message, remote, next) {
      if (!isBytes(message)) {
        return next(null, message);
      }
      let value;
      try {
        value = native.rx(message);
      } catch (err) {
        return next(err, null);
      }
      if (typeof value !== 'string') {
        return next(null, message); // it is not JSON, which is not an error
      }
      return next(null, JSON.parse(value));
    },
  };
}

/** Middleware that turns bytes into other bytes and back. */
function overBytes(native) {
  function apply(direction, message, next) {
    let result;
    try {
      if (!isBytes(message)) {
        throw new TypeError(`${native.name} works on bytes: put json in front of it`);
      }
      result = native[direction](message);
    } catch (err) {
      return next(err, null);
    }
    return next(null, result);
  }
  return {
    name: native.name,
    tx: (message, next) => apply('tx', message, next),
    rx: (message, remote, next) => apply('rx', message, next),
  };
}

/** The middleware object over a native one. */
function wrap(native) {
  const middleware = native.name === 'json' ? overValues(native) : overBytes(native);
  originals.set(middleware, { native, ...middleware });
  return middleware;
}

function factory(name) {
  return (options) => {
    warnOfHabits({ [name]: true, compat: null });
    const given = {};
    for (const key in options) {
      if (options[key]) {
        given[key] = options[key]; // what is falsy stands for the default
      }
    }
    return wrap(attempt(() => new NativeMiddleware(name, encode(given))));
  };
}

/** The native half of a middleware that still is what it was when it was made. */
function nativeOf(middleware) {
  const original = originals.get(middleware);
  const same =
    original &&
    ['name', 'tx', 'rx'].every((property) => middleware[property] === original[property]);
  return same ? original.native : null;
}

/** The middleware of one caster, in the shape in which caster 0.1.1 shows it. */
class Chain {
  middleware = {};
  tx = []; // from the program to the wire
  rx = []; // from the wire to the program

  add(middleware) {
    if (!middleware.name) {
      throw new Error('Middleware name not set');
    }
    if (middleware.tx && typeof middleware.tx !== 'function') {
      throw new Error('middleware.tx is not a function');
    }
    if (middleware.rx && typeof middleware.rx !== 'function') {
      throw new Error('middleware.rx is not a function');
    }
    if (!middleware.tx && !middleware.rx) {
      throw new Error('middleware has no functionality');
    }
    if (Object.hasOwn(this.middleware, middleware.name)) {
      throw new Error('middleware already in use');
    }
    this.middleware[middleware.name] = middleware;
    if (middleware.tx) {
      this.tx.push(middleware.tx);
    }
    if (middleware.rx) {
      this.rx.unshift(middleware.rx);
    }
  }

  /** Runs the way out. `done(error, message)` is called once. */
  runTx(message, done) {
    run(this.tx, (stage, current, next) => stage(current, next), message, done);
  }

  /** Runs the way in. `done(error, message)` is called once. */
  runRx(message, remote, done) {
    run(this.rx, (stage, current, next) => stage(current, remote, next), message, done);
  }
}

/**
 * Runs stages one behind the other. What `done` throws is not taken for a failure of a stage, and
 * a stage that calls `next` twice is heard once.
 */
function run(stages, call, message, done) {
  const left = stages.slice();
  let current = message;
  function go() {
    while (left.length > 0) {
      const stage = left.shift();
      let outcome = null;
      let synchronous = true;
      const next = (error, result) => {
        if (outcome) {
          return;
        }
        outcome = { error, result };
        if (!synchronous) {
          settleStage();
        }
      };
      const settleStage = () => {
        if (outcome.error) {
          done(outcome.error);
          return;
        }
        current = outcome.result;
        go();
      };
      try {
        call(stage, current, next);
      } catch (error) {
        outcome = { error: error || new Error('a middleware threw nothing') };
      }
      synchronous = false;
      if (!outcome) {
        return; // next is called later
      }
      if (outcome.error) {
        done(outcome.error);
        return;
      }
      current = outcome.result;
    }
    done(null, current);
  }
  go();
}

module.exports = {
  Chain,
  nativeOf,
  toJson,
  wrap,
  json: factory('json'),
  hash: factory('hash'),
  crypto: factory('crypto'),
};
