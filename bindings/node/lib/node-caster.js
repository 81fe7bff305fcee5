// `node.caster`.
'use strict';

const { Chained } = require('./chained');
const { nativesOf, wrap } = require('./middleware');
const { perform } = require('./outcome');

/** The caster below a node. Its messages are the envelopes of nodes. */
class NodeCaster extends Chained {
  #native;
  #loaded = false;

  constructor(native, config) {
    super();
    this.#native = native;
    Object.assign(this, config);
  }

  /** Sends a message without the envelope of the node. Receivers take it as an envelope. */
  send(message, callback) {
    return perform(this, callback, (done) => {
      this._send(message, (wire) => this.#native.sendBare(wire), done);
    });
  }

  /** Fails: `node.up()` opens the socket. */
  bind(callback) {
    return perform(this, callback, (done) => {
      done(new Error('the caster of a node is bound by node.up()'));
    });
  }

  /** Fails: `node.down()` closes the socket. */
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
    // The core has its own stages in the chain; any other stage is the program's.
    return list.length === this.#native.stages().length && nativesOf(list) !== null;
  }

  _runInJavaScript() {
    this.#native.runInJavascript();
  }

  _watch() {
    const heard = (event) => this.listenerCount(event) > 0;
    // A chain that JavaScript runs reports its rejects itself.
    this.#native?.watchRejects(!this._chainHere() && heard('error'));
    this.#native?.watchDatagrams(heard('message'));
  }
}

module.exports = { NodeCaster };
