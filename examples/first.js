const caster = require('caster');

const node = caster.createNode({ meta: { type: 'printer' }, self: false });
node.on('up', (peer) => console.log(peer.id, 'is up'));
node.up();
