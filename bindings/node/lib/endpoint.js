// Common methods of nodes and casters: each is open or closed, and has events and counters.
'use strict';

const { codeAndText, fromEvent, report } = require('./errors');
const { EventStreams } = require('./event-streams');
const { Pump } = require('./pump');
const { warnOfEvent } = require('./warnings');

/** All nodes and casters that are open. */
const openOnes = new Set();

/**
 * Adds to a class of event emitters the methods that nodes and casters share. The class has
 * `_chained()`, the emitter of its datagrams, `_handle(event)`, for the events of its own, and
 * `_receive(event)`, for messages on which JavaScript has to run the chain.
 */
const endpoint = (Emitter) =>
  class extends Emitter {
    #native = null;
    #pump = null;
    #session = null; // another object each time it is opened
    #streams = new EventStreams();
    #referenced = true;
    #network; // a network in memory: see testing.js

    constructor(network) {
      super();
      this.#network = network;
    }

    on(name, listener) {
      warnOfEvent(name, this._eventTypes());
      return super.on(name, listener);
    }

    addListener(name, listener) {
      return this.on(name, listener);
    }

    /** Connects it to its native half. */
    _attach(native) {
      const pump = new Pump(native, (event) => this.#handle(event));
      this.#native = native;
      this.#pump = pump;
      this.#network?.join(() => pump.drain());
    }

    /**
     * Runs the code for these events before there are any, on a session that no program sees. V8 compiles a
     * function at its first call, which all in all takes longer than a peer takes to answer.
     */
    _rehearse(events) {
      this.#pump.drain(); // nothing, as it is closed
      const json = JSON.stringify(events);
      this.#session = {};
      new Pump({ drain: () => json }, (event) => this.#handle(event)).drain();
      this.#session = null;
    }

    /** Handles an event that is taken after the end of the session. */
    _handleLate() {}

    /** Called on the event loop after events have been taken or the socket has been closed. */
    _drained() {}

    /** Whether it is on a network in memory. */
    get _isVirtual() {
      return Boolean(this.#network);
    }

    get _native() {
      return this.#native;
    }

    get _pump() {
      return this.#pump;
    }

    get _streams() {
      return this.#streams;
    }

    /** An object that stands for the time from opening to closing; null while it is closed. */
    get _session() {
      return this.#session;
    }

    /** Opens the native half. */
    _open() {
      this.#native.open(() => {
        this.#pump.drain();
        this._drained();
      });
      this.#session = {};
      if (!this.#network) {
        this.#native.keepAlive(this.#referenced);
        openOnes.add(this);
      }
    }

    /** Ends the session: no event is emitted from now on. */
    _endSession() {
      this.#session = null;
    }

    /** Ends what the program waits for and lets the process end. */
    _closed() {
      openOnes.delete(this);
      this.#pump.clear();
      this.#streams.end();
    }

    #handle(event) {
      if (!this.#session) {
        this._handleLate(event);
        return;
      }
      switch (event.type) {
        case 'stage':
          this._receive(event);
          break;
        case 'reject':
          this.#rejected(fromEvent(event.error));
          break;
        case 'error':
          report(this, this.#streams, fromEvent(event.error));
          break;
        default:
          this._handle(event);
      }
    }

    /**
     * Runs the chain on an incoming message. `convert` turns the result into what `deliver` gets; an
     * exception of it rejects the message.
     */
    _runRx({ transit, message, remote }, convert, deliver) {
      const session = this.#session;
      this._chained()._chainHere().runRx(message, remote, (error, result) => {
        if (session !== this.#session) {
          return; // closed meanwhile; the core counts the message as dropped
        }
        let failure = error;
        let converted;
        try {
          converted = failure ? null : convert(result);
        } catch (thrown) {
          failure = thrown;
        }
        if (failure) {
          this.#native.reject(transit, ...codeAndText(failure));
          this.#rejected(failure);
        } else {
          deliver(transit, converted, remote);
        }
      });
    }

    /** Datagrams of others must not end the process: the error is emitted only to listeners. */
    #rejected(error) {
      const emitter = this._chained();
      if (emitter.listenerCount('error') > 0) {
        emitter.emit('error', error);
      }
    }

    /** The events from now on, as an async iterator. */
    events(options) {
      return this.#streams.add(options);
    }

    /** The first event of this name, if one is given, for which the predicate, if there is one, returns true. */
    waitFor(...given) {
      return this.#streams.waitFor(given, this.#session ? this._known() : [], this._eventTypes());
    }

    /** The names of the events that `events` and `waitFor` give. */
    _eventTypes() {
      return ['message', 'error', 'lost'];
    }

    /** Events that `waitFor` looks at first. */
    _known() {
      return [];
    }

    /** The process stays alive while it is open. This is the default. */
    ref() {
      this.#keepAlive(true);
      return this;
    }

    /** The process may end while it is open. */
    unref() {
      this.#keepAlive(false);
      return this;
    }

    #keepAlive(referenced) {
      this.#referenced = referenced;
      this.#native.keepAlive(referenced); // nothing changes while it is closed
    }

    /** The counters. */
    stats() {
      return JSON.parse(this.#native.stats());
    }
  };

module.exports = { endpoint, openOnes };
