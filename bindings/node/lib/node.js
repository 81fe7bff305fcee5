'use strict';

const { EventEmitter } = require('node:events');
const util = require('node:util');
const { NativeNode } = require('./binding');
const { Chained, encodeAll } = require('./chained');
const { attempt, codeAndText, fromEvent, report } = require('./errors');
const { EventStreams } = require('./event-stream');
const { KeepAlive } = require('./keep-alive');
const { nativeOf, toJson, wrap } = require('./middleware');
const { encode, isBytes } = require('./options');
const { perform } = require('./outcome');
const { Pump } = require('./pump');
const { warnOfHabits, warnOfHint, warnOfOptions } = require('./warnings');

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
    return perform(this, callback, (done) => {
      this._send(message, (wire) => this.#native.sendBare(wire), done);
    });
  }

  /** A node binds and closes its caster itself. */
  bind(callback) {
    return perform(this, callback, (done) => {
      done(new Error('the caster of a node is bound by node.up()'));
    });
  }

  close(callback) {
    return perform(this, callback, (done) => {
      done(new Error('the caster of a node is closed by node.down()'));
    });
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

/** The record of a node. `lastSeen` and `suspect` are asked of the core when they are read. */
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
  #session = null; // an object of its own for every time that it is up
  #streams = new EventStreams();
  #keepAlive = new KeepAlive();
  #sendFailing = false;
  #records = new Map(); // the same as `nodes`, which the program may change
  #network; // a network in memory: see testing.js

  constructor(options, network) {
    super();
    this.#network = network;
    this.#native = attempt(() => new NativeNode(encode(options ?? {}), network?.native));
    warnOfOptions(this.#native.warnings);
    warnOfHabits(options ?? {});
    const { caster, ...config } = JSON.parse(this.#native.config);
    this.#config = config;
    this.#meta = options?.meta || null;
    this.#pump = new Pump(this.#native, (event) => this.#handle(event));
    network?.join(() => this.#pump.drain());
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

  /** The same with an outcome like that of other calls. */
  setMeta(meta, callback) {
    return perform(this, callback, (done) => {
      this.meta = meta;
      done(null);
    });
  }

  /** Starts the node. */
  up(callback) {
    return perform(this, callback, (done) => {
      attempt(() => this.#native.up(() => this.#pump.drain()));
      this.#session = {};
      if (!this.#network) {
        this.#keepAlive.start();
      }
      this.#sendFailing = false;
      this.#records.clear();
      Object.keys(this.nodes).forEach((id) => delete this.nodes[id]);
      done(null);
    });
  }

  /** Says goodbye and stops the node. It can go up again. */
  down(callback) {
    return perform(this, callback, (done) => {
      if (!this.#session) {
        throw Object.assign(new Error('Node is not up'), { code: 'NOT_UP' });
      }
      this.#session = null; // nothing more is heard
      const leave = (error) => this.#leave(error ?? null, done);
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
    });
  }

  #leave(error, done) {
    let failure = error;
    try {
      attempt(() => this.#native.down());
    } catch (thrown) {
      failure ??= thrown;
    }
    this.#pump.clear();
    this.#streams.end();
    this.#records.forEach((record) => freeze(record, record.lastSeen));
    this.#keepAlive.stop();
    done(failure);
  }

  /** For `await using`. */
  async [Symbol.asyncDispose ?? Symbol('asyncDispose')]() {
    if (this.#session) {
      await this.down();
    }
  }

  /** Sends a message to all other nodes. */
  send(message, callback) {
    return perform(this, callback, (done) => this.#send(message, done));
  }

  #send(message, done) {
    const json = JSON.stringify(message);
    const sent = attempt(() => this.#native.send(json));
    if (typeof sent === 'number') {
      done(null, sent);
      return;
    }
    this.#sendOwn(); // a first heartbeat comes before the first message
    this.#walkOut(sent, JSON.parse(sent.json), done);
  }

  /** Sends many messages, several times as fast as one by one. They go out in this order. */
  sendBatch(messages, callback) {
    return perform(this, callback, (done) => {
      const ways = {
        together: () => this.#native.sendBatch(encodeAll(messages, toJson)),
        one: (message, sent) => this.#send(message, sent),
      };
      this.caster._sendBatch(messages, ways, done);
    });
  }

  /**
   * The nodes that are up whose metadata has these keys with these values: `find({ type: 'http' })`,
   * `find('type', 'http')`. Where the value is `undefined` or left out, any will do.
   */
  find(wanted, value) {
    const pairs = typeof wanted === 'string' ? { [wanted]: value } : wanted;
    if (pairs === null || typeof pairs !== 'object') {
      throw new TypeError('find needs an object, or a key and a value');
    }
    const values = Object.values(pairs).map((each) => JSON.stringify(each));
    const ids = JSON.parse(this.#native.find(Object.keys(pairs), values));
    return ids.map((id) => this.#records.get(id)).filter(Boolean);
  }

  /** What happens from now on, to be iterated over. */
  events(options) {
    return this.#streams.add(options);
  }

  /** The first event on which `predicate` is true. The nodes that are there count as `up`. */
  waitFor(predicate, options) {
    const known = Object.values(this.nodes).map((node) => ({ type: 'up', node }));
    return this.#streams.waitFor(predicate, options, this.#session ? known : []);
  }

  /** While it is up the process stays alive: the default. */
  ref() {
    this.#keepAlive.ref();
    return this;
  }

  /** The process may end although it is up. */
  unref() {
    this.#keepAlive.unref();
    return this;
  }

  /** The counters. */
  stats() {
    return JSON.parse(this.#native.stats());
  }

  /** Runs the chain on a message of the core and sends what comes out. */
  #walkOut(transit, message, done) {
    this.caster._send(message, (wire) => this.#native.resume(transit, wire), done);
  }

  /** Sends what the core wants to send and what waits for the chain. */
  #sendOwn() {
    const outgoing = (event) => event.type === 'stage' && !event.remote;
    this.#pump.extract(outgoing).forEach((event) => this.#beat(event));
  }

  #beat({ transit, message }) {
    const session = this.#session;
    this.#walkOut(transit, message, (error) => {
      if (session !== this.#session) {
        return;
      }
      // Once until it works again, like the core.
      if (error && !this.#sendFailing) {
        report(this.caster.listenerCount('error') > 0 ? this.caster : this, this.#streams, error);
      }
      this.#sendFailing = Boolean(error);
    });
  }

  #receive({ transit, message, remote }) {
    const native = this.#native;
    const session = this.#session;
    this.caster._chainHere().runRx(message, remote, (error, result) => {
      let failure = error;
      let given;
      try {
        given = failure ? null : isBytes(result) ? result : toJson(result);
      } catch (thrown) {
        failure = thrown;
      }
      if (session !== this.#session) {
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
    if (!this.#session) {
      return;
    }
    switch (event.type) {
      case 'up': {
        const node = makeRecord(this.#native, event.node);
        this.#records.set(node.id, node);
        this.nodes[node.id] = node;
        this.#tell({ type: 'up', node }, node);
        break;
      }
      case 'update': {
        const node = this.#record(event.node);
        const { changed } = event;
        node.address = event.node.address;
        node.meta = event.node.meta;
        this.#tell({ type: 'update', node, changed }, node, changed);
        break;
      }
      case 'down': {
        const node = this.#record(event.node);
        const { reason } = event;
        this.#records.delete(node.id);
        delete this.nodes[node.id];
        freeze(node, event.node.lastSeen);
        this.#tell({ type: 'down', node, reason }, node, reason);
        break;
      }
      case 'message': {
        const { message, remote } = event;
        if (event.node) {
          event.node = this.#record(event.node);
          this.#streams.push(event);
          this.emit('message', message, event.node);
        } else {
          this.caster.emit('message', message, remote);
        }
        break;
      }
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
        report(this, this.#streams, fromEvent(event.error));
        break;
      case 'hint':
        if (this.listenerCount('hint') === 0) {
          warnOfHint(event.message);
        }
        this.#tell(event, event);
        break;
      default: // conflict, isolated, rejoined and what else the core comes to tell
        this.#tell(event, event);
    }
  }

  #tell(event, ...args) {
    this.#streams.push(event);
    this.emit(event.type, ...args);
  }

  /**
   * The record of a node, of which the id may be all that is given if it is in the table. One that
   * is no longer in the table gets a record of its own.
   */
  #record(node) {
    const given = typeof node === 'string' ? { id: node } : node;
    return this.#records.get(given.id) ?? makeRecord(this.#native, given);
  }

  /** What comes from the network must not end the process: only those who listen hear of it. */
  #rejected(error) {
    if (this.caster.listenerCount('error') > 0) {
      this.caster.emit('error', error);
    }
  }
}

module.exports = { Node };
