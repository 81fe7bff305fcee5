'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const caster = require('..');
const { optionNames } = require('../lib/binding');
const { eventually, lan, upNode } = require('./helper');

const PACKAGE = path.join(__dirname, '..');
const read = (file) => fs.readFileSync(path.join(PACKAGE, file), 'utf8');

test('import and require give the same', async () => {
  const imported = await import('../index.mjs');
  assert.equal(imported.default, caster);
  for (const name of Object.keys(caster)) {
    assert.equal(imported[name], caster[name], name);
  }
  const testing = await import('../testing.mjs');
  assert.deepEqual({ ...testing, default: undefined }, { ...require('../testing'), default: undefined });
  assert.equal(testing.default, require('../testing'));
  const names = [
    'Caster', 'Node', 'create', 'createNode', 'generateIdentity', 'generateKey', 'leaveOnSignals', 'middleware', 'publicKey',
  ];
  assert.deepEqual(Object.keys(caster).sort(), [...names, 'version']);
});

test('modules are loaded at the first access, and classes can be replaced', () => {
  const program = `
    const caster = require(${JSON.stringify(PACKAGE)});
    const loaded = () => Object.keys(require.cache).map((file) => require('path').basename(file));
    const before = loaded();
    const { Node } = caster;
    const after = loaded();
    const mine = (caster.Caster = class { constructor(options) { this.options = options; } });
    console.log(JSON.stringify({
      before: before.includes('node.js') || before.includes('middleware.js'),
      after: after.includes('node.js') && !after.includes('caster.js'),
      same: Node === caster.Node && Node === caster.createNode().constructor,
      mine: caster.create(5) instanceof mine && caster.create(5).options === 5,
      keys: Object.keys(caster).sort(),
    }));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', program], { encoding: 'utf8' });
  assert.equal(stderr, '');
  const keys = Object.keys(caster).sort();
  assert.deepEqual(JSON.parse(stdout), { before: false, after: true, same: true, mine: true, keys });
});

test('the version is that of the package', () => {
  const { version, dependencies, scripts } = JSON.parse(read('package.json'));
  assert.equal(caster.version, version);
  assert.equal(dependencies, undefined);
  for (const script of ['install', 'preinstall', 'postinstall', 'prepare']) {
    assert.equal(script in scripts, false, script);
  }
});

test('all files that package.json names exist', () => {
  const { bin, main, types, exports, files } = JSON.parse(read('package.json'));
  const { '.': top, './testing': testing, ...others } = exports;
  assert.deepEqual(Object.keys(others), ['./package.json']);
  const ways = [top.import, top.require, testing.import, testing.require];
  const named = [main, types, ...ways.flatMap((way) => [way.types, way.default])];
  for (const file of named) {
    assert.ok(fs.existsSync(path.join(PACKAGE, file)), file);
    const pattern = path.basename(file).replace(/\..*/, '.*');
    assert.ok(files.includes(pattern), file);
  }
  for (const file of Object.values(bin)) {
    assert.ok(files.includes(file) && fs.existsSync(path.join(PACKAGE, file)), file);
  }
});

/** The members of an interface of index.d.ts. */
function membersOf(name) {
  const [, body] = read('index.d.ts').match(new RegExp(`interface ${name}\\b[^{]*\\{([^]*?)\\n\\}`));
  return [...body.matchAll(/^ {2}(\w+)\??:/gm)].map(([, member]) => member).sort();
}

test('the types have the options of the core, no more and no less', () => {
  const casters = membersOf('CasterOptions');
  // Keys do not travel with the other options, so that no text has them.
  assert.deepEqual(casters, [...optionNames(true), 'keys'].sort());
  const named = [...optionNames(false), 'identity', 'keys', 'trust'].sort();
  assert.deepEqual([...casters, ...membersOf('NodeOptions')].sort(), named);
});

test('the types have the counters of the core, no more and no less', () => {
  assert.deepEqual(membersOf('Stats'), Object.keys(caster.createNode().stats()).sort());
});

test('every native function contains panics', () => {
  const sources = fs.readdirSync(path.join(PACKAGE, 'src'));
  const exported = sources.flatMap((file) => [
    ...read(`src/${file}`).matchAll(/#\[napi(?:\((.*)\))?\]\s+pub fn (\w+)/g),
  ]);
  assert.ok(exported.length > 30);
  for (const [, attributes = '', name] of exported) {
    assert.ok(attributes.includes('catch_unwind'), name);
  }
});

/** Loads a copy of the package from an empty directory. */
function loadCopy(t, env, prepare = () => {}) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'caster-'));
  t.after(() => fs.rmSync(root, { recursive: true }));
  const copy = path.join(root, 'a/b/caster');
  fs.mkdirSync(copy, { recursive: true });
  for (const file of ['package.json', 'index.js', 'lib']) {
    fs.cpSync(path.join(PACKAGE, file), path.join(copy, file), { recursive: true });
  }
  prepare(copy);
  const code = 'console.log(require(process.argv[1]).version)';
  return spawnSync(process.execPath, ['-e', code, copy], {
    env: { PATH: process.env.PATH, ...env },
    encoding: 'utf8',
  });
}

/** The file that these tests run with. */
function binary() {
  const loaded = process.report.getReport().sharedObjects;
  return loaded.find((file) => /caster/.test(path.basename(file)));
}

test('without a binary the error names the command that builds one', (t) => {
  const { status, stderr } = loadCopy(t, {});
  assert.notEqual(status, 0);
  assert.match(stderr, /cargo build --release -p caster-node/);
  assert.match(stderr, new RegExp(`${process.platform}-${process.arch}`));
});

test('a binary that cannot be loaded is named', (t) => {
  const { stderr } = loadCopy(t, { CASTER_BINDING: '/nonexistent/caster.node' });
  assert.match(stderr, /cannot load \/nonexistent\/caster\.node/);
});

test('the environment, a prebuilt binary and a build of the checkout are found', (t) => {
  const file = binary();
  const expected = `${caster.version}\n`;
  assert.equal(loadCopy(t, { CASTER_BINDING: file }).stdout, expected);
  const libc = process.report.getReport().header.glibcVersionRuntime ? '-glibc' : '-musl';
  const target = `${process.platform}-${process.arch}${process.platform === 'linux' ? libc : ''}`;
  const prebuilt = (copy) => {
    fs.mkdirSync(path.join(copy, 'prebuilds', target), { recursive: true });
    fs.copyFileSync(file, path.join(copy, 'prebuilds', target, 'caster.node'));
  };
  assert.equal(loadCopy(t, {}, prebuilt).stdout, expected);
  const built = (copy) => {
    fs.mkdirSync(path.join(copy, '../../target/debug'), { recursive: true });
    fs.copyFileSync(file, path.join(copy, '../../target/debug/libcaster_node.so'));
  };
  assert.equal(loadCopy(t, {}, built).stdout, expected);
});

test('the types have the counters of an interface, no more and no less', async (t) => {
  const node = await upNode(t, lan());
  const { interfaces } = node.stats();
  const lo = interfaces.find(({ addresses }) => addresses.includes('127.0.0.1'));
  assert.deepEqual(membersOf('InterfaceStats'), Object.keys(lo).sort());
  assert.deepEqual([lo.joined, lo.error], [true, null]);
  await eventually(() => node.stats().interfaces.find(({ name }) => name === lo.name).echoes > 0);
  await node.down();
  assert.deepEqual(node.stats().interfaces, []);
});
