import caster from './lib/index.js';

export const { create, createNode, Caster, Node, leaveOnSignals, middleware, version } = caster;
export default caster;
