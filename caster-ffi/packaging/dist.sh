#!/bin/sh
# Makes target/dist/libcaster-VERSION-ARCHITECTURE-linux.tar.gz: what `make install` installs, in one
# folder that works wherever it is put. The same files give the same archive.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
dist=$root/target/dist
version=$(sed -n 's/^version = "\([0-9.]*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
name=libcaster-$version-$(uname -m)-linux
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

env -u LIBDIR -u INCLUDEDIR -u MANDIR PREFIX="/$name" DESTDIR="$work" \
    "$root/caster-ffi/packaging/install.sh" install
mkdir -p "$work/$name/share/doc/caster"
install -m 644 "$root/LICENSE" "$root/CHANGELOG.md" "$work/$name/share/doc/caster"
mkdir -p "$dist"
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mode=go=u-w \
    --mtime="@${SOURCE_DATE_EPOCH:-0}" -cf - "$name" | gzip -9n >"$dist/$name.tar.gz"
printf '%s  %d KB\n' "$dist/$name.tar.gz" $(($(wc -c <"$dist/$name.tar.gz") / 1024))
