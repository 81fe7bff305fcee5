// The npm package caster in the benchmarks, the original 0.1.1 or Caster: they have the same API.
// Plain ES5 for Node.js 0.10 and newer.
//
//   CASTER=FOLDER_OF_THE_PACKAGE node peer.js ROLE name=value ...
'use strict';

var caster = require(process.env.CASTER || 'caster');

var role = process.argv[2];
var args = {};
process.argv.slice(3).forEach(function(arg) {
  var at = arg.indexOf('=');
  args[arg.slice(0, at)] = arg.slice(at + 1);
});
var stack = args.stack || 'hash';
var port = +(args.port || 10101);
var size = +(args.size || 64);
var HEAD = '{"id":"bench","message":"';

function now() {
  var time = process.hrtime();
  return time[0] * 1e9 + time[1];
}

// CPU time of the whole process in microseconds. Node.js 0.10 cannot say; the system can, to 10 ms.
function cpu() {
  if (process.cpuUsage) {
    var usage = process.cpuUsage();
    return usage.user + usage.system;
  }
  var total = 0;
  var tasks = require('fs').readdirSync('/proc/self/task');
  tasks.forEach(function(task) {
    var stat = require('fs').readFileSync('/proc/self/task/' + task + '/schedstat', 'utf8');
    total += parseInt(stat, 10) / 1e3;
  });
  return Math.round(total);
}

function privateKb() {
  var text = require('fs').readFileSync('/proc/self/smaps_rollup', 'utf8');
  return text.split('\n').reduce(function(sum, line) {
    var match = /^Private_Dirty:\s+(\d+)/.exec(line);
    return match ? sum + +match[1] : sum;
  }, 0);
}

function tell(line) {
  process.stdout.write(JSON.stringify(line) + '\n');
}

var tally = {messages: 0, ups: 0, downs: 0, rejected: 0, first: 0, last: 0};
var before = 0;

var rejected = function() {
  return tally.rejected;
};

function report(event) {
  tell({
    ev: event, messages: tally.messages, ups: tally.ups, downs: tally.downs, rejected: rejected(),
    first: tally.first, last: tally.last, cpu_us: cpu() - before, private_kb: privateKb()
  });
}

function serve(answer) {
  before = cpu();
  process.stdin.on('data', function() {
    answer('report');
  });
  process.stdin.on('end', function() {
    answer('done');
    process.exit(0);
  });
  process.stdin.resume();
  tell({ev: 'ready'});
}

function options() {
  var all = JSON.parse(args.options || '{}');
  all.port = port;
  // The limits that protect a program from strangers; caster 0.1.1 has none and ignores these.
  all.maxNodes = all.maxNewNodes = 1000000;
  all.maxDatagrams = 1000000000;
  if (role === 'send' && !args.loopback) {
    all.loopback = false;
  }
  return all;
}

function makeCaster() {
  var all = options();
  delete all.maxNodes;
  delete all.maxNewNodes;
  var it = caster.create(all);
  if (stack !== 'raw') {
    it.use(caster.middleware.json(), caster.middleware.hash());
  }
  if (stack === 'crypto') {
    it.use(caster.middleware.crypto());
  }
  // The original tells of each datagram that it turns away; Caster counts them.
  it.on('error', function() {
    tally.rejected++;
  });
  if (it.stats) {
    rejected = function() {
      return it.stats().dropped.hash;
    };
  }
  return it;
}

function makeNode() {
  var all = options();
  all.crypto = stack === 'crypto';
  var it = caster.createNode(all);
  it.on('error', function() {});
  return it;
}

function bytes(text) {
  return Buffer.from && Buffer.from !== Uint8Array.from ? Buffer.from(text) : new Buffer(text);
}

// The sender and receiver of the rows of sending and of round trips: with stack=node a node, whose id is as
// long as that of the others and which puts the envelope around the message.
function makeParty() {
  var all = options();
  if (stack !== 'node') {
    return makeCaster();
  }
  all.id = (role + '     ').slice(0, 5);
  return caster.createNode(all);
}

function fill(tag, sequence) {
  var text = tag + ('0000000' + sequence).slice(-8);
  var room = size - (stack === 'raw' ? 0 : HEAD.length + 2);
  text += new Array(Math.max(0, room - text.length) + 1).join('x');
  return stack === 'raw' ? bytes(text) : stack === 'node' ? text : {id: 'bench', message: text};
}

