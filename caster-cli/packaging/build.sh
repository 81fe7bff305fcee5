#!/bin/sh
# Builds the command for archives and packages: target/command/ARCHITECTURE/caster.
#
#     caster-cli/packaging/build.sh [ARCHITECTURE...]        default: x86_64 aarch64
#
# It is linked statically with musl where rustup has the standard library for that (rustup target add
# ARCHITECTURE-unknown-linux-musl), and so runs on every Linux. Without that standard library the
# command for this machine needs the C library of this machine, and no other is built. PROFILE=dev builds faster.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
cargo=${CARGO:-cargo}
target_dir=${CARGO_TARGET_DIR:-$root/target}
profile=${PROFILE:-release}
folder=$profile
[ "$profile" != dev ] || folder=debug
libraries=$(rustc --print sysroot)/lib/rustlib
here=$(uname -m)
# The linker of Rust links for other processors, and musl comes with the standard library.
[ "$here" = x86_64 ] || export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
[ "$here" = aarch64 ] || export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
cd "$root"

[ $# -gt 0 ] || set -- x86_64 aarch64
for architecture; do
    rm -rf "$target_dir/command/$architecture"
    target=$architecture-unknown-linux-musl
    if [ -d "$libraries/$target/lib" ]; then
        "$cargo" build -q --profile "$profile" -p caster-cli --target "$target"
        built=$target_dir/$target/$folder/caster
        if readelf -ldW "$built" | grep -q 'INTERP\|NEEDED'; then
            echo "build.sh: $built is not static" >&2
            exit 1
        fi
        kind="static, for every Linux"
    elif [ "$architecture" = "$here" ]; then
        "$cargo" build -q --profile "$profile" -p caster-cli
        built=$target_dir/$folder/caster
        kind="for systems with the C library of this one (rustup target add $target)"
    else
        echo "build.sh: skipped $architecture (rustup target add $target)"
        continue
    fi
    mkdir -p "$target_dir/command/$architecture"
    cp "$built" "$target_dir/command/$architecture/caster"
    echo "$target_dir/command/$architecture/caster  $(($(wc -c <"$built") / 1024)) KB  $kind"
done
