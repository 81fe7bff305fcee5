// Arguments that are objects of a few names.
'use strict';

/** Refuses anything but an object with these names: a name with a typing error would have no effect. */
function checkNames(what, given, names) {
  if (given === null || typeof given !== 'object' || Array.isArray(given)) {
    throw new TypeError(`${what} takes an object with ${names.join(', ')}`);
  }
  const other = Object.keys(given).find((name) => !names.includes(name));
  if (other !== undefined) {
    throw new TypeError(`${what} has no option ${JSON.stringify(other)}; it has ${names.join(', ')}`);
  }
}

function checkSignal(signal) {
  if (signal !== undefined && typeof signal?.addEventListener !== 'function') {
    throw new TypeError('signal has to be an AbortSignal');
  }
}

module.exports = { checkNames, checkSignal };
