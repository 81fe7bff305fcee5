// How calls end: with a callback or with a promise.
'use strict';

/**
 * The promise of a call without a callback. If the call fails and nobody has asked this promise
 * about it, the error is emitted as `error`, as caster 0.1.1 does for calls without a callback.
 */
class Outcome extends Promise {
  #watched = false;

  /** What `then` and its like return are plain promises. */
  static get [Symbol.species]() {
    return Promise;
  }

  then(...handlers) {
    this.#watched = true;
    return super.then(...handlers);
  }

  /** The outcome of `work`, which calls `done(error, result)` or throws. */
  static of(emitter, work) {
    let settle;
    const outcome = new Outcome((resolve, reject) => {
      settle = (error, result) => (error ? reject(error) : resolve(result));
    });
    begin(work, (error, result) => {
      settle(error, result);
      if (error) {
        outcome.#emitUnlessWatched(emitter, error);
      }
    });
    return outcome;
  }

  #emitUnlessWatched(emitter, error) {
    super.then(undefined, () => {}); // or it would be an unhandled rejection as well
    // By then everybody had the chance to ask who has the promise: `await` does so a little later.
    setImmediate(() => {
      if (!this.#watched) {
        emitter.emit('error', error);
      }
    });
  }
}

/** Calls `work(done)`. What it throws goes to `done` too. */
function begin(work, done) {
  try {
    work(done);
  } catch (error) {
    done(error);
  }
}

/**
 * Does what a method with an optional callback does. Callbacks are always called after the method
 * has returned; without one there is a promise.
 */
function perform(emitter, callback, work) {
  if (typeof callback !== 'function') {
    return Outcome.of(emitter, work);
  }
  begin(work, (...outcome) => process.nextTick(callback, ...outcome));
  return undefined;
}

module.exports = { perform };
