#!/bin/sh
# Runs the test suite of the original npm package caster@0.1.1, unmodified, against this package.
#
#   sh original-suite.sh [DIRECTORY]
#
# The suite and mocha come from npm into DIRECTORY (by default target/original-suite), once. It
# multicasts, so it runs in a network namespace of its own, which needs no root where the system
# lets users make one. CASTER_BINDING chooses the binary, NODE the Node.js to run it with.
set -eu

package=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-$package/../../target/original-suite}
node=${NODE:-node}

mkdir -p "$work"
work=$(cd "$work" && pwd)
cd "$work"
if [ ! -d node_modules/caster ] || [ ! -d node_modules/mocha ]; then
    echo '{"private": true}' > package.json
    # The original asks for Node.js 0.8; only its tests are run.
    npm install --silent --no-fund --no-audit --ignore-scripts caster@0.1.1 mocha@11
fi

# The tests ask for '../lib'.
rm -rf suite
mkdir -p suite/lib
cp -r node_modules/caster/test suite/test
echo "module.exports = require('$package');" > suite/lib/index.js

# The caster file never closes its sockets and so needs --exit; the node file ends by itself.
# `new Buffer` in the tests is deprecated, which is not what is looked at.
run='ip link set lo up && ip route add 224.0.0.0/4 dev lo &&
    "$1" --no-deprecation "$2" --exit suite/test/test-caster.js &&
    "$1" --no-deprecation "$2" --no-exit suite/test/test-node.js'
exec unshare -rn sh -ec "$run" sh "$node" node_modules/mocha/bin/mocha.js