function read(message) {
  var text = stack === 'raw' ? message.toString('ascii', 0, 9) : stack === 'node' ? message : message.message;
  return text ? {tag: text.charAt(0), sequence: parseInt(text.slice(1, 9), 10)} : {};
}

function onMessage() {
  if (tally.messages++ === 0) {
    tally.first = now();
  }
  if ((tally.messages & 15) === 0) {
    tally.last = now();
  }
}

function start(emitter, method, then) {
  emitter[method](function(err) {
    if (err) {
      throw err;
    }
    then();
  });
}

var roles = {
  receive: function() {
    var emitter = stack === 'node' ? makeNode() : makeCaster();
    emitter.on('message', onMessage);
    start(emitter, stack === 'node' ? 'up' : 'bind', function() {
      serve(report);
    });
  },

  follow: function() {
    var node = makeNode();
    node.on('up', function() {
      tally.ups++;
    });
    node.on('down', function() {
      tally.downs++;
    });
    node.on('message', onMessage);
    start(node, 'up', function() {
      serve(report);
    });
  },

  // As many sends on their way as pay.
  send: function() {
    var it = makeParty();
    start(it, stack === 'node' ? 'up' : 'bind', function() {
      var sent = 0, errors = 0, open = 0, startedAt = now(), cpuBefore = cpu();
      var end = startedAt + (+args.seconds || 1) * 1e9;
      function done(err) {
        open--;
        if (err) {
          errors++;
        } else {
          sent++;
        }
        more();
      }
      function more() {
        if (now() >= end) {
          if (open === 0) {
            tell({ev: 'done', sent: sent, errors: errors, seconds: (now() - startedAt) / 1e9, cpu_us: cpu() - cpuBefore});
            process.exit(0);
          }
          return;
        }
        while (open < 64) {
          open++;
          it.send(fill('Q', sent + open), done);
        }
      }
      more();
    });
  },

  ping: function() {
    var it = makeParty(), took = [], lost = 0, sequence = -1, startedAt, timer;
    var count = +(args.count || 2000) + 200;
    function next() {
      clearTimeout(timer);
      if (++sequence === count) {
        took.sort(function(a, b) {
          return a - b;
        });
        tell({
          ev: 'done', count: took.length, lost: lost,
          p50_us: took[Math.floor(took.length / 2)] / 1e3, p99_us: took[Math.floor(took.length * 99 / 100)] / 1e3
        });
        process.exit(0);
      }
      timer = setTimeout(function() {
        lost++;
        next();
      }, 200);
      startedAt = now();
      it.send(fill('Q', sequence), function() {});
    }
    it.on('message', function(message) {
      var heard = read(message);
      if (heard.tag === 'R' && heard.sequence === sequence) {
        if (sequence >= 200) {
          took.push(now() - startedAt);
        }
        next();
      }
    });
    start(it, stack === 'node' ? 'up' : 'bind', function() {
      tell({ev: 'ready'});
      next();
    });
  },

  pong: function() {
    var it = makeParty();
    it.on('message', function(message) {
      var heard = read(message);
      if (heard.tag === 'Q') {
        it.send(fill('R', heard.sequence), function() {});
      }
    });
    start(it, stack === 'node' ? 'up' : 'bind', function() {
      serve(report);
    });
  },

  idle: function() {
    start(makeNode(), 'up', function() {
      tell({ev: 'ready'});
    });
  },

  // The node is made by a program that runs already, and all that it tells is written later: the first timer,
  // the first tick and the first lines of a process take longer than what is measured here.
  peer: function() {
    process.nextTick(function() {});
    function later(work) {
      setTimeout(work, 20);
    }
    later(function() {
      var node = makeNode(), began = now();
      ['up', 'down'].forEach(function(event) {
        node.on(event, function(peer) {
          var told = now();
          later(function() {
            tell({ev: event, id: peer.id, t: told});
          });
        });
      });
      start(node, 'up', function() {
        later(function() {
          tell({ev: 'ready', began: began, id: node.id});
          process.stdin.on('data', function() {});
          process.stdin.on('end', function() {
            began = now();
            node.down(function() {
              tell({ev: 'gone', began: began});
              process.exit(0);
            });
          });
          process.stdin.resume();
        });
      });
    });
  }
};

roles[role]();
