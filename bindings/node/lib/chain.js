// A chain of middleware that JavaScript runs.
'use strict';

const { checkChain } = require('./binding');

/** The middleware of one caster. Its fields have the shape of `_middleware`, `_tx` and `_rx` in 0.1.1. */
class Chain {
  middleware = {};
  tx = []; // from the program to the wire
  rx = []; // from the wire to the program

  /** Adds middleware next to the wire. */
  add(middleware) {
    const { name, tx, rx } = middleware;
    for (const [property, value] of Object.entries({ tx, rx })) {
      if (name && value && typeof value !== 'function') {
        throw new TypeError(`middleware.${property} is not a function`);
      }
    }
    const names = [...Object.keys(this.middleware), name ? String(name) : ''];
    checkChain(names, Boolean(tx), Boolean(rx));
    this.middleware[name] = middleware;
    if (tx) {
      this.tx.push(tx);
    }
    if (rx) {
      this.rx.unshift(rx);
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
