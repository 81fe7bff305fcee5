// Finds and loads the native half.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const BUILD = 'cargo build --release -p caster-node';
const LIBRARY = {
  darwin: 'libcaster_node.dylib',
  win32: 'caster_node.dll',
}[process.platform] || 'libcaster_node.so';

function libc() {
  if (process.platform !== 'linux' || !process.report) {
    return process.platform === 'linux' ? '-glibc' : '';
  }
  const { excludeNetwork } = process.report;
  process.report.excludeNetwork = true; // or the report looks up names
  const { glibcVersionRuntime } = process.report.getReport().header;
  process.report.excludeNetwork = excludeNetwork;
  return glibcVersionRuntime ? '-glibc' : '-musl';
}

function modified(file) {
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  return stat ? stat.mtimeMs : 0;
}

/** The file to load: the environment's, the package's own, or what a checkout has built last. */
function find() {
  if (process.env.CASTER_BINDING) {
    return path.resolve(process.env.CASTER_BINDING);
  }
  const prebuilds = path.join(__dirname, '..', 'prebuilds');
  if (fs.existsSync(prebuilds)) {
    const target = `${process.platform}-${process.arch}${libc()}`;
    const file = path.join(prebuilds, target, 'caster.node');
    if (fs.existsSync(file)) {
      return file;
    }
  }
  const built = ['release', 'debug']
    .map((profile) => path.join(__dirname, '..', '..', '..', 'target', profile, LIBRARY))
    .filter(modified)
    .sort((a, b) => modified(b) - modified(a));
  return built[0];
}

function load() {
  const file = find();
  if (!file) {
    throw new Error(
      `caster has no binary for ${process.platform}-${process.arch}${libc()}. In a checkout ` +
        `build one with "${BUILD}", or set CASTER_BINDING to the path of one.`,
    );
  }
  const addon = { exports: {} };
  try {
    process.dlopen(addon, file);
  } catch (cause) {
    const text = `cannot load ${file} (${cause.message}); build it again with "${BUILD}"`;
    throw new Error(text, { cause });
  }
  return addon.exports;
}

module.exports = load();
