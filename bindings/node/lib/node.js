'use strict';

const { EventEmitter } = require('node:events');
const util = require('node:util');
const { NativeNode } = require('./binding');
const { Chained } = require('./chained');
const { attempt, codeAndText, fromEvent, report, settle } = require('./errors');
const { keepAlive } = require('./keep-alive');
const { nativeOf, toJson, wrap } = require('./middleware');
const { encode, isBytes, warn } = require('./options');
const { Pump } = require('./pump');

/** The caster below a node: what it sends and hears are the envelopes of nodes. */
class NodeCaster extends Chained {
  #native;
  #loaded = false;

  constructor(native, config) {
    super();
    this.#native = native;
    Object.assign(this, config);
  }

  /** Sends a message without telling who sent it. Other nodes take it for what it says. */
  send(message, callback) {
    const finish = (error, wire) => {
      let bytes;
      let failure = error;
      try {
        if (!failure) {
          const given = isBytes(wire) ? wire : toJson(wire);
          bytes = attempt(() => this.#native.sendBare(given));
        }
      } catch (thrown) {
        failure = thrown;
      }
      if (failure) {
        settle(this, callback, failure);
      } else {
        settle(this, callback, null, bytes);
      }
    };
    const chain = this._chainHere();
    if (chain) {
      chain.runTx(message, finish);
    } else {
      finish(null, message);
    }
  }

  /** A node binds and closes its caster itself. */
  bind(callback) {
    settle(this, callback, new Error('the caster of a node is bound by node.up()'));
  }

  close(callback) {
    settle(this, callback, new Error('the caster of a node is closed by node.down()'));
  }

  _load() {
    if (!this.#loaded) {
      this.#loaded = true;
      this._preload(this.#native.stages().map(wrap));
    }
  }

  _runNatively(list) {
    // The core has its own stages in the chain; anything more is the program's.
    return list.length === this.#native.stages().length && list.every(nativeOf);
  }

  _runInJavaScript() {
    this.#native.runInJavascript();
  }

  _watch() {
    const heard = (event) => this.listenerCount(event) > 0;
    // A chain that runs here tells about its rejects itself.
    this.#native?.watchRejects(!this._chainHere() && heard('error'));
    this.#native?.watchDatagrams(heard('message'));
  }
}

/** Shows the time and not the accessor. */
const inspected = {
  enumerable: false,
  value(depth, options, inspect = util.inspect) {
    return inspect({ ...this }, options);
  },
};

/** The record of a node. `lastSeen` is asked of the core when it is read. */
function makeRecord(native, { id, address, firstSeen, lastSeen, meta }) {
  let known = lastSeen;
  const record = { id, address, firstSeen, lastSeen, meta };
  Object.defineProperty(record, util.inspect.custom, inspected);
  return Object.defineProperty(record, 'lastSeen', {
    enumerable: true,
    configurable: true,
    get: () => (known = native.lastSeen(id) ?? known),
    set: (value) => freeze(record, value),
  });
}

/** From now on the record shows this time. */
function freeze(record, lastSeen) {
  Object.defineProperty(record, 'lastSeen', {
    enumerable: true,
    configurable: true,
    writable: true,
    value: lastSeen,
  });
}

/** A node: says that it is there, knows who else is, and talks with them. */
class Node extends EventEmitter {
  #native;
  #pump;
  #config;
  #meta;
  #alive = null;
  #sendFailing = false;

  constructor(options) {
    super();
    this.#native = attempt(() => new NativeNode(encode(options ?? {})));
    warn(this.#native.warnings);
    const { caster, ...config } = JSON.parse(this.#native.config);
    this.#config = config;
    this.#meta = options?.meta || null;
    this.#pump = new Pump(this.#native, (event) => this.#handle(event));
    this.nodes = Object.create(null);
    this.caster = new NodeCaster(this.#native, caster);
  }

  get id() {
    return this.#config.id;
  }

  get expose() {
    return this.#config.expose;
  }

  get heartbeat() {
    return this.#config.heartbeat;
  }

  get timeout() {
    return this.#config.timeout;
  }

  get multicast() {
    return this.caster.multicast;
  }

  get port() {
    return this.caster.port;
  }

  get meta() {
    return this.#meta;
  }

  /** Others hear of it at once. A change inside the object is not noticed: assign it again. */
  set meta(meta) {
    const json = JSON.stringify(meta) ?? 'null';
    attempt(() => this.#native.setMeta(json));
    this.#meta = meta ?? null;
  }

  /** Starts the node. */
  up(callback) {
    let failure = null;
    try {
      attempt(() => this.#native.up(() => this.#pump.drain()));
      this.#alive = keepAlive();
      this.#sendFailing = false;
      Object.keys(this.nodes).forEach((id) => delete this.nodes[id]);
    } catch (error) {
      failure = error;
    }
    settle(this, callback, failure);
  }

  /** Says goodbye and stops the node. It can go up again. */
  down(callback) {
    if (!this.#alive) {
      settle(this, callback, new Error('Node is not up'));
      return;
    }
    const alive = this.#alive;
    this.#alive = null; // nothing more is heard
    const leave = (error) => {
      let failure = error ?? null;
      try {
        attempt(() => this.#native.down());
      } catch (thrown) {
        failure ??= thrown;
      }
      this.#pump.clear();
      Object.values(this.nodes).forEach((record) => freeze(record, record.lastSeen));
      alive.end();
      settle(this, callback, failure);
    };
    if (!this.caster._chainHere()) {
      leave();
      return;
    }
    try {
      this.#sendOwn();
      const goodbye = attempt(() => this.#native.sayGoodbye());
      this.#walkOut(goodbye, JSON.parse(goodbye.json), leave);
    } catch (error) {
      leave(error);
    }
  }

  /** Sends a message to all other nodes. */
  send(message, callback) {
    const finish = (error, bytes) => {
      if (error) {
        settle(this, callback, error);
      } else {
        settle(this, callback, null, bytes);
      }
    };
    try {
      const json = JSON.stringify(message);
      const sent = attempt(() => this.#native.send(json));
      if (typeof sent === 'number') {
        finish(null, sent);
        return;
      }
      this.#sendOwn(); // a first heartbeat comes before the first message
      this.#walkOut(sent, JSON.parse(sent.json), finish);
    } catch (error) {
      finish(error);
    }
  }

  /** The counters. */
  stats() {
    return JSON.parse(this.#native.stats());
  }

  /** Runs the chain on a message of the core and sends what comes out. */
  #walkOut(transit, message, done) {
    this.caster._chainHere().runTx(message, (error, wire) => {
      let bytes;
      let failure = error;
      try {
        if (!failure) {
          const given = isBytes(wire) ? wire : toJson(wire);
          bytes = attempt(() => this.#native.resume(transit, given));
        }
      } catch (thrown) {
        failure = thrown;
      }
      done(failure, bytes);
    });
  }

  /** Sends what the core wants to send and what waits for the chain. */
  #sendOwn() {
    const outgoing = (event) => event.type === 'stage' && !event.remote;
    this.#pump.extract(outgoing).forEach((event) => this.#beat(event));
  }

  #beat({ transit, message }) {
    const session = this.#alive;
    this.#walkOut(transit, message, (error) => {
      if (session !== this.#alive) {
        return;
      }
      // Once until it works again, like the core.
      if (error && !this.#sendFailing) {
        report(this.caster.listenerCount('error') > 0 ? this.caster : this, error);
      }
      this.#sendFailing = Boolean(error);
    });
  }

  #receive({ transit, message, remote }) {
    const native = this.#native;
    const session = this.#alive;
    this.caster._chainHere().runRx(message, remote, (error, result) => {
      let failure = error;
      let given;
      try {
        given = failure ? null : isBytes(result) ? result : toJson(result);
      } catch (thrown) {
        failure = thrown;
      }
      if (session !== this.#alive) {
        return; // it went down in the meantime
      }
      if (failure) {
        native.reject(transit, ...codeAndText(failure));
        this.#rejected(failure);
      } else {
        native.resume(transit, given);
      }
    });
  }

  #handle(event) {
    if (!this.#alive) {
      return;
    }
    switch (event.type) {
      case 'up':
        this.nodes[event.node.id] = makeRecord(this.#native, event.node);
        this.emit('up', this.nodes[event.node.id]);
        break;
      case 'update': {
        const record = this.#record(event.node);
        record.address = event.node.address;
        record.meta = event.node.meta;
        this.emit('update', record, event.changed);
        break;
      }
      case 'down': {
        const record = this.#record(event.node);
        delete this.nodes[event.node.id];
        freeze(record, event.node.lastSeen);
        this.emit('down', record, event.reason);
        break;
      }
      case 'message':
        if (event.node) {
          this.emit('message', event.message, this.#record(event.node));
        } else {
          this.caster.emit('message', event.message, event.remote);
        }
        break;
      case 'stage':
        if (event.remote) {
          this.#receive(event);
        } else {
          this.#beat(event);
        }
        break;
      case 'reject':
        this.#rejected(fromEvent(event.error));
        break;
      case 'error':
        report(this, fromEvent(event.error));
        break;
    }
  }

  /** The record of a node; one that is no longer in the table gets a record of its own. */
  #record(node) {
    return this.nodes[node.id] ?? makeRecord(this.#native, node);
  }

  /** What comes from the network must not end the process: only those who listen hear of it. */
  #rejected(error) {
    if (this.caster.listenerCount('error') > 0) {
      this.caster.emit('error', error);
    }
  }
}

module.exports = { Node };
