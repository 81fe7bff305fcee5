import testing from './lib/testing.js';

export const { VirtualNetwork, networkPerTest } = testing;
export default testing;
