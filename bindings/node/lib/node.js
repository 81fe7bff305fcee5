// `Node`.
'use strict';

const { EventEmitter } = require('node:events');
const util = require('node:util');
const { checkNames } = require('./arguments');
const { NativeNode, failNotUp } = require('./binding');
const { isObserved, observe, trace } = require('./diagnostics');
const { endpoint } = require('./endpoint');
const { attempt, report } = require('./errors');
const { stringify, toJson, toNative } = require('./message');
const { NodeCaster } = require('./node-caster');
const { encode, identity, key, keys } = require('./options');
const { perform } = require('./outcome');
const { Peers } = require('./peers');
const { warnOfHabits, warnOfHint, warnOfOptions } = require('./warnings');

/** Whether an event is an outgoing message on which JavaScript has to run the chain. */
const isOutgoing = (event) => event.type === 'stage' && !event.remote;

/** A peer that comes and goes before the first node is up. */
const REHEARSAL = ['up', 'down'].map((type) => ({
  type,
  node: { id: '', address: '', firstSeen: 0, lastSeen: 0, meta: null },
}));
let isRehearsed = false;

/** A node: announces itself, discovers its peers, and exchanges messages with them. */
class Node extends endpoint(EventEmitter) {
  #config;
  #lenient; // NaN is null, as in caster 0.1.1
  #meta;
  #peers;
  #sendFailing = false;
  #leave = null; // the callback and the outcome of a leave that goes on

  constructor(options, network) {
    super(network);
    const json = encode(options ?? {});
    const secrets = [keys(options), identity(options), keys(options, 'trust')];
    const native = attempt(() => new NativeNode(json, network?.native, ...secrets));
    this._attach(native);
    warnOfOptions(native.warnings);
    warnOfHabits(options ?? {});
    const { caster, ...config } = JSON.parse(native.config);
    this.#config = config;
    this.#lenient = options?.compat === '0.1.1';
    this.#meta = options?.meta || null;
    this.#peers = new Peers(native);
    this.nodes = this.#peers.byId;
    this.caster = new NodeCaster(native, caster);
    if (!isRehearsed && !isObserved() && this.emit === EventEmitter.prototype.emit) {
      isRehearsed = true;
      this._rehearse(REHEARSAL);
    }
  }

  get id() {
    return this.#config.id;
  }

  /** Shows what it is, and neither secrets nor the inside. */
  [util.inspect.custom](depth, options, inspect = util.inspect) {
    if (depth < 0) {
      return `[Node ${this.id}]`;
    }
    const shown = { id: this.id, up: Boolean(this._session), meta: this.meta, nodes: { ...this.nodes } };
    return `Node ${inspect(shown, options)}`;
  }

  /** The ids of the keys; the first one seals. Empty without secure mode. */
  get keyIds() {
    return this._native.keyIds;
  }

  addKey(added) {
    attempt(() => this._native.addKey(key(added)));
  }

  useKey(used) {
    attempt(() => this._native.useKey(key(used)));
  }

  removeKey(removed, options = {}) {
    checkNames('removeKey', options, ['now']);
    const { now = false } = options;
    if (typeof now !== 'boolean') {
      throw new TypeError(`now is a boolean, not ${typeof now}`);
    }
    attempt(() => this._native.removeKey(key(removed), now));
  }

  /** The id of the key that a peer sends with; `null` without secure mode, or if it is not up. */
  keyOf(id) {
    if (typeof id !== 'string') {
      throw new TypeError(`keyOf takes the id of a peer, a string, not ${typeof id}`);
    }
    return attempt(() => this._native.keyOf(id)) ?? null;
  }

  /** The identity of a peer; `null` if it has none or is not up, and if this node does not verify. */
  identityOf(id) {
    if (typeof id !== 'string') {
      throw new TypeError(`identityOf takes the id of a peer, a string, not ${typeof id}`);
    }
    return attempt(() => this._native.identityOf(id)) ?? null;
  }

