// Options on their way to the core, which validates them.
'use strict';

const { isBytes, stringify } = require('./message');

/** A key given as bytes becomes text with the same code units. */
const keyText = (value) =>
  isBytes(value) || Array.isArray(value) ? Buffer.from(value).toString('latin1') : String(value);

/** Text options that caster 0.1.1 also accepts in other types. */
const TEXTS = {
  hashSecret: String,
  hash_secret: String,
  secret: String,
  cryptoKey: keyText,
  crypto_key: keyText,
  key: keyText,
};

/** NaN and infinity by name, so that the core says which values the option has. */
const named = (name, value) =>
  typeof value === 'number' && !Number.isFinite(value) && name !== 'meta' && name !== 'id'
    ? String(value)
    : value;

/** The program's object as JSON text, inherited properties included. */
function encode(options = {}) {
  if (options !== null && typeof options !== 'object') {
    throw new TypeError(`options have to be an object, not ${typeof options}`);
  }
  const given = Object.create(null);
  for (const name in options) {
    if (name === 'keys') {
      continue; // not as JSON: see keys
    }
    const value = options[name];
    const text = value && typeof value !== 'string' && TEXTS[name];
    given[name] = text ? text(value) : named(name, value);
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

/** The keys of secure mode. */
function keys(options) {
  const given = options?.keys ?? [];
  if (!Array.isArray(given)) {
    throw new TypeError('the option keys is an array of keys');
  }
  return given.map(key);
}

module.exports = { encode, key, keys };
