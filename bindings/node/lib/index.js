'use strict';

const { version } = require('./binding'); // at once: a binary that is missing is told here

module.exports = {
  create: (options) => new module.exports.Caster(options),
  createNode: (options) => new module.exports.Node(options),
};

/** A property that is loaded when it is asked for: most programs need but a part of this. */
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
module.exports.version = version();
