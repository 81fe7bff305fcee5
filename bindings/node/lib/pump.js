// Takes events from the native queue in batches and hands them on one by one.
'use strict';

const { splitArray } = require('./binding');

/** How many events are taken at the most. For what is left the event loop is woken once more. */
const LIMIT = 1024;

function parse(json) {
  try {
    return JSON.parse(json);
  } catch {
    // One of them cannot be read: it shall not take the others with it.
    return splitArray(json).map((element) => {
      try {
        return JSON.parse(element);
      } catch {
        return null;
      }
    });
  }
}

/** The events of one batch, in the shape in which caster-core/src/host.rs describes it. */
class Reader {
  #native;
  #bytes = null;
  #transits = null;
  #senders = [];

  constructor(native) {
    this.#native = native;
  }

  /** The event in `raw`; null if it could not be read. */
  read(raw) {
    if (!Array.isArray(raw)) {
      return raw && this.#complete(raw);
    }
    if (raw.length === 2) {
      return { type: 'message', message: raw[1], node: raw[0] };
    }
    const message = raw.length === 3 ? raw[2] : this.#slice(raw[2], raw[3]);
    return { type: 'message', message, remote: this.#remote(raw[0], raw[1]) };
  }

  /** Every message has a remote object of its own, which the program may change. */
  #remote(sender, size) {
    const from = typeof sender === 'number' ? this.#senders[sender] : sender;
    if (from === sender) {
      this.#senders.push(from);
    }
    return { address: from.address, family: from.family, port: from.port, size };
  }

  #complete(event) {
    if (event.bytes) {
      event.message = this.#slice(...event.bytes);
    }
    if (event.type === 'stage') {
      this.#transits ??= this.#native.transits();
      event.transit = this.#transits[event.transit];
    }
    return event;
  }

  #slice(start, length) {
    this.#bytes ??= this.#native.bytes();
    const { length: all } = this.#bytes;
    return length === all ? this.#bytes : this.#bytes.subarray(start, start + length);
  }
}

class Pump {
  #native;
  #handle;
  #waiting = [];
  #at = 0; // what comes before has been handled
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
    const waiting = this.#waiting.slice(this.#at);
    this.clear();
    this.#waiting = waiting.filter((event) => !selected(event));
    this.#runLater();
    return waiting.filter(selected);
  }

  /** Forgets what has been taken and not yet handled. */
  clear() {
    this.#waiting = [];
    this.#at = 0;
  }

  #take() {
    const raw = parse(this.#native.drain(LIMIT));
    const reader = new Reader(this.#native);
    for (let at = 0; at < raw.length; at += 1) {
      const event = reader.read(raw[at]);
      if (event) {
        this.#waiting.push(event);
      }
    }
  }

  #run() {
    if (this.#running) {
      return; // a listener asked for more: it comes in its turn
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
