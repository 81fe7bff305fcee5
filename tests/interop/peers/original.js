// The peer program of the original npm package, caster 0.1.1.
//
//   CASTER_ORIGINAL=PATH node original.js OPTIONS_JSON
//
// Plain ES5 for Node.js 0.8 and later.  As an ordinary program of 2012 would,
// it does not listen to the errors of `node.caster`, and dies of them.
'use strict';

var caster = require(process.env.CASTER_ORIGINAL);
var node = caster.createNode(JSON.parse(process.argv[2]));
var isUp = false;

function emit(event) {
  var now = process.hrtime();
  event.t = now[0] * 1e9 + now[1];
  var line = JSON.stringify(event).replace(/[\u007f-\uffff]/g, function(unit) {
    return '\\u' + ('0000' + unit.charCodeAt(0).toString(16)).slice(-4);
  });
  process.stdout.write(line + '\n');
}

function orNull(value) {
  return value === undefined ? null : value;
}

function describe(remote) {
  return {id: remote.id, address: remote.address, meta: orNull(remote.meta)};
}

function fail(err) {
  emit({ev: 'error', text: String(err.message || err)});
}

node.on('up', function(remote) {
  var event = describe(remote);
  event.ev = 'up';
  emit(event);
});

node.on('down', function(remote) {
  emit({ev: 'down', id: remote.id});
});

node.on('message', function(message, remote) {
  emit({ev: 'message', id: remote ? remote.id : null, message: message});
});

node.on('error', fail);

function up() {
  node.up(function(err) {
    if (err) {
      fail(err);
    } else {
      isUp = true;
      emit({ev: 'ready'});
    }
  });
}

function down(callback) {
  isUp = false;
  node.down(function(err) {
    if (err) {
      fail(err);
    } else {
      emit({ev: 'gone'});
    }
    if (callback) {
      callback();
    }
  });
}

function send(message) {
  node.send(message, function(err, bytes) {
    if (err) {
      fail(err);
    } else {
      emit({ev: 'sent', bytes: bytes});
    }
  });
}

function execute(line) {
  var space = line.indexOf(' ');
  var command = space < 0 ? line : line.slice(0, space);

  if (command === 'send') {
    send(JSON.parse(line.slice(space + 1)));
  } else if (command === 'up') {
    up();
  } else if (command === 'down') {
    down();
  } else if (command === 'nodes') {
    emit({ev: 'nodes', nodes: Object.keys(node.nodes).map(function(key) {
      return describe(node.nodes[key]);
    })});
  } else if (command === 'quit') {
    process.exit(0);
  } else if (command) {
    emit({ev: 'error', text: 'unknown command: ' + line});
  }
}

var pending = '';

process.stdin.setEncoding('utf8');
process.stdin.on('data', function(chunk) {
  var lines = (pending + chunk).split('\n');
  pending = lines.pop();
  lines.forEach(execute);
});
process.stdin.on('end', function() {
  if (isUp) {
    down(function() {
      process.exit(0);
    });
  } else {
    process.exit(0);
  }
});
process.stdin.resume();

up();
