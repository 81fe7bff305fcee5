// node-discover (npm) in the benchmarks.
'use strict';

const Discover = require(process.env.NODE_DISCOVER);

const args = Object.fromEntries(process.argv.slice(3).map((arg) => arg.split('=')));
const now = () => Number(process.hrtime.bigint());
const tell = (line) => process.stdout.write(JSON.stringify(line) + '\n');

const began = now();
const discover = new Discover(
  { multicast: '224.0.0.42', port: 10101, advertisement: args.id || 'idle' },
  () => tell({ ev: 'ready', began }),
);
discover.on('added', (node) => tell({ ev: 'up', id: node.advertisement, t: now() }));
discover.on('removed', (node) => tell({ ev: 'down', id: node.advertisement, t: now() }));
if (process.argv[2] === 'peer') {
  process.stdin.on('end', () => {
    tell({ ev: 'gone', began: now() });
    discover.stop();
    process.exit(0);
  });
  process.stdin.resume();
}
