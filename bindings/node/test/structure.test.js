// The modules of lib/: what they import and what they leave to the core.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { failNotUp, textInBatch } = require('../lib/binding');
const { PACKAGE } = require('./helper');

const read = (folder, file) => fs.readFileSync(path.join(PACKAGE, folder, file), 'utf8');
const filesOf = (folder) => fs.readdirSync(path.join(PACKAGE, folder));

/** The modules that a module imports, whether at once or later. */
const importsOf = (source) => [...source.matchAll(/require\('\.\/([\w-]+)'\)/g)].map(([, name]) => name);

/** A list of modules each of which imports the next, the last one the first; null if there is none. */
function findCircle(graph) {
  const done = new Set();
  const visit = (name, chain) => {
    if (chain.includes(name)) {
      return chain.slice(chain.indexOf(name)).concat(name);
    }
    if (done.has(name)) {
      return null;
    }
    for (const next of graph[name]) {
      const circle = visit(next, [...chain, name]);
      if (circle) {
        return circle;
      }
    }
    done.add(name);
    return null;
  };
  for (const name of Object.keys(graph)) {
    const circle = visit(name, []);
    if (circle) {
      return circle;
    }
  }
  return null;
}

test('the search for import circles finds one', () => {
  assert.deepEqual(findCircle({ a: ['b', 'd'], b: ['c'], c: ['b'], d: [] }), ['b', 'c', 'b']);
  assert.equal(findCircle({ a: ['b', 'c'], b: ['c'], c: [] }), null);
  assert.deepEqual(importsOf("const a = require('./event-batch'); late(() => require('./node').Node);"), [
    'event-batch',
    'node',
  ]);
});

test('no module of lib/ imports itself through others', () => {
  const names = filesOf('lib').map((file) => path.basename(file, '.js'));
  const graph = Object.fromEntries(names.map((name) => [name, importsOf(read('lib', `${name}.js`))]));
  assert.ok(graph.node.includes('endpoint') && graph.index.includes('node'));
  assert.equal(findCircle(graph), null);
});

test('the error texts of the core stand in the core only', () => {
  let text;
  try {
    failNotUp();
  } catch (error) {
    text = error.message;
  }
  assert.equal(text, 'Node is not up');
  assert.equal(textInBatch(3, 'x'), 'message 3: x');
  const sources = ['lib', 'src'].flatMap((folder) => filesOf(folder).map((file) => read(folder, file)));
  for (const core of [text, 'message ${', 'message {', 'is not bound', 'already up', 'already bound']) {
    assert.ok(sources.every((source) => !source.includes(core)), core);
  }
});
