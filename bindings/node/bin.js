#!/usr/bin/env node
// `npx caster`: runs the command `caster` of the package caster-cli or of the PATH, or says how to get it.
'use strict';

const { spawnSync } = require('node:child_process');
const { accessSync, constants, realpathSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const ADVICE = `The command caster is not installed. Install it with one of:
  npm install --global caster-cli
  pip install caster-cli
  cargo install --path caster-cli`;

/** The program and its first arguments, or null. */
function find() {
  try {
    return [process.execPath, require.resolve('caster-cli', { paths: [process.cwd(), __dirname] })];
  } catch {
    // It is not a dependency.
  }
  // A link of this name may lead to this file in another folder.
  if (process.env.CASTER_SEARCHED) {
    return null;
  }
  for (const folder of (process.env.PATH ?? '').split(path.delimiter)) {
    const program = path.join(folder, 'caster');
    try {
      accessSync(program, constants.X_OK);
      if (realpathSync(program) !== realpathSync(__filename)) {
        return [program];
      }
    } catch {
      // There is none in this folder.
    }
  }
  return null;
}

const found = find();
if (found) {
  const [program, ...first] = found;
  // The command gets the signals of the terminal itself.
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGHUP']) {
    process.on(signal, () => {});
  }
  const env = { ...process.env, CASTER_SEARCHED: '1' };
  const done = spawnSync(program, [...first, ...process.argv.slice(2)], { stdio: 'inherit', env });
  if (done.error) {
    console.error(`caster: ${done.error.message}`);
  }
  process.exitCode = done.error ? 126 : (done.status ?? 128 + os.constants.signals[done.signal]);
} else {
  console.error(ADVICE);
  process.exitCode = 127;
}
