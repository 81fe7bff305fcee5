#!/bin/sh
# Puts the binaries of the package into prebuilds/. npm runs it before it packs.
#
# CASTER_TARGETS lists the targets of Rust to build for by cargo-zigbuild; dist.sh sets it. By default the
# target is this machine, by plain cargo. Binaries that can be loaded here are loaded as a check.
set -eu

package=$(cd "$(dirname "$0")/.." && pwd)
build=${CARGO_TARGET_DIR:-$package/../../target}
# Node.js 18 needs this version of the C library too.
glibc=2.28
here=$(node -p "require('$package/lib/target')")
version=$(node -p "require('$package/package.json').version")

# add FOLDER FILE
add() {
    mkdir -p "$package/prebuilds/$1"
    cp "$2" "$package/prebuilds/$1/caster.node"
    [ "$1" = "$here" ] || return 0
    loaded=$(CASTER_BINDING=$2 node -p "require('$package').version")
    if [ "$loaded" != "$version" ]; then
        echo "prebuild.sh: $2 has version $loaded, package.json has $version" >&2
        exit 1
    fi
}

cd "$package"
rm -rf prebuilds
if [ -z "${CASTER_TARGETS:-}" ]; then
    cargo build --release -p caster-node
    case $(uname -s) in
    Darwin) library=libcaster_node.dylib ;;
    Linux) library=libcaster_node.so ;;
    *) library=caster_node.dll ;;
    esac
    add "$here" "$build/release/$library"
    exit
fi

for target in $CASTER_TARGETS; do
    case $target in
    x86_64-*) arch=x64 ;;
    aarch64-*) arch=arm64 ;;
    *) echo "prebuild.sh: no folder name for the target $target" >&2; exit 1 ;;
    esac
    case $target in
    *-linux-gnu)
        cargo zigbuild --release -p caster-node --target "$target.$glibc"
        libc=glibc
        ;;
    *-linux-musl)
        # Linked to the C library of the system, as Node.js is.
        RUSTFLAGS="-C target-feature=-crt-static" \
            cargo zigbuild --release -p caster-node --target "$target"
        libc=musl
        ;;
    *) echo "prebuild.sh: no folder name for the target $target" >&2; exit 1 ;;
    esac
    add "linux-$arch-$libc" "$build/$target/release/libcaster_node.so"
done
