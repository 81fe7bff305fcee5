import caster from './lib/index.js';

export const { create, createNode, generateKey, Caster, Node, leaveOnSignals, middleware, version } = caster;
export default caster;
