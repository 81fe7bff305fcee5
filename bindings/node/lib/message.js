// Messages on their way to the core: bytes, or the JSON text of a value.
'use strict';

const isBytes = (value) => value instanceof Uint8Array;

/** Whether JSON has no form for a value, so that it is left out. */
const isUnfit = (value) => typeof value === 'function' || typeof value === 'symbol';

/** Objects of which JSON would show nothing but `{}`, and the value to give instead. */
const INSTEAD = [
  [Map, 'Object.fromEntries() of it'],
  [Set, 'an array of it'],
  [Promise, 'what it resolves to: await it'],
  [Error, 'its message'],
];

const insteadOf = (value) =>
  value !== null && typeof value === 'object' && typeof value.toJSON !== 'function' && Object.keys(value).length === 0
    ? INSTEAD.find(([type]) => value instanceof type)
    : undefined;

/**
 * The first part of a value that is refused, with its place, as in `.load[2]`, or undefined. The value has no
 * cycle.
 */
function refusedIn(isRefused, value, place = '') {
  if (isRefused(value)) {
    return { part: value, place };
  }
  const isParent = value !== null && typeof value === 'object' && typeof value.toJSON !== 'function';
  for (const [key, part] of isParent ? Object.entries(value) : []) {
    const found = refusedIn(isRefused, part, Array.isArray(value) ? `${place}[${key}]` : `${place}.${key}`);
    if (found !== undefined) {
      return found;
    }
  }
  return undefined;
}

const isBigInt = (value) => typeof value === 'bigint';
const isNotFinite = (value) => typeof value === 'number' && !Number.isFinite(value);

/**
 * As JSON.stringify. The error about a BigInt says where it is, and what to give instead. So do those about what
 * JSON.stringify leaves out or writes as `null` or `{}`; `lenient` leaves it at that, as caster 0.1.1 does.
 */
function stringify(value, what, lenient = false) {
  let json;
  try {
    json = JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof TypeError) || !/BigInt/.test(error.message)) {
      throw error;
    }
    const place = refusedIn(isBigInt, value)?.place ?? '';
    throw new TypeError(`${what}${place} is a BigInt, which JSON cannot hold; give Number() or String() of it`);
  }
  if (!lenient) {
    checkContent(value, what, json);
  }
  return json;
}

/** Refuses what JSON.stringify leaves out in silence. */
function checkContent(value, what, json) {
  if (json === undefined && isUnfit(value)) {
    throw new TypeError(`${what} is a ${typeof value}, which JSON cannot hold`);
  }
  const number = json?.includes('null') ? refusedIn(isNotFinite, value) : undefined;
  if (number) {
    const text = `${what}${number.place} is NaN or infinite, which JSON cannot hold; give a finite number or null`;
    throw Object.assign(new TypeError(text), { code: 'INVALID_ARGUMENT' });
  }
  const empty = json?.includes('{}') ? refusedIn(insteadOf, value) : undefined;
  if (empty) {
    const [type, instead] = insteadOf(empty.part);
    throw new TypeError(`${what}${empty.place} is of type ${type.name}, which JSON cannot hold; give ${instead}`);
  }
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

module.exports = { isBytes, isUnfit, stringify, toJson, toNative };
