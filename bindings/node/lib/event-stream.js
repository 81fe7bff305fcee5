// Events as something to iterate over.
'use strict';

/** How many events wait for a slow reader, unless it says otherwise. */
const LIMIT = 1024;

/**
 * The events from the moment it was made, until the node goes down or the caster is closed.
 *
 * At most `limit` events wait. When there are as many, messages are lost, the newest first, and up,
 * update and down take their places; the reader is told with `lost` how many events it missed.
 */
class EventStream {
  #limit;
  #signal;
  #forget;
  #waiting = [];
  #lost = 0;
  #readers = [];
  #failure = null;
  #ended = false;
  #abort = () => this.end(this.#signal.reason);

  constructor({ limit = LIMIT, signal } = {}, forget) {
    if (!Number.isInteger(limit) || limit < 1) {
      throw new RangeError(`limit: ${String(limit)} is not accepted; give a whole number from 1`);
    }
    if (signal !== undefined && typeof signal?.addEventListener !== 'function') {
      throw new TypeError('signal has to be an AbortSignal');
    }
    this.#limit = limit;
    this.#signal = signal;
    this.#forget = forget;
    signal?.addEventListener('abort', this.#abort);
    if (signal?.aborted) {
      this.#abort();
    }
  }

  get ended() {
    return this.#ended;
  }

  push(event) {
    if (this.#ended) {
      return;
    }
    if (this.#readers.length > 0) {
      this.#readers.shift().resolve({ value: event, done: false });
    } else if (this.#waiting.length < this.#limit || this.#makeRoom(event)) {
      this.#waiting.push(event);
    }
  }

  /** Whether there is room for the event after all. Something is lost in any case. */
  #makeRoom(event) {
    this.#lost += 1;
    if (event.type === 'message') {
      return false;
    }
    const newest = this.#waiting.findLastIndex(({ type }) => type === 'message');
    this.#waiting.splice(Math.max(newest, 0), 1);
    return true;
  }

  /** No more events. What waits can still be read, unless there is an error. */
  end(error = null) {
    if (this.#ended) {
      return;
    }
    this.#ended = true;
    this.#forget(this);
    this.#signal?.removeEventListener('abort', this.#abort);
    if (error) {
      this.#waiting = [];
      this.#lost = 0;
    }
    this.#failure = error;
    this.#readers.splice(0).forEach(({ resolve, reject }) => this.next().then(resolve, reject));
  }

  async next() {
    if (this.#lost > 0) {
      const count = this.#lost;
      this.#lost = 0;
      return { value: { type: 'lost', count }, done: false };
    }
    if (this.#waiting.length > 0) {
      return { value: this.#waiting.shift(), done: false };
    }
    if (this.#failure) {
      const error = this.#failure;
      this.#failure = null;
      throw error;
    }
    if (this.#ended) {
      return { value: undefined, done: true };
    }
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
  }

  async return(value) {
    this.#waiting = [];
    this.#lost = 0;
    this.end();
    return { value, done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

/** All streams that are being read from one node or caster. */
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

  /** The first event, of those that are known and those that come, on which `predicate` is true. */
  async waitFor(predicate, { timeout, signal } = {}, known = []) {
    if (typeof predicate !== 'function') {
      throw new TypeError('waitFor needs a function that tells whether an event is the one');
    }
    if (timeout !== undefined && !(timeout >= 0 && timeout < 2 ** 31)) {
      throw new RangeError(`timeout: ${String(timeout)} is not accepted; give milliseconds`);
    }
    signal?.throwIfAborted();
    const found = known.find((event) => predicate(event));
    if (found) {
      return found;
    }
    const stream = this.add({ signal });
    const late = () => {
      const text = `no event was the one that was waited for, within ${timeout} ms`;
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
    const text = 'the events ended before the one that was waited for';
    throw Object.assign(new Error(text), { code: 'ENDED' });
  }
}

module.exports = { EventStreams };
