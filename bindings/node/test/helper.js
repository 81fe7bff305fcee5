'use strict';

const { spawn } = require('node:child_process');
const path = require('node:path');
const caster = require('..');

const PACKAGE = path.join(__dirname, '..');

/**
 * A group and port for one test on the loopback interface: tests run in parallel. The ports lie
 * above the ports that nodes take for themselves (21101 to 21132) and below the system's.
 */
function lan() {
  const digit = () => 1 + Math.floor(Math.random() * 250);
  return {
    address: '127.0.0.1',
    multicast: `239.${digit()}.${digit()}.${digit()}`,
    port: 22000 + Math.floor(Math.random() * 10000),
  };
}

const DEADLINE = 10_000;

/** Waits until `check` returns something truthy, and returns it. */
async function eventually(check, what = check, deadline = DEADLINE) {
  const end = Date.now() + deadline;
  for (;;) {
    const result = check();
    if (result) {
      return result;
    }
    if (Date.now() > end) {
      throw new Error(`it did not happen in time: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The promise of a function with a callback. */
function call(object, method, ...args) {
  return new Promise((resolve, reject) => {
    object[method](...args, (error, result) => (error ? reject(error) : resolve(result)));
  });
}

/** A node that is up until the test ends, with its events in `log`. */
async function upNode(t, options) {
  const node = caster.createNode(options);
  node.log = [];
  for (const name of ['up', 'update', 'down', 'message', 'error']) {
    node.on(name, (...args) => node.log.push([name, ...args]));
  }
  node.heard = (name) => node.log.filter(([type]) => type === name);
  await call(node, 'up');
  t.after(() => new Promise((resolve) => node.down(resolve)));
  return node;
}

/** A caster that is bound until the test ends, with its messages in `log`. */
async function boundCaster(t, options, ...middleware) {
  const server = caster.create(options);
  server.use(...middleware);
  server.log = [];
  server.on('message', (...args) => server.log.push(args));
  await call(server, 'bind');
  t.after(() => server.close());
  return server;
}

/** Runs a program with `caster` and `options` in a process. Returns its output, exit code and signal. */
function run(t, source, options = lan()) {
  const head = `const caster = require(${JSON.stringify(PACKAGE)});
    const options = ${JSON.stringify(options)};`;
  return watch(t, spawn(process.execPath, ['-e', `${head}\n${source}`]));
}

/** Collects the output of a process, and kills it after the test. */
function watch(t, child) {
  const result = { child, out: '', err: '', code: undefined, signal: undefined };
  child.stdout.on('data', (data) => { result.out += data; });
  child.stderr.on('data', (data) => { result.err += data; });
  child.on('close', (code, signal) => Object.assign(result, { code, signal }));
  t.after(() => child.kill('SIGKILL'));
  result.ended = (deadline) =>
    eventually(() => result.code !== undefined, 'the end of the process', deadline);
  return result;
}

module.exports = { PACKAGE, boundCaster, call, eventually, lan, run, upNode, watch };