  /**
   * Accepts a peer that is not up with another identity, or plain although it was sealed, the next time. Returns
   * whether there was anything to forget.
   */
  forgetSealed(id) {
    return attempt(() => this._native.forgetSealed(String(id)));
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

  /** Announces new metadata. A change inside the object has no effect until it is assigned again. */
  set meta(meta) {
    const json = stringify(meta, 'meta', this.#lenient) ?? 'null';
    attempt(() => this._native.setMeta(json));
    this.#meta = meta ?? null;
  }

  /** Does the same, with a callback or a promise. */
  setMeta(meta, callback) {
    return perform(this, callback, (done) => {
      this.meta = meta;
      done(null);
    });
  }

  /** Changes some keys of the metadata; `null` removes one. */
  updateMeta(changes, callback) {
    return perform(this, callback, (done) => {
      const json = stringify(changes, 'changes', this.#lenient) ?? 'null';
      this.#meta = JSON.parse(attempt(() => this._native.updateMeta(json)));
      done(null);
    });
  }

  /** Starts the node. */
  up(callback) {
    return perform(this, callback, (done) => {
      if (this.#leave) {
        this.#finishLeave();
      }
      attempt(() => this._open());
      trace(this, 'opened');
      this.#sendFailing = false;
      this.#peers.clear();
      done(null);
    });
  }

  /** Leaves and closes the socket. The node can be started again. */
  down(callback) {
    return perform(this, callback, (done) => {
      if (!this._session) {
        attempt(failNotUp);
      }
      this._endSession();
      const leave = { done, error: null, running: 1 };
      this.#leave = leave;
      try {
        attempt(() => this._native.leave());
      } catch (error) {
        leave.error = error;
        this.#finishLeave();
        return;
      }
      this._pump.extract(isOutgoing).forEach((event) => this.#sendLeave(event));
      this.#settleLeave(leave);
    });
  }

  /** Runs the chain on a message that the core sends while it leaves. */
  #sendLeave({ transit, message }) {
    const leave = this.#leave;
    leave.running += 1;
    this.#runTx(transit, message, (error) => {
      if (error) {
        leave.error ??= error;
        transit.discard(); // or the core waits for it
      }
      this.#settleLeave(leave);
    });
  }

  /** On a network in memory the clock stands still, so that the leave ends with the chain. */
  #settleLeave(leave) {
    leave.running -= 1;
    if (leave === this.#leave && leave.running === 0 && this._isVirtual) {
      this.#finishLeave();
    }
  }

