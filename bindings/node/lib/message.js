// Messages on their way to the core: bytes, or the JSON text of a value.
'use strict';

const isBytes = (value) => value instanceof Uint8Array;

/** The JSON text of a value. Throws a TypeError if JSON has none. */
function toJson(value) {
  const json = JSON.stringify(value);
  if (json === undefined) {
    throw new TypeError(`a message has to be a value that JSON can hold, not ${typeof value}`);
  }
  return json;
}

/** The form that the native half accepts: bytes as they are, any other value as JSON text. */
const toNative = (message) => (isBytes(message) ? message : toJson(message));

module.exports = { isBytes, toJson, toNative };
