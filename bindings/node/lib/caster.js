'use strict';

const { NativeCaster } = require('./binding');
const { Chained, encodeAll, nativesOf } = require('./chained');
const { attempt, codeAndText, fromEvent, refine, report } = require('./errors');
const { EventStreams } = require('./event-stream');
const { KeepAlive } = require('./keep-alive');
const { toJson } = require('./middleware');
const { encode, isBytes } = require('./options');
const { perform } = require('./outcome');
const { Pump } = require('./pump');
const { warnOfOptions } = require('./warnings');

/** A multicast server with middleware. */
class Caster extends Chained {
  #options;
  #native;
  #pump;
  #made; // the options in force, as the fields showed them when the native half was made
  #stages = null;
  #session = null; // an object of its own for every time that it is bound
  #streams = new EventStreams();
  #keepAlive = new KeepAlive();
  #network; // a network in memory: see testing.js

  constructor(options, network) {
    super();
    this.#network = network;
    this.#options = JSON.parse(encode(options ?? {}));
    this.#make();
  }

  #make() {
    this.#native = attempt(() => new NativeCaster(JSON.stringify(this.#options), this.#network?.native));
    warnOfOptions(this.#native.warnings);
    this.#pump = new Pump(this.#native, (event) => this.#handle(event));
    this.#network?.join(() => this.#pump.drain());
    this.#made = JSON.parse(this.#native.config);
    Object.assign(this, this.#made);
    this.#applyStages();
    this._watch();
  }

  /** Opens the socket. */
  bind(callback) {
    return perform(this, callback, (done) => {
      this.#takeFields();
      attempt(() => this.#native.open(() => this.#pump.drain()));
      this.#session = {};
      if (!this.#network) {
        this.#keepAlive.start();
      }
      done(null);
    });
  }

  /** A field that the program has assigned since is an option. */
  #takeFields() {
    const names = Object.keys(this.#made);
    if (!this.#session && names.some((name) => this[name] !== this.#made[name])) {
      for (const name of names) {
        this.#options[name] = this[name];
      }
      this.#make();
    }
  }

  /** Sends a message: a Buffer, or whatever the middleware makes one of. */
  send(message, callback) {
    if (typeof callback === 'function' && !this._chainHere()) {
      this.#sendNow(message, callback);
      return undefined;
    }
    return perform(this, callback, (done) => {
      this._send(message, (wire) => this.#native.send(wire), done);
    });
  }

  /** What `perform` would do, in fewer steps. */
  #sendNow(message, callback) {
    try {
      const bytes = this.#native.send(isBytes(message) ? message : toJson(message));
      process.nextTick(callback, null, bytes);
    } catch (error) {
      process.nextTick(callback, error instanceof Error ? refine(error) : error);
    }
  }

  /** Sends many messages, several times as fast as one by one. They go out in this order. */
  sendBatch(messages, callback) {
    return perform(this, callback, (done) => {
      const ways = {
        together: () => this.#native.sendBatch(
          encodeAll(messages, (message) => (isBytes(message) ? message : toJson(message))),
        ),
        one: (message, sent) => this._send(message, (wire) => this.#native.send(wire), sent),
      };
      this._sendBatch(messages, ways, done);
    });
  }

  /** Closes the socket. It can be bound again. */
  close(callback) {
    return perform(this, callback, (done) => {
      if (this.#session) {
        this.#session = null;
        this.#pump.clear();
        this.#streams.end();
        this.#keepAlive.stop();
        this.#native.close();
      }
      done();
    });
  }

  /** For `await using`. */
  async [Symbol.asyncDispose ?? Symbol('asyncDispose')]() {
    await this.close();
  }

  /** What happens from now on, to be iterated over. */
  events(options) {
    return this.#streams.add(options);
  }

  /** The first event on which `predicate` is true. */
  waitFor(predicate, options) {
    return this.#streams.waitFor(predicate, options);
  }

  /** While it is bound the process stays alive: the default. */
  ref() {
    this.#keepAlive.ref();
    return this;
  }

  /** The process may end although it is bound. */
  unref() {
    this.#keepAlive.unref();
    return this;
  }

  /** The counters. */
  stats() {
    return JSON.parse(this.#native.stats());
  }

  #handle(event) {
    if (!this.#session) {
      return;
    }
    switch (event.type) {
      case 'message':
        this.#tell(event.message, event.remote);
        break;
      case 'stage':
        this.#receive(event);
        break;
      case 'reject':
        this.#rejected(fromEvent(event.error));
        break;
      case 'error':
        report(this, this.#streams, fromEvent(event.error));
        break;
    }
  }

  #tell(message, remote) {
    if (this.#streams.size > 0) {
      this.#streams.push({ type: 'message', message, remote });
    }
    this.emit('message', message, remote);
  }

  #receive({ transit, message, remote }) {
    const native = this.#native;
    const session = this.#session;
    this._chainHere().runRx(message, remote, (error, result) => {
      if (error) {
        native.reject(transit, ...codeAndText(error));
      } else {
        native.accept(transit);
      }
      if (session !== this.#session) {
        return; // closed in the meantime
      }
      if (error) {
        this.#rejected(error);
      } else {
        this.#tell(result, remote);
      }
    });
  }

  /** What comes from the network must not end the process: only those who listen hear of it. */
  #rejected(error) {
    if (this.listenerCount('error') > 0) {
      this.emit('error', error);
    }
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
      this.#native.runInJavascript();
    } else if (this.#stages) {
      attempt(() => this.#native.runNatively(this.#stages));
    }
  }

  _watch() {
    // A chain that runs here tells about its rejects itself.
    this.#native?.watchRejects(!this._chainHere() && this.listenerCount('error') > 0);
  }
}

module.exports = { Caster };
