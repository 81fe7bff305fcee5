// The peers of a node, as the records that programs see.
'use strict';

const util = require('node:util');

/** Shows the time and not the accessor. */
const inspected = {
  enumerable: false,
  value(depth, options, inspect = util.inspect) {
    return inspect({ ...this }, options);
  },
};

/** The record of a peer. Reading `lastSeen` and `suspect` asks the core. */
function makeRecord(native, { id, address, firstSeen, lastSeen, meta }) {
  let known = lastSeen;
  const record = { id, address, firstSeen, lastSeen, meta };
  Object.defineProperty(record, util.inspect.custom, inspected);
  // Not enumerable: 0.1.1 does not have it.
  Object.defineProperty(record, 'suspect', { get: () => native.isSuspect(id) });
  return Object.defineProperty(record, 'lastSeen', {
    enumerable: true,
    configurable: true,
    get: () => (known = native.lastSeen(id) ?? known),
    set: (value) => freeze(record, value),
  });
}

/** Fixes `lastSeen` at a time. */
function freeze(record, lastSeen) {
  Object.defineProperty(record, 'lastSeen', {
    enumerable: true,
    configurable: true,
    writable: true,
    value: lastSeen,
  });
}

/** The peers that are up. A peer has the same record in all events until it is down. */
class Peers {
  #native;
  #records = new Map(); // as `byId`, which the program may change

  /** The records by id: `node.nodes`. */
  byId = Object.create(null);

  constructor(native) {
    this.#native = native;
  }

  /** Forgets all peers. */
  clear() {
    this.#records.clear();
    Object.keys(this.byId).forEach((id) => delete this.byId[id]);
  }

  /** A peer is up. Returns its record. */
  add(peer) {
    const record = makeRecord(this.#native, peer);
    this.#records.set(record.id, record);
    this.byId[record.id] = record;
    return record;
  }

  /** The address or metadata of a peer has changed. Returns its record. */
  update(peer) {
    const record = this.find(peer);
    record.address = peer.address;
    record.meta = peer.meta;
    return record;
  }

  /** A peer is down. Returns its record. */
  remove(peer) {
    const record = this.find(peer);
    this.#records.delete(record.id);
    delete this.byId[record.id];
    freeze(record, peer.lastSeen);
    return record;
  }

  /** The record of a peer, given as an object or an id. A peer that is not up gets a new record. */
  find(peer) {
    const given = typeof peer === 'string' ? { id: peer } : peer;
    return this.#records.get(given.id) ?? makeRecord(this.#native, given);
  }

  /** The records with these ids, without those that are not up. */
  select(ids) {
    return ids.map((id) => this.#records.get(id)).filter(Boolean);
  }

  /** The node is down: the records stay as they are. */
  freeze() {
    this.#records.forEach((record) => freeze(record, record.lastSeen));
  }
}

module.exports = { Peers };
