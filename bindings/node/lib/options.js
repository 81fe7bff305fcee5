// Options on their way to the core, which knows what they mean.
'use strict';

const isBytes = (value) => value instanceof Uint8Array;

/** A key that is bytes is text of the same code units. */
const keyText = (value) =>
  isBytes(value) || Array.isArray(value) ? Buffer.from(value).toString('latin1') : String(value);

/** What holds text may be given as something else, as in caster 0.1.1. */
const TEXTS = {
  hashSecret: String,
  hash_secret: String,
  secret: String,
  cryptoKey: keyText,
  crypto_key: keyText,
  key: keyText,
};

/** The user's object as JSON text, inherited properties included. */
function encode(options = {}) {
  if (options !== null && typeof options !== 'object') {
    throw new TypeError(`options have to be an object, not ${typeof options}`);
  }
  const given = Object.create(null);
  for (const name in options) {
    const value = options[name];
    const text = value && typeof value !== 'string' && TEXTS[name];
    given[name] = text ? text(value) : value;
  }
  return JSON.stringify(given);
}

module.exports = { encode, isBytes };
