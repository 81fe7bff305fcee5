'use strict';

const { version } = require('./binding');
const { Caster } = require('./caster');
const { Node } = require('./node');
const { json, hash, crypto } = require('./middleware');

module.exports = {
  create: (options) => new Caster(options),
  createNode: (options) => new Node(options),
  Caster,
  Node,
  middleware: { json, hash, crypto },
  version: version(),
};
