// Options on their way to the core, which validates them.
'use strict';

const { isBytes, isUnfit, stringify } = require('./message');

/** A key given as bytes becomes text with the same code units. */
const keyText = (value) =>
  isBytes(value) || Array.isArray(value) ? Buffer.from(value).toString('latin1') : String(value);

/** A secret given as bytes is UTF-8. */
const secretText = (value) => (isBytes(value) ? Buffer.from(value).toString() : String(value));

/** Text options that caster 0.1.1 also accepts in other types. */
const TEXTS = {
  hashSecret: secretText,
  hash_secret: secretText,
  secret: secretText,
  cryptoKey: keyText,
  crypto_key: keyText,
  key: keyText,
};

/** Whether a value can stand for a text: anything but an object that is neither bytes nor an array. */
const isLikeText = (value) =>
  !isUnfit(value) && (typeof value !== 'object' || isBytes(value) || Array.isArray(value));

/** NaN, infinity and functions by name, so that the core says which values the option has. */
function named(name, value) {
  if (name === 'meta' || name === 'id') {
    return value;
  }
  if (isUnfit(value)) {
    return { [typeof value]: '' };
  }
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}

/** The program's object as JSON text, inherited properties included. */
function encode(options = {}) {
  if (options !== null && typeof options !== 'object') {
    throw new TypeError(`options have to be an object, not ${typeof options}`);
  }
  if (options !== null && typeof options[Symbol.iterator] === 'function') {
    throw new TypeError(`options have to be an object of names and values, not ${options.constructor.name}`);
  }
  const given = Object.create(null);
  for (const name in options) {
    if (['keys', 'identity', 'trust'].includes(name)) {
      continue; // not as JSON: see keys
    }
    const value = options[name];
    const text = value && typeof value !== 'string' && isLikeText(value) && TEXTS[name];
    given[name] = text ? text(value) : named(name, value);
    if (isUnfit(given[name])) {
      stringify(given[name], `options.${name}`); // throws
    }
  }
  return stringify(given, 'options', options.compat === '0.1.1');
}

/** A key of secure mode, bytes or text, for the core. */
function key(value) {
  if (typeof value === 'string') {
    return value;
  }
  if (isBytes(value)) {
    return Buffer.from(value);
  }
  throw new TypeError(`a key is a Uint8Array or a string, not ${value === null ? 'null' : typeof value}`);
}

/** The keys of secure mode, or those of the option `trust`; undefined without the option. */
function keys(options, name = 'keys') {
  const given = options?.[name] ?? undefined;
  if (given === undefined) {
    return undefined;
  }
  if (!Array.isArray(given)) {
    throw new TypeError(`the option ${name} is an array of keys`);
  }
  return given.map(key);
}

/** The seed of the identity of a node; undefined without the option. */
function identity(options) {
  const given = options?.identity ?? undefined;
  return given === undefined ? undefined : key(given);
}

module.exports = { encode, identity, key, keys };
