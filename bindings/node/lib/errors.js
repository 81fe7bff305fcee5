// Errors of the core as errors of Node.js.
'use strict';

const os = require('node:os');
const util = require('node:util');

/** Gives an error the `code`, `errno` and `syscall` of an error of Node.js. */
function refine(error) {
  if (error.errno > 0) {
    error.errno = -error.errno;
    error.code = util.getSystemErrorName(error.errno);
  } else if (error.code === 'MESSAGE_TOO_LARGE') {
    error.code = 'EMSGSIZE';
    error.errno = -os.constants.errno.EMSGSIZE;
    error.syscall = 'send';
  }
  return error;
}

/** Calls a native function and refines its error. */
function attempt(call) {
  try {
    return call();
  } catch (error) {
    throw refine(error);
  }
}

/** The error of an event. */
function fromEvent({ message, ...details }) {
  return refine(Object.assign(new Error(message), details));
}

/** Code and text, for the core, of an error of the program's middleware. It may be any value. */
function codeAndText(error) {
  const { code, message } = Object(error);
  return [typeof code === 'string' ? code : null, String(message ?? error)];
}

/** Reports an error that the operator can correct. It never ends the process. */
function report(emitter, streams, error) {
  const heard = streams.size > 0;
  streams.push({ type: 'error', error });
  if (emitter.listenerCount('error') > 0) {
    emitter.emit('error', error);
  } else if (!heard) {
    process.emitWarning(error);
  }
}

module.exports = { attempt, codeAndText, fromEvent, refine, report };
