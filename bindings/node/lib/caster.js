'use strict';

const { NativeCaster } = require('./binding');
const { Chained, nativesOf } = require('./chained');
const { attempt, codeAndText, fromEvent, report, settle } = require('./errors');
const { toJson } = require('./middleware');
const { encode, isBytes, warn } = require('./options');
const { Pump } = require('./pump');
const { keepAlive } = require('./keep-alive');

/** A multicast server with middleware. */
class Caster extends Chained {
  #options;
  #native;
  #pump;
  #made; // the options in force, as the fields showed them when the native half was made
  #stages = null;
  #alive = null;

  constructor(options) {
    super();
    this.#options = JSON.parse(encode(options ?? {}));
    this.#make();
  }

  #make() {
    this.#native = attempt(() => new NativeCaster(JSON.stringify(this.#options)));
    warn(this.#native.warnings);
    this.#pump = new Pump(this.#native, (event) => this.#handle(event));
    this.#made = JSON.parse(this.#native.config);
    Object.assign(this, this.#made);
    this.#applyStages();
    this._watch();
  }

  /** Opens the socket. */
  bind(callback) {
    let failure = null;
    try {
      this.#takeFields();
      attempt(() => this.#native.open(() => this.#pump.drain()));
      this.#alive = keepAlive();
    } catch (error) {
      failure = error;
    }
    settle(this, callback, failure);
  }

  /** A field that the program has assigned since is an option. */
  #takeFields() {
    const names = Object.keys(this.#made);
    if (!this.#alive && names.some((name) => this[name] !== this.#made[name])) {
      for (const name of names) {
        this.#options[name] = this[name];
      }
      this.#make();
    }
  }

  /** Sends a message: a Buffer, or whatever the middleware makes one of. */
  send(message, callback) {
    const finish = (error, wire) => {
      let bytes;
      let failure = error;
      try {
        if (!failure) {
          const given = isBytes(wire) ? wire : toJson(wire);
          bytes = attempt(() => this.#native.send(given));
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

  /** Closes the socket. It can be bound again. */
  close(callback) {
    if (this.#alive) {
      this.#alive.end();
      this.#alive = null;
      this.#pump.clear();
      this.#native.close();
    }
    if (typeof callback === 'function') {
      process.nextTick(callback);
    }
  }

  /** The counters. */
  stats() {
    return JSON.parse(this.#native.stats());
  }

  #handle(event) {
    if (!this.#alive) {
      return;
    }
    switch (event.type) {
      case 'message':
        this.emit('message', event.message, event.remote);
        break;
      case 'stage':
        this.#receive(event);
        break;
      case 'reject':
        this.#rejected(fromEvent(event.error));
        break;
      case 'error':
        report(this, fromEvent(event.error));
        break;
    }
  }

  #receive({ transit, message, remote }) {
    const native = this.#native;
    const session = this.#alive;
    this._chainHere().runRx(message, remote, (error, result) => {
      if (error) {
        native.reject(transit, ...codeAndText(error));
      } else {
        native.accept(transit);
      }
      if (session !== this.#alive) {
        return; // closed in the meantime
      }
      if (error) {
        this.#rejected(error);
      } else {
        this.emit('message', result, remote);
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
