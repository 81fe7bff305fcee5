// Events as an async iterator.
'use strict';

const { checkNames, checkSignal } = require('./arguments');

/** How many events wait for a slow reader by default. */
const LIMIT = 1024;

/**
 * The events from its creation until the node goes down or the caster is closed.
 *
 * At most `limit` events wait. When the queue is full, a new message is dropped; any other event
 * replaces the newest message, or the oldest event if no message waits. An event `lost` reports how many
 * events were dropped.
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

  constructor(options = {}, forget) {
    checkNames('events', options, ['limit', 'signal']);
    const { limit = LIMIT, signal } = options;
    if (!Number.isInteger(limit) || limit < 1) {
      throw new RangeError(`limit: ${String(limit)} is not accepted; give a whole number from 1`);
    }
    checkSignal(signal);
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

  /** Drops an event of the full queue. Returns whether it was another one than this. */
  #makeRoom(event) {
    this.#lost += 1;
    if (event.type === 'message') {
      return false;
    }
    const newest = this.#waiting.findLastIndex(({ type }) => type === 'message');
    this.#waiting.splice(Math.max(newest, 0), 1);
    return true;
  }

  /** Ends the stream. Events that wait can still be read; an error discards them. */
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

module.exports = { EventStream };
