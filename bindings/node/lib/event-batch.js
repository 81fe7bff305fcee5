// A batch of events as the native half hands it over.
'use strict';

const { splitArray } = require('./binding');

function parse(json) {
  try {
    return JSON.parse(json);
  } catch {
    // One event cannot be parsed: parse the others without it.
    return splitArray(json).map((element) => {
      try {
        return JSON.parse(element);
      } catch {
        return null;
      }
    });
  }
}

/** Reads the events of one batch. The host module of the core describes its format. */
class Batch {
  #native;
  #bytes = null;
  #transits = null;
  #senders = [];

  constructor(native) {
    this.#native = native;
  }

  /** Takes at most `limit` events. Those that cannot be parsed are left out. */
  static take(native, limit) {
    const raw = parse(native.drain(limit));
    const batch = new Batch(native);
    const events = [];
    for (let at = 0; at < raw.length; at += 1) {
      const event = batch.#read(raw[at]);
      if (event) {
        events.push(event);
      }
    }
    return events;
  }

  /** The event of one array element, or null if it could not be parsed. */
  #read(raw) {
    if (!Array.isArray(raw)) {
      return raw && this.#complete(raw);
    }
    if (typeof raw[0] === 'boolean') {
      const [fresh, node, message, signed = false] = raw;
      return { type: 'message', message, node, sealed: true, fresh, signed };
    }
    if (raw.length === 2) {
      return { type: 'message', message: raw[1], node: raw[0] };
    }
    const message = raw.length === 3 ? raw[2] : this.#slice(raw[2], raw[3]);
    return { type: 'message', message, remote: this.#remote(raw[0], raw[1]) };
  }

  /** A new object for every message: the program may change it. */
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

module.exports = { Batch };
