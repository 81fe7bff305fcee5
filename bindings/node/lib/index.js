'use strict';

const { generateIdentity, generateKey, publicKey, version } = require('./binding'); // loaded first, so that a missing binary is reported here

module.exports = {
  create: (options) => new module.exports.Caster(options),
  createNode: (options) => new module.exports.Node(options),
  generateIdentity,
  generateKey,
  publicKey: (seed) => publicKey(require('./options').key(seed)),
};

/** Defines a property whose module is loaded at the first access: most programs need only some. */
function late(name, load) {
  const become = (value) => Object.defineProperty(module.exports, name, {
    value,
    configurable: true,
    enumerable: true,
    writable: true,
  });
  Object.defineProperty(module.exports, name, {
    configurable: true,
    enumerable: true,
    get: () => become(load())[name],
    set: become,
  });
}

late('Caster', () => require('./caster').Caster);
late('Node', () => require('./node').Node);
late('middleware', () => {
  const { json, hash, crypto } = require('./middleware');
  return { json, hash, crypto };
});
late('leaveOnSignals', () => require('./signals').leaveOnSignals);
module.exports.version = version();
