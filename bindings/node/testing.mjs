import testing from './lib/testing.js';

export const { VirtualNetwork } = testing;
export default testing;
