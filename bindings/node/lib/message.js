// Messages on their way to the core: bytes, or the JSON text of a value.
'use strict';

const isBytes = (value) => value instanceof Uint8Array;

/** The place of a BigInt in a value, as in `.load[2]`, or undefined. The value has no cycle. */
function placeOfBigInt(value, place = '') {
  if (typeof value === 'bigint') {
    return place;
  }
  const isParent = value !== null && typeof value === 'object' && typeof value.toJSON !== 'function';
  for (const [key, part] of isParent ? Object.entries(value) : []) {
    const found = placeOfBigInt(part, Array.isArray(value) ? `${place}[${key}]` : `${place}.${key}`);
    if (found !== undefined) {
      return found;
    }
  }
  return undefined;
}

/** As JSON.stringify; the error about a BigInt says where it is, and what to give instead. */
function stringify(value, what) {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof TypeError) || !/BigInt/.test(error.message)) {
      throw error;
    }
    const place = placeOfBigInt(value) ?? '';
    throw new TypeError(`${what}${place} is a BigInt, which JSON cannot hold; give Number() or String() of it`);
  }
}

/** The JSON text of a value. Throws a TypeError if JSON has none. */
function toJson(value) {
  const json = stringify(value, 'message');
  if (json === undefined) {
    throw new TypeError(`a message has to be a value that JSON can hold, not ${typeof value}`);
  }
  return json;
}

/** The form that the native half accepts: bytes as they are, any other value as JSON text. */
const toNative = (message) => (isBytes(message) ? message : toJson(message));

module.exports = { isBytes, stringify, toJson, toNative };
