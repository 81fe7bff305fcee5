// The outcome of a call: a callback or a promise.
'use strict';

/**
 * The promise of a call without a callback. If the call fails and the program has not used the promise,
 * the error is emitted as `error`, as caster 0.1.1 does for calls without a callback.
 */
class Outcome extends Promise {
  #watched = false;

  /** The class of the promises that `then`, `catch` and `finally` return. */
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
    super.then(undefined, () => {}); // prevents an unhandled rejection
    // `await` calls `then` in a later microtask; all of them have run by then.
    setImmediate(() => {
      if (!this.#watched) {
        emitter.emit('error', error);
      }
    });
  }
}

/** Calls `work(done)`. An exception goes to `done` as well. */
function begin(work, done) {
  try {
    work(done);
  } catch (error) {
    done(error);
  }
}

/**
 * Runs a method with an optional callback. The callback is called after the method has returned; without
 * a callback, returns a promise.
 */
function perform(emitter, callback, work) {
  if (typeof callback !== 'function') {
    if (callback) {
      throw new TypeError(`a callback has to be a function, not ${typeof callback}`);
    }
    return Outcome.of(emitter, work);
  }
  begin(work, (...outcome) => process.nextTick(callback, ...outcome));
  return undefined;
}

module.exports = { perform };
