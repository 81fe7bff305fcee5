import * as caster from './index.js';

export * from './index.js';
export default caster;
