// The peer program of the npm package; README.md has its protocol.
//
//   node peer.js OPTIONS_JSON
'use strict';

const readline = require('node:readline');
const v8 = require('node:v8');
const vm = require('node:vm');
const caster = require('../../../bindings/node');

const keys = process.env.CASTER_KEYS?.split(' ');
const identity = process.env.CASTER_IDENTITY;
const trust = process.env.CASTER_TRUST?.split(' ');
const node = caster.createNode({ self: false, keys, identity, trust, ...JSON.parse(process.argv[2]) });
let isUp = false;

/** Nanoseconds by a clock that all processes of this machine share. */
const monotonic = () => Number(process.hrtime.bigint());

function emit(ev, fields) {
  const line = JSON.stringify({ ev, t: monotonic(), ...fields });
  process.stdout.write(`${line.replace(/[\u007f-\uffff]/g, escape)}\n`);
}

function escape(unit) {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function describe({ id, address, meta = null }) {
  return { id, address, meta };
}

function fail(error) {
  emit('error', { text: error.message });
}

node.on('up', (remote) => emit('up', describe(remote)));
node.on('update', (remote) => emit('update', describe(remote)));
node.on('down', ({ id }, reason) => emit('down', { id, reason }));
node.on('message', (message, { id }, { signed = false } = {}) => emit('message', { id, message, signed }));
node.on('error', fail);
node.on('isolated', () => emit('isolated'));
node.on('rejoined', () => emit('rejoined'));
node.on('hint', ({ message }) => emit('hint', { text: message }));

function up() {
  const began = monotonic();
  node.up((error) => {
    if (error) {
      fail(error);
    } else {
      isUp = true;
      emit('ready', { began });
    }
  });
}

function down(then) {
  const began = monotonic();
  isUp = false;
  node.down((error) => {
    if (error) {
      fail(error);
    } else {
      emit('gone', { began });
    }
    then?.();
  });
}

/** Nothing keeps the program running but the collector, which comes ten times. */
function unref() {
  node.unref();
  input.removeAllListeners('close');
  input.close();
  process.stdin.destroy();
  v8.setFlagsFromString('--expose-gc');
  const collect = vm.runInNewContext('gc');
  let times = 0;
  const timer = setInterval(() => {
    collect();
    times += 1;
    if (times === 10) {
      clearInterval(timer);
      emit('unreferenced');
    }
  }, 100);
}

function execute(line) {
  const space = line.indexOf(' ');
  const command = space < 0 ? line : line.slice(0, space);
  switch (command) {
    case 'send':
      node.send(JSON.parse(line.slice(space + 1)), (error, bytes) => {
        if (error) {
          fail(error);
        } else {
          emit('sent', { bytes });
        }
      });
      break;
    case 'up':
      up();
      break;
    case 'down':
      down();
      break;
    case 'nodes':
      emit('nodes', { nodes: Object.values(node.nodes).map(describe) });
      break;
    case 'stats':
      emit('stats', { stats: node.stats() });
      break;
    case 'add_key':
      node.addKey(line.slice(space + 1));
      emit('keys', { ids: node.keyIds });
      break;
    case 'use_key':
      node.useKey(line.slice(space + 1));
      emit('keys', { ids: node.keyIds });
      break;
    case 'remove_key':
      node.removeKey(line.slice(space + 1));
      emit('keys', { ids: node.keyIds });
      break;
    case 'identity':
      emit('identity', { key: node.identityOf(line.slice(space + 1)) });
      break;
    case 'unref':
      unref();
      break;
    case 'drop':
    case 'quit':
      process.exit(0);
      break;
    case '':
      break;
    default:
      emit('error', { text: `unknown command: ${line}` });
  }
}

const input = readline.createInterface({ input: process.stdin });
input.on('line', (line) => {
  try {
    execute(line);
  } catch (error) {
    fail(error);
  }
});
input.on('close', () => {
  if (isUp) {
    down(() => process.exit(0));
  } else {
    process.exit(0);
  }
});

up();
