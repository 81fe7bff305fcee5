// `Caster`.
'use strict';

const { NativeCaster } = require('./binding');
const { Chained } = require('./chained');
const { endpoint } = require('./endpoint');
const { attempt, refine } = require('./errors');
const { toNative } = require('./message');
const { nativesOf } = require('./middleware');
const { encode, identity, keys } = require('./options');
const { perform } = require('./outcome');
const { warnOfOptions } = require('./warnings');

const unchanged = (message) => message;

/** A multicast socket with middleware. */
class Caster extends endpoint(Chained) {
  #options;
  #network;
  #keys;
  #made; // the options in force when the native half was made, as the fields showed them
  #stages = null;

  constructor(options, network) {
    super(network);
    this.#network = network;
    this.#options = JSON.parse(encode(options ?? {}));
    this.#keys = keys(options);
    if (identity(options) || keys(options, 'trust')) {
      throw new TypeError('the options identity and trust are those of nodes');
    }
    this.#make();
  }

  #make() {
    const options = JSON.stringify(this.#options);
    this._attach(attempt(() => new NativeCaster(options, this.#network?.native, this.#keys)));
    warnOfOptions(this._native.warnings);
    this.#made = JSON.parse(this._native.config);
    Object.assign(this, this.#made);
    this.#applyStages();
    this._watch();
  }

  /** Opens the socket. */
  bind(callback) {
    return perform(this, callback, (done) => {
      this.#takeFields();
      attempt(() => this._open());
      done(null);
    });
  }

  /** A field that the program has assigned is an option. */
  #takeFields() {
    const names = Object.keys(this.#made);
    if (!this._session && names.some((name) => this[name] !== this.#made[name])) {
      for (const name of names) {
        this.#options[name] = this[name];
      }
      this.#make();
    }
  }

  /** Sends a message: bytes, or a value that the middleware turns into bytes. */
  send(message, callback) {
    if (typeof callback === 'function' && !this._chainHere()) {
      this.#sendNow(message, callback);
      return undefined;
    }
    return perform(this, callback, (done) => this.#send(message, done));
  }

  #send(message, done) {
    this._send(message, (wire) => this._native.sendBare(wire), done);
  }

  /** Does what `perform` would do, in fewer steps. */
  #sendNow(message, callback) {
    try {
      const bytes = this._native.sendBare(toNative(message));
      process.nextTick(callback, null, bytes);
    } catch (error) {
      process.nextTick(callback, error instanceof Error ? refine(error) : error);
    }
  }

  /** Sends many messages in this order, several times as fast as one by one. */
  sendBatch(messages, callback) {
    return perform(this, callback, (done) => {
      const ways = {
        encode: toNative,
        together: (encoded) => this._native.sendBatch(encoded),
        one: (message, sent) => this.#send(message, sent),
      };
      this._sendBatch(messages, ways, done);
    });
  }

  /** Closes the socket. It can be bound again. */
  close(callback) {
    return perform(this, callback, (done) => {
      if (this._session) {
        this._endSession();
        this._closed();
        this._native.close();
      }
      done();
    });
  }

  _leaveAtEnd(done) {
    this.close(done);
  }

  /** For `await using`. */
  async [Symbol.asyncDispose ?? Symbol('asyncDispose')]() {
    await this.close();
  }

  _chained() {
    return this;
  }

  _handle({ type, message, remote }) {
    if (type === 'message') {
      this.#deliver(message, remote);
    }
  }

  _receive(event) {
    this._runRx(event, unchanged, (transit, message, remote) => {
      this._native.accept(transit);
      this.#deliver(message, remote);
    });
  }

  #deliver(message, remote) {
    if (this._streams.size > 0) {
      this._streams.push({ type: 'message', message, remote });
    }
    this.emit('message', message, remote);
  }

  _runNatively(list) {
    this.#stages = nativesOf(list);
    this.#applyStages();
    return this.#stages !== null;
  }

  _runInJavaScript() {
    this.#stages = null;
    this.#applyStages();
  }

  #applyStages() {
    if (this._chainHere()) {
      this._native.runInJavascript();
    } else if (this.#stages) {
      attempt(() => this._native.runNatively(this.#stages));
    }
  }

  _watch() {
    // A chain that JavaScript runs reports its rejects itself.
    this._native?.watchRejects(!this._chainHere() && this.listenerCount('error') > 0);
  }
}

module.exports = { Caster };
