// Datagrams through the original, caster 0.1.1, of which only the socket is replaced.
//
//     CASTER_ORIGINAL=FOLDER node original.js DATAGRAMS RESULTS
//
// DATAGRAMS has one datagram a line, in base64. RESULTS gets one JSON text a line: an array of the events that the
// datagram caused, or "dies" if it threw. Runs on Node.js 0.8 and newer.
'use strict';

var events = require('events');
var fs = require('fs');
var dgram = require('dgram');

function Socket() {
  events.EventEmitter.call(this);
}
require('util').inherits(Socket, events.EventEmitter);
Socket.prototype.bind = function() {
  this.emit('listening');
};
Socket.prototype.address = function() {
  return {port: 10101};
};
['setMulticastTTL', 'setMulticastLoopback', 'addMembership', 'dropMembership', 'send'].forEach(
    function(name) {
      Socket.prototype[name] = function() {};
    });

var socket;
dgram.createSocket = function() {
  socket = new Socket();
  return socket;
};

var caster = require(process.env.CASTER_ORIGINAL);
var decode = Buffer.from && Buffer.from !== Uint8Array.from ?
    function(text) { return Buffer.from(text, 'base64'); } :
    function(text) { return new Buffer(text, 'base64'); };

var node, told;

// A node of its own for each datagram would take a minute. The peers that it knows are forgotten instead.
function make() {
  node = caster.createNode({id: 'receiver', expose: false, heartbeat: 1000000000});
  node.on('up', function(peer) {
    told.push(['up', String(peer.id), peer.meta === undefined ? null : peer.meta]);
  });
  node.on('down', function() {
    told.push(['down']);
  });
  node.on('message', function(message) {
    told.push(['message', message]);
  });
  node.caster.on('error', function() {
    told.push(['reject']);
  });
  node.up(function() {});
  clearInterval(node._interval);
}
make();

var results = fs.openSync(process.argv[3], 'w');
var pending = '';
var lines = fs.readFileSync(process.argv[2], 'utf8').split('\n');
lines.pop(); // behind the last line feed
lines.forEach(function(line) {
  told = [];
  node.nodes = {};
  try {
    socket.emit('message', decode(line), {address: '10.0.0.2', port: 10101});
  } catch (err) {
    told = 'dies';
  }
  var text = JSON.stringify(told) + '\n';
  pending += text;
  if (pending.length > 1000000) {
    writeAll();
  }
});
writeAll();

function writeAll() {
  var buffer = decode('');
  buffer = Buffer.from && Buffer.from !== Uint8Array.from ?
      Buffer.from(pending, 'utf8') : new Buffer(pending, 'utf8');
  var at = 0;
  while (at < buffer.length) {
    at += fs.writeSync(results, buffer, at, buffer.length - at, null);
  }
  pending = '';
}
