// Takes events from the native queue in batches and handles them one by one.
'use strict';

const { Batch } = require('./event-batch');

/** The largest number of events in a batch. The event loop is woken again for the rest. */
const LIMIT = 1024;

class Pump {
  #native;
  #handle;
  #waiting = [];
  #at = 0; // the events before this index have been handled
  #running = false;

  constructor(native, handle) {
    this.#native = native;
    this.#handle = handle;
  }

  /** Takes the events of the queue and handles them. */
  drain() {
    this.#take();
    this.#run();
  }

  /** Takes the events of the queue and returns those that `selected` accepts, unhandled. */
  extract(selected) {
    this.#take();
    const waiting = this.#waiting.slice(this.#at);
    this.clear();
    this.#waiting = waiting.filter((event) => !selected(event));
    this.#runLater();
    return waiting.filter(selected);
  }

  /** Discards the events that have been taken and not yet handled. */
  clear() {
    this.#waiting = [];
    this.#at = 0;
  }

  #take() {
    for (const event of Batch.take(this.#native, LIMIT)) {
      this.#waiting.push(event);
    }
  }

  #run() {
    if (this.#running) {
      return; // called by a listener: the loop below goes on
    }
    this.#running = true;
    try {
      while (this.#at < this.#waiting.length) {
        this.#handle(this.#waiting[this.#at++]);
      }
      this.clear();
    } finally {
      this.#running = false;
      this.#runLater(); // the rest, if a listener has thrown
    }
  }

  #runLater() {
    if (this.#at < this.#waiting.length && !this.#running) {
      setImmediate(() => this.#run());
    }
  }
}

module.exports = { Pump };
