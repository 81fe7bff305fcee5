// A chain of middleware that JavaScript runs.
'use strict';

/** The middleware of one caster. Its fields have the shape of `_middleware`, `_tx` and `_rx` in 0.1.1. */
class Chain {
  middleware = {};
  tx = []; // from the program to the wire
  rx = []; // from the wire to the program

  /** Adds middleware next to the wire. The error texts are those of caster 0.1.1. */
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

  /** Runs an outgoing message through the chain. Calls `done(error, message)` once. */
  runTx(message, done) {
    run(this.tx, (stage, current, next) => stage(current, next), message, done);
  }

  /** Runs an incoming message through the chain. Calls `done(error, message)` once. */
  runRx(message, remote, done) {
    run(this.rx, (stage, current, next) => stage(current, remote, next), message, done);
  }
}

/** Runs the stages in order. An exception of `done` is not a failure of a stage. */
function run(stages, call, message, done) {
  const left = stages.slice();
  const go = (outcome) => {
    let current = outcome;
    while (current && !current.error && left.length > 0) {
      const stage = left.shift();
      const { result } = current;
      current = runStage((next) => call(stage, result, next), go);
    }
    if (!current) {
      return; // `next` will be called later
    }
    if (current.error) {
      done(current.error);
    } else {
      done(null, current.result);
    }
  };
  go({ error: null, result: message });
}

/**
 * Calls one stage. Returns `{ error, result }`, or null if the stage has not called `next` yet: then
 * `later` gets the outcome. Only the first call of `next` counts.
 */
function runStage(call, later) {
  let outcome = null;
  let returned = false;
  try {
    call((error, result) => {
      if (outcome) {
        return;
      }
      outcome = { error, result };
      if (returned) {
        later(outcome);
      }
    });
  } catch (error) {
    outcome = { error: error || new Error('a middleware threw nothing') };
  }
  returned = true;
  return outcome;
}

module.exports = { Chain };
