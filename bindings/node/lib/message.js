// Messages on their way to the core: bytes, or the JSON text of a value.
'use strict';

const isBytes = (value) => value instanceof Uint8Array;

/** The place of the first part of a value that is refused, as in `.load[2]`, or undefined. The value has no cycle. */
function placeOf(isRefused, value, place = '') {
  if (isRefused(value)) {
    return place;
  }
  const isParent = value !== null && typeof value === 'object' && typeof value.toJSON !== 'function';
  for (const [key, part] of isParent ? Object.entries(value) : []) {
    const found = placeOf(isRefused, part, Array.isArray(value) ? `${place}[${key}]` : `${place}.${key}`);
    if (found !== undefined) {
      return found;
    }
  }
  return undefined;
}

const isBigInt = (value) => typeof value === 'bigint';
const isNotFinite = (value) => typeof value === 'number' && !Number.isFinite(value);

/**
 * As JSON.stringify. The error about a BigInt says where it is, and what to give instead. So does the one about
 * NaN and infinities, for which JSON.stringify writes `null`; `lenient` leaves it at that, as caster 0.1.1 does.
 */
function stringify(value, what, lenient = false) {
  let json;
  try {
    json = JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof TypeError) || !/BigInt/.test(error.message)) {
      throw error;
    }
    const place = placeOf(isBigInt, value) ?? '';
    throw new TypeError(`${what}${place} is a BigInt, which JSON cannot hold; give Number() or String() of it`);
  }
  const place = !lenient && json?.includes('null') ? placeOf(isNotFinite, value) : undefined;
  if (place !== undefined) {
    const text = `${what}${place} is NaN or infinite, which JSON cannot hold; give a finite number or null`;
    throw Object.assign(new TypeError(text), { code: 'INVALID_ARGUMENT' });
  }
  return json;
}

/** The JSON text of a value. Throws a TypeError if JSON has none. */
function toJson(value, lenient = false) {
  const json = stringify(value, 'message', lenient);
  if (json === undefined) {
    throw new TypeError(`a message has to be a value that JSON can hold, not ${typeof value}`);
  }
  return json;
}

/** The form that the native half accepts: bytes as they are, any other value as JSON text. */
const toNative = (message) => (isBytes(message) ? message : toJson(message));

module.exports = { isBytes, stringify, toJson, toNative };
