// `leaveOnSignals`: the opt-in for programs that are ended by a signal.
'use strict';

const os = require('node:os');
const { openOnes } = require('./endpoint');

/** Time for which the process waits until all nodes have left, in milliseconds. */
const PATIENCE = 2000;

const DEFAULT = ['SIGTERM', 'SIGINT'];

/**
 * Makes all open nodes leave at the first of these signals, and ends the process by the signal after it.
 * If the program has listeners of its own for the signal, these decide whether the process ends.
 */
function leaveOnSignals(signals = DEFAULT) {
  if (typeof signals === 'string' || typeof signals?.[Symbol.iterator] !== 'function') {
    throw new TypeError(`leaveOnSignals takes an array of names, as in ['SIGTERM'], not ${String(signals)}`);
  }
  const names = [...signals];
  for (const signal of names) {
    if (!(signal in os.constants.signals)) {
      throw new TypeError(`leaveOnSignals needs names of signals, not ${signal}`);
    }
    if (signal === 'SIGKILL' || signal === 'SIGSTOP') {
      throw new TypeError(`leaveOnSignals: ${signal} cannot be handled`);
    }
  }
  for (const signal of names) {
    const leave = () => {
      process.removeListener(signal, leave);
      leaveAll().then(() => end(signal));
    };
    process.on(signal, leave);
  }
}

/** Closes all nodes and casters. An error has no addressee any more. */
function leaveAll() {
  const close = (each) => new Promise((resolve) => each._leaveAtEnd(resolve));
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE).unref());
  return Promise.race([Promise.all([...openOnes].map(close)), late]);
}

/** Ends the process as the signal would, unless the program handles it. */
function end(signal) {
  if (process.listenerCount(signal) > 0) {
    return;
  }
  const exit = () => process.exit(128 + os.constants.signals[signal]);
  if (process.pid === 1) {
    exit(); // the first process of a container is not ended by its own signal
  }
  process.kill(process.pid, signal);
  setTimeout(exit, 1000);
}

module.exports = { leaveOnSignals };
