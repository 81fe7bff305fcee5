import caster from './lib/index.js';

export const { create, createNode, generateIdentity, generateKey, publicKey, Caster, Node, leaveOnSignals, middleware, version } = caster;
export default caster;
