#!/bin/sh
# The helper of caster/testing with the test runners that programs use: node:test, vitest and jest, which
# come from npm into target/node-tools. Run by `make test-all`. NODE is the Node.js.
set -eu

. "$(dirname "$0")/install.sh"
node=$(command -v "${NODE:-node}")
install vitest vitest@3.2.4
install jest jest@30.2.0

# project NAME: a folder with the package of this checkout, and with the runner
project() {
    folder=$tools/runners/$1
    rm -rf "$folder"
    mkdir -p "$folder/node_modules"
    echo '{"private": true}' >"$folder/package.json"
    if [ -d "$tools/$1/node_modules" ]; then cp -rs "$tools/$1/node_modules" "$folder"; fi
    ln -s "$package" "$folder/node_modules/caster"
}

# The tests, behind the lines that name the runner. `equal` compares.
tests() {
    cat <<'RUN'
let first;

test('nodes find each other', async () => {
  const app = network().node({ id: 'app', self: false });
  await app.up();
  await network().node({ id: 'db', meta: { type: 'db' } }).up();
  await network().advance(100);
  equal(app.find('type', 'db').length, 1);
  network().unplug('db');
  await network().advance(10_000);
  equal(app.find('type', 'db').length, 0);
  first = app;
});

test('the nodes of the test before are closed', async () => {
  equal(network().now, 0);
  equal(await first.send(1).catch((error) => error.code), 'NOT_UP');
});
RUN
}

# ran NAME COMMAND…: it passes; with a wrong expectation it fails
ran() {
    name=$1
    shift
    (cd "$folder" && "$@") >"$tools/runners/$name.log" 2>&1 || { cat "$tools/runners/$name.log" >&2; exit 1; }
    sed -i.right "s/, 'NOT_UP')/, 'UP')/" "$folder"/network.test.*
    if (cd "$folder" && "$@") >"$tools/runners/$name.log" 2>&1; then
        echo "$name does not notice a wrong test" >&2
        exit 1
    fi
    echo "$name: passed"
}

project node
{
    echo "const { equal } = require('node:assert/strict');"
    echo "const runner = require('node:test');"
    echo "const { networkPerTest } = require('caster/testing');"
    echo "const { test } = runner;"
    echo "const network = networkPerTest(runner);"
    tests
} >"$folder/network.test.cjs"
ran "node:test" "$node" --test "$folder/network.test.cjs"

project vitest
{
    echo "import { afterEach, beforeEach, expect, test } from 'vitest';"
    echo "import { networkPerTest } from 'caster/testing';"
    echo "const equal = (a, b) => expect(a).toEqual(b);"
    echo "const network = networkPerTest({ beforeEach, afterEach });"
    tests
} >"$folder/network.test.mjs"
ran vitest "$node" node_modules/vitest/vitest.mjs run

project jest
{
    echo "const { networkPerTest } = require('caster/testing');"
    echo "const equal = (a, b) => expect(a).toEqual(b);"
    echo "const network = networkPerTest({ beforeEach, afterEach });"
    tests
} >"$folder/network.test.cjs"
ran jest "$node" node_modules/jest/bin/jest.js --testMatch "**/network.test.cjs"
