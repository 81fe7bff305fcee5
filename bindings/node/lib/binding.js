// Finds and loads the native half.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const target = require('./target');

const BUILD = 'cargo build --release -p caster-node';
const LIBRARY = {
  darwin: 'libcaster_node.dylib',
  win32: 'caster_node.dll',
}[process.platform] || 'libcaster_node.so';

function modified(file) {
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  return stat ? stat.mtimeMs : 0;
}

/** The folder of this file. A bundle as an ES module has no `__dirname`; it is its own program then. */
const folder = typeof __dirname === 'string' ? __dirname : path.dirname(process.argv[1] ?? '.');

/** Whether a bundler has put this code into another file. */
const isBundled = !fs.existsSync(path.join(folder, 'binding.js'));

/**
 * The file to load: of the environment variable, beside a bundle, of the package, or the latest build of a
 * checkout.
 */
function find() {
  if (process.env.CASTER_BINDING) {
    return path.resolve(process.env.CASTER_BINDING);
  }
  const beside = path.join(folder, 'caster.node');
  if (isBundled) {
    return fs.existsSync(beside) ? beside : undefined;
  }
  const prebuilt = path.join(folder, '..', 'prebuilds', target, 'caster.node');
  if (fs.existsSync(prebuilt)) {
    return prebuilt;
  }
  const built = ['release', 'debug']
    .map((profile) => path.join(folder, '..', '..', '..', 'target', profile, LIBRARY))
    .filter(modified)
    .sort((a, b) => modified(b) - modified(a));
  return built[0];
}

function load() {
  const file = find();
  if (!file && isBundled) {
    throw new Error(
      `caster has no binary beside this bundle: copy node_modules/caster/prebuilds/${target}/caster.node ` +
        `to ${path.join(folder, 'caster.node')}, or exclude the package from the bundle (esbuild: ` +
        '--external:caster), or set CASTER_BINDING to the path of the binary.',
    );
  }
  if (!file) {
    throw new Error(
      `caster has no binary for ${target}. In a checkout build one with "${BUILD}", or set ` +
        'CASTER_BINDING to the path of one.',
    );
  }
  const addon = { exports: {} };
  try {
    process.dlopen(addon, file);
  } catch (cause) {
    const text = `cannot load ${file} (${cause.message}); build it again with "${BUILD}"`;
    throw new Error(text, { cause });
  }
  if (process.platform === 'linux' && !process.versions.bun && !process.versions.deno) {
    addon.exports.useLibuv();
  }
  return addon.exports;
}

module.exports = load();
