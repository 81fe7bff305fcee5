// `npx caster`: it finds the command, or says how to get it.
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { PACKAGE } = require('./helper');

const BIN = path.join(PACKAGE, 'bin.js');

/** A folder that is removed after the test. */
function folder(t) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'caster-bin-'));
  t.after(() => fs.rmSync(made, { recursive: true }));
  return made;
}

function run(cwd, PATH) {
  const { CASTER_SEARCHED, ...env } = process.env;
  const done = spawnSync(process.execPath, [BIN, 'ls', 'a b'], { cwd, env: { ...env, PATH }, encoding: 'utf8' });
  return [done.status, done.stdout, done.stderr];
}

const script = (place, text) => fs.writeFileSync(place, text, { mode: 0o755 });

test('without the command npx caster says how to get it', (t) => {
  const here = folder(t);
  // A link to itself is not the command.
  fs.symlinkSync(BIN, path.join(here, 'caster'));
  const [status, out, err] = run(here, here);
  assert.deepEqual([status, out], [127, '']);
  assert.match(err, /npm install --global caster-cli/);
});

test('npx caster runs the command of the PATH and ends with its status', { skip: process.platform === 'win32' }, (t) => {
  const here = folder(t);
  script(path.join(here, 'caster'), '#!/bin/sh\necho "$#:$1:$2"\nexit 7\n');
  assert.deepEqual(run(here, here), [7, '2:ls:a b\n', '']);
});

test('npx caster prefers the package caster-cli of the project', (t) => {
  const here = folder(t);
  const installed = path.join(here, 'node_modules', 'caster-cli');
  fs.mkdirSync(installed, { recursive: true });
  fs.writeFileSync(path.join(installed, 'package.json'), '{"name": "caster-cli", "main": "caster.js"}');
  fs.writeFileSync(path.join(installed, 'caster.js'), 'console.log(process.argv.slice(2).join()); process.exitCode = 3;\n');
  assert.deepEqual(run(here, ''), [3, 'ls,a b\n', '']);
});