  #finishLeave() {
    const { done, error } = this.#leave;
    this.#leave = null;
    this._native.close();
    this._closed();
    this.#peers.freeze();
    done(error);
  }

  _handleLate(event) {
    if (this.#leave && isOutgoing(event)) {
      this.#sendLeave(event);
    }
  }

  _drained() {
    if (this.#leave && !this._native.isOpen) {
      this.#finishLeave();
    }
  }

  /** For `await using`. */
  async [Symbol.asyncDispose ?? Symbol('asyncDispose')]() {
    if (this._session) {
      await this.down();
    }
  }

  /** Sends a message to all peers. */
  send(message, callback) {
    return perform(this, callback, (done) => this.#send(message, done));
  }

  #send(message, done) {
    const json = stringify(message, 'message', this.#lenient);
    const sent = attempt(() => this._native.send(json));
    if (typeof sent === 'number') {
      done(null, sent);
      return;
    }
    this.#sendSuspended(); // a first heartbeat precedes the first message
    this.#runTx(sent, JSON.parse(sent.json), done);
  }

  /** Sends many messages in this order, several times as fast as one by one. */
  sendBatch(messages, callback) {
    return perform(this, callback, (done) => {
      const ways = {
        encode: (message) => toJson(message, this.#lenient),
        together: (texts) => this._native.sendBatch(texts),
        one: (message, sent) => this.#send(message, sent),
      };
      this.caster._sendBatch(messages, ways, done);
    });
  }

  /**
   * The peers whose metadata has these keys with these values: `find({ type: 'http' })`,
   * `find('type', 'http')`. A value that is `undefined` or left out stands for any.
   */
  find(wanted, value) {
    const pairs = typeof wanted === 'string' ? { [wanted]: value } : wanted;
    if (pairs === null || typeof pairs !== 'object' || typeof pairs[Symbol.iterator] === 'function') {
      throw new TypeError('find needs an object, or a key and a value');
    }
    const values = Object.entries(pairs).map(([name, each]) => stringify(each, `find.${name}`));
    return this.#peers.select(JSON.parse(this._native.find(Object.keys(pairs), values)));
  }

  /** Leaves before the process ends; a leave that has begun is waited for. */
  _leaveAtEnd(done) {
    if (this.#leave) {
      const { done: other } = this.#leave;
      this.#leave.done = (...outcome) => { other(...outcome); done(); };
    } else {
      this.down(done);
    }
  }

  _eventTypes() {
    return [
      ...['up', 'update', 'down', 'message', 'conflict', 'isolated', 'rejoined', 'settled', 'hint'],
      ...['error', 'lost'],
    ];
  }

  _known() {
    return Object.values(this.nodes).map((node) => ({ type: 'up', node }));
  }

  _chained() {
    return this.caster;
  }

  /** Runs the chain on a message of the core and sends the result. */
  #runTx(transit, message, done) {
    this.caster._send(message, (wire) => this._native.resume(transit, wire), done);
  }

  /** Sends the messages of the core, heartbeats for example, that wait for the chain. */
  #sendSuspended() {
    this._pump.extract(isOutgoing).forEach((event) => this.#sendOwn(event));
  }

  #sendOwn({ transit, message }) {
    const session = this._session;
    this.#runTx(transit, message, (error) => {
      if (session !== this._session) {
        return;
      }
      // Reported once until sending works again, as the core does.
      if (error && !this.#sendFailing) {
        const emitter = this.caster.listenerCount('error') > 0 ? this.caster : this;
        report(emitter, this._streams, error);
      }
      this.#sendFailing = Boolean(error);
    });
  }

  _receive(event) {
    if (event.remote) {
      this._runRx(event, toNative, (transit, given) => this._native.resume(transit, given));
    } else {
      this.#sendOwn(event);
    }
  }

  _handle(event) {
    switch (event.type) {
      case 'message':
        this.#message(event);
        break;
      case 'up': {
        const node = this.#peers.add(event.node);
        this.#tell({ type: 'up', node }, node);
        break;
      }
      case 'update': {
        const node = this.#peers.update(event.node);
        const { changed } = event;
        this.#tell({ type: 'update', node, changed }, node, changed);
        break;
      }
      case 'down': {
        const node = this.#peers.remove(event.node);
        const { reason } = event;
        this.#tell({ type: 'down', node, reason }, node, reason);
        break;
      }
      case 'hint':
        if (this.listenerCount('hint') === 0) {
          warnOfHint(event.message);
        }
        this.#tell(event, event);
        break;
      default: // conflict, isolated, rejoined, and events that a later core may add
        this.#tell(event, event);
    }
  }

  #message(event) {
    if (!event.node) {
      this.caster.emit('message', event.message, event.remote);
      return;
    }
    event.node = this.#peers.find(event.node);
    const { message, node, sealed, fresh, signed } = event;
    if (sealed) {
      this.#tell(event, message, node, { sealed, fresh, signed });
    } else {
      this.#tell(event, message, node); // as 0.1.1
    }
  }

  #tell(event, ...args) {
    observe(this, event);
    this._streams.push(event);
    this.emit(event.type, ...args);
  }
}

module.exports = { Node };
