#!/usr/bin/env node
// Runs the command for this kind of machine; signals and the exit status pass through.
'use strict';

const { spawn } = require('node:child_process');
const { existsSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const program = path.join(__dirname, `${process.platform}-${process.arch}`, 'caster');

if (existsSync(program)) {
  const child = spawn(program, process.argv.slice(2), { stdio: 'inherit' });
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM', 'SIGUSR2', 'SIGCONT']) {
    process.on(signal, () => child.kill(signal));
  }
  child.on('error', (error) => {
    console.error(`caster: ${error.message}`);
    process.exitCode = 126;
  });
  child.on('exit', (status, signal) => {
    process.exit(status ?? 128 + os.constants.signals[signal]);
  });
} else {
  console.error(`caster: this package has no command for ${process.platform}-${process.arch}.`);
  console.error('  Build it: cargo install --path caster-cli');
  process.exitCode = 127;
}
