#!/bin/sh
# Builds the package for all targets: target/dist/caster-VERSION.tgz with binaries for Linux on x64
# and arm64, with glibc and musl.
#
# Needed: Rust by rustup, Python 3 with venv, Node.js with npm. zig and cargo-zigbuild come from
# PyPI into target/dist-tools, the standard libraries of the targets from rustup. A target that
# cannot be built is an error, unless CASTER_TARGETS names the targets to build.
set -eu

package=$(cd "$(dirname "$0")/.." && pwd)
root=$(cd "$package/../.." && pwd)
tools=$root/target/dist-tools
dist=$root/target/dist
all="x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-unknown-linux-musl aarch64-unknown-linux-musl"
CASTER_TARGETS=${CASTER_TARGETS:-$all}
export CASTER_TARGETS

if [ ! -x "$tools/bin/cargo-zigbuild" ]; then
    python3 -m venv --clear "$tools"
    "$tools/bin/pip" install -q --disable-pip-version-check ziglang cargo-zigbuild
fi
PATH=$tools/bin:$PATH
export PATH

cd "$root"
for target in $CASTER_TARGETS; do
    if ! rustup target add "$target" >"$tools/log" 2>&1; then
        cat "$tools/log" >&2
        echo "dist.sh: Rust for $target cannot be had; CASTER_TARGETS leaves it out" >&2
        exit 1
    fi
done

rm -rf "$dist"
mkdir -p "$dist"
(cd "$package" && npm pack --silent --pack-destination "$dist" >/dev/null)
tarball=$(echo "$dist"/*.tgz)

# The contents of the package, and the parts of it that run on this machine.
here=$(node -p "require('$package/lib/target')")
mkdir "$dist/unpacked"
tar -xzf "$tarball" -C "$dist/unpacked"
for binary in "$dist"/unpacked/package/prebuilds/*/caster.node; do
    folder=$(basename "$(dirname "$binary")")
    if [ "$folder" = "$here" ]; then
        node "$package/test/smoke.js" "$dist/unpacked/package" >"$tools/log" 2>&1 || {
            cat "$tools/log" >&2
            exit 1
        }
        ran="ran here"
    else
        sh "$package/scripts/check-elf.sh" "$folder" "$binary"
        ran="NOT RUN: built and looked at, but it does not run on this machine ($here)"
    fi
    printf '%-20s %5d KB  %s\n' "$folder" $(($(wc -c <"$binary") / 1024)) "$ran"
done
rm -r "$dist/unpacked"
printf '%s  %d KB\n' "$tarball" $(($(wc -c <"$tarball") / 1024))
