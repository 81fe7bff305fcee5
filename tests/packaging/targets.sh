#!/bin/sh
# Checks that the libraries compile for other systems, as far as rustup has their standard libraries:
#
#     tests/packaging/targets.sh [TARGET...]
#
# No linker is needed. A target without a standard library is named and skipped.
set -eu

cargo=${CARGO:-cargo}
# The stable interface of Python needs no Python to compile.
export PYO3_NO_PYTHON=1

[ $# -gt 0 ] || set -- x86_64-pc-windows-gnu x86_64-apple-darwin x86_64-unknown-freebsd \
    aarch64-linux-android armv7-unknown-linux-gnueabihf
failed=0
libraries=$(rustc --print sysroot)/lib/rustlib

# For Windows the build script of the Node.js module asks for a libnode.dll, which only a linker reads.
LIBNODE_PATH=$(mktemp -d)
export LIBNODE_PATH
trap 'rm -r "$LIBNODE_PATH"' EXIT
: >"$LIBNODE_PATH/libnode.dll"

for target; do
    if [ ! -d "$libraries/$target/lib" ]; then
        echo "targets.sh: skipped $target (rustup target add $target)"
        continue
    fi
    echo "targets.sh: $target"
    packages="-p caster-core -p caster-ffi -p caster-python -p caster-node"
    # shellcheck disable=SC2086 # several words
    said=$("$cargo" check -q $packages --target "$target" 2>&1) || failed=1
    # Warnings fail, too.
    [ -z "$said" ] || { printf '%s\n' "$said" >&2 && failed=1; }
done
exit $failed
