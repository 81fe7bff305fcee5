// Errors of the core as errors of Node.js.
'use strict';

const os = require('node:os');
const util = require('node:util');

/** Gives an error the `code`, `errno` and `syscall` that Node.js would have given it. */
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

/** Calls a native function. */
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

/** What the core is told about an error of a program's middleware, which may be anything. */
function codeAndText(error) {
  const { code, message } = Object(error);
  return [typeof code === 'string' ? code : null, String(message ?? error)];
}

/** Something that the operator can mend. It never ends the process. */
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
