// Takes events from the native queue in batches and hands them on one by one.
'use strict';

const { splitArray } = require('./binding');

/** How many events are taken before the event loop gets to do something else. */
const LIMIT = 1024;

function parse(json) {
  try {
    return JSON.parse(json);
  } catch {
    // One of them cannot be read: it shall not take the others with it.
    return splitArray(json).flatMap((element) => {
      try {
        return [JSON.parse(element)];
      } catch {
        return [];
      }
    });
  }
}

class Pump {
  #native;
  #handle;
  #waiting = [];
  #running = false;

  constructor(native, handle) {
    this.#native = native;
    this.#handle = handle;
  }

  /** Takes what is in the queue and handles it. */
  drain() {
    this.#take();
    this.#run();
  }

  /** Takes what is in the queue, removes the events that are selected and returns them. */
  extract(selected) {
    this.#take();
    const extracted = this.#waiting.filter(selected);
    this.#waiting = this.#waiting.filter((event) => !selected(event));
    this.#runLater();
    return extracted;
  }

  /** Forgets what has been taken and not yet handled. */
  clear() {
    this.#waiting = [];
  }

  #take() {
    const batch = this.#native.drain(LIMIT);
    for (const event of parse(batch.json)) {
      if (event.bytes) {
        const [start, length] = event.bytes;
        event.message = batch.bytes.subarray(start, start + length);
      }
      if (event.type === 'stage') {
        event.transit = batch.transits[event.transit];
      }
      this.#waiting.push(event);
    }
    if (batch.count === LIMIT) {
      setImmediate(() => this.drain());
    }
  }

  #run() {
    if (this.#running) {
      return; // a listener asked for more: it comes in its turn
    }
    this.#running = true;
    try {
      while (this.#waiting.length > 0) {
        this.#handle(this.#waiting.shift());
      }
    } finally {
      this.#running = false;
      this.#runLater(); // the rest, if a listener has thrown
    }
  }

  #runLater() {
    if (this.#waiting.length > 0 && !this.#running) {
      setImmediate(() => this.#run());
    }
  }
}

module.exports = { Pump };
