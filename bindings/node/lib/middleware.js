// The built-in middleware as objects.
'use strict';

const { checkNames } = require('./arguments');
const { NativeMiddleware } = require('./binding');
const { attempt } = require('./errors');
const { isBytes, toJson, toNative } = require('./message');
const { encode } = require('./options');
const { warnOfHabits } = require('./warnings');

/** The native half of a middleware object and the properties that the object was made with. */
const originals = new WeakMap();

/** Middleware that turns values into bytes and back. */
function overValues(native) {
  return {
    name: native.name,
    tx(message, next) {
      let wire = message;
      if (!isBytes(message)) {
        try {
          wire = native.tx(toJson(message));
        } catch (err) {
          return next(err, null);
        }
      }
      return next(null, wire);
    },
    rx(message, remote, next) {
      if (!isBytes(message)) {
        return next(null, message);
      }
      let value;
      try {
        value = native.rx(message);
      } catch (err) {
        return next(err, null);
      }
      if (typeof value !== 'string') {
        return next(null, message); // bytes that are not JSON pass unchanged
      }
      return next(null, JSON.parse(value));
    },
  };
}

/** Middleware that turns bytes into other bytes and back. */
function overBytes(native) {
  function apply(direction, message, next) {
    let result;
    try {
      result = native[direction](toNative(message));
    } catch (err) {
      return next(err, null);
    }
    return next(null, result);
  }
  return {
    name: native.name,
    tx: (message, next) => apply('tx', message, next),
    rx: (message, remote, next) => apply('rx', message, next),
  };
}

/** The middleware object of a native one. */
function wrap(native) {
  const middleware = native.name === 'json' ? overValues(native) : overBytes(native);
  originals.set(middleware, { native, ...middleware });
  return middleware;
}

const NAMES = { json: ['rawUtf8'], hash: ['secret', 'algorithm', 'era'], crypto: ['key', 'algorithm'] };

function factory(name) {
  return (options) => {
    checkNames(`middleware.${name}`, options ?? {}, NAMES[name]);
    warnOfHabits({ [name]: true, compat: null });
    const given = {};
    for (const key in options) {
      if (options[key]) {
        given[key] = options[key]; // a falsy value stands for the default
      }
    }
    return wrap(attempt(() => new NativeMiddleware(name, encode(given))));
  };
}

/** The native half of a built-in middleware that the program has not changed, else null. */
function nativeOf(middleware) {
  const original = originals.get(middleware);
  const same =
    original &&
    ['name', 'tx', 'rx'].every((property) => middleware[property] === original[property]);
  return same ? original.native : null;
}

/** The native halves of all these, or null if one has none. */
function nativesOf(list) {
  const natives = list.map(nativeOf);
  return natives.every(Boolean) ? natives : null;
}

module.exports = {
  nativesOf,
  wrap,
  json: factory('json'),
  hash: factory('hash'),
  crypto: factory('crypto'),
};
