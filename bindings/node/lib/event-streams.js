// The event streams of a node or caster.
'use strict';

const { checkNames, checkSignal } = require('./arguments');
const { EventStream } = require('./event-stream');

/** All open streams of one node or caster. */
class EventStreams {
  #open = new Set();

  get size() {
    return this.#open.size;
  }

  add(options) {
    const stream = new EventStream(options, (ended) => this.#open.delete(ended));
    if (!stream.ended) {
      this.#open.add(stream);
    }
    return stream;
  }

  push(event) {
    for (const stream of this.#open) {
      stream.push(event);
    }
  }

  end() {
    this.#open.forEach((stream) => stream.end());
  }

  /**
   * The first event, of `known` and of those to come, for which `predicate` returns true. `types` are the
   * names of the events that there are.
   */
  async waitFor([what, ...rest], known, types) {
    let predicate = what;
    if (typeof what === 'string') {
      if (!types.includes(what)) {
        throw new RangeError(`waitFor: there is no event ${JSON.stringify(what)}; give one of ${types.join(', ')}`);
      }
      const and = typeof rest[0] === 'function' ? rest.shift() : () => true;
      predicate = (event) => event.type === what && and(event);
    }
    if (typeof predicate !== 'function') {
      throw new TypeError('waitFor needs the name of an event, or a predicate function');
    }
    const [options = {}, ...more] = rest;
    if (options === null || !['object', 'number'].includes(typeof options)) {
      throw new TypeError('waitFor needs milliseconds, or an object with timeout and signal');
    }
    if (more.length > 0) {
      throw new TypeError('waitFor takes the name of an event, a predicate, and milliseconds or an object, in this order');
    }
    const named = typeof options === 'number' ? { timeout: options } : options;
    checkNames('waitFor', named, ['timeout', 'signal']);
    const { timeout, signal } = named;
    if (timeout !== undefined && !(typeof timeout === 'number' && timeout >= 0 && timeout < 2 ** 31)) {
      throw new RangeError(`timeout: ${String(timeout)} is not accepted; give milliseconds from 0 to 2147483647`);
    }
    checkSignal(signal);
    signal?.throwIfAborted();
    const found = known.find((event) => predicate(event));
    if (found) {
      return found;
    }
    const stream = this.add({ signal });
    const late = () => {
      const text = `no event passed the predicate within ${timeout} ms`;
      stream.end(Object.assign(new Error(text), { code: 'TIMED_OUT' }));
    };
    const timer = timeout === undefined ? undefined : setTimeout(late, timeout);
    try {
      for await (const event of stream) {
        if (predicate(event)) {
          return event;
        }
      }
    } finally {
      clearTimeout(timer);
    }
    const text = 'the events ended before one passed the predicate';
    throw Object.assign(new Error(text), { code: 'ENDED' });
  }
}

module.exports = { EventStreams };
