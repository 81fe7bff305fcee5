#!/bin/sh
# Runs the tests of this folder and the test suite of the original on several runtimes.
#
#   all-runtimes.sh [RUNTIME…]
#
# RUNTIME is a version of Node.js, `newest` for the newest that npm offers, or `bun`, on which there
# is no node:test and smoke.js is run. By default all that are supported. They come from npm into
# target/node-tools. CASTER_BINDING chooses the binary.
set -eu

. "$(dirname "$0")/install.sh"
[ $# -gt 0 ] || set -- 18 20 22 24 26 newest bun

if unshare -rn true 2>/dev/null; then
    multicast=yes
elif [ -n "${CI:-}" ]; then
    echo "unshare -rn does not work here, and CI skips nothing" >&2
    exit 1
else
    multicast=
fi

# quietly NAME COMMAND…: what it says goes to $log; if it fails, the end of that is shown.
quietly() {
    log=$tools/$1.log
    shift
    "$@" >"$log" 2>&1 && return 0
    if grep -q 'failing tests:' "$log"; then
        sed -n '/failing tests:/,$p' "$log"
    else
        tail -n 60 "$log"
    fi
    echo "FAILED: $* (all it said is in $log)" >&2
    exit 1
}

cd "$package"
done=
for name in "$@"; do
    runtime "$name"
    version=$("$runtime" --version)
    case " $done " in
    *" $version "*)
        echo "$name is $version, which has been run"
        continue
        ;;
    esac
    done="$done $version"
    if [ "$name" = bun ]; then
        quietly "test-$name" timeout 120 "$runtime" test/smoke.js
        echo "Bun $version: smoke.js passed"
        continue
    fi
    quietly "test-$name" "$runtime" --test --test-concurrency=4 --test-reporter=spec test/*.test.js
    counts=$(sed -n 's/^ℹ \(tests\|pass\|fail\|skipped\) /\1 /p' "$log" | tr '\n' ' ')
    original="not run, because unshare -rn does not work here, nor the loss of the network"
    if [ -n "$multicast" ]; then
        NODE=$runtime quietly "original-$name" sh test/original-suite.sh "$root/target/original-suite"
        passed=$(sed -n 's/^ *\([0-9]*\) passing.*/\1/p' "$log" | awk '{ sum += $1 } END { print sum }')
        original="$passed of 22 passed"
        [ "$passed" = 22 ] || exit 1
        quietly "network-$name" unshare -rn sh -ec '
            ip link set lo up
            "$1" test/network-loss.js' sh "$runtime"
    fi
    echo "Node.js $version: $counts; the original's suite: $original"
done
