#!/bin/sh
# Makes the Debian packages for this kind of machine, into target/dist: libcaster0 (the library), libcaster-dev
# (headers, static library, pkg-config, CMake) and caster (the command). The same files give the same packages.
#
#     packaging/deb.sh        RELEASE=target/release DIST=target/dist
#
# Needs dpkg-deb, dpkg-shlibdeps and dpkg-gensymbols (the Debian package dpkg-dev). DEBFULLNAME and DEBEMAIL name the
# maintainer.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
release=${RELEASE:-$root/target/release}
dist=${DIST:-$root/target/dist}
maintainer="${DEBFULLNAME:-The developers of Caster} <${DEBEMAIL:-caster@packages.debian.org}>"
upstream=$(sed -n 's/^version = "\([0-9.]*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
abi=$(sed -n 's/^const ABI: u32 = \([0-9]*\);$/\1/p' "$root/caster-ffi/build.rs")
version=$upstream # of a native package: it is made where the sources are
architecture=$(dpkg --print-architecture)
triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
# The time of all files: that of the last commit; outside of a checkout the first day of 2026.
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 1767225600)}
SOURCE_DATE_EPOCH=$epoch
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
umask 022

library=$work/libcaster$abi
dev=$work/libcaster-dev
command=$work/caster

# The library as `make install` puts it, then split.
env -u DESTDIR PREFIX=/usr LIBDIR="/usr/lib/$triplet" INCLUDEDIR=/usr/include MANDIR=/usr/share/man \
    DESTDIR="$dev" RELEASE="$release" "$root/caster-ffi/packaging/install.sh" install
mkdir -p "$library/usr/lib/$triplet"
mv "$dev/usr/lib/$triplet"/libcaster.so.* "$library/usr/lib/$triplet"
chmod 644 "$library/usr/lib/$triplet/libcaster.so.$upstream"

DIST=$work/dist RELEASE="$release" "$root/caster-cli/packaging/dist.sh" >/dev/null
mkdir -p "$command"
tar -C "$work" -xzf "$work"/dist/caster-*.tar.gz
mv "$work"/caster-"$upstream"-*/ "$work/tree"
mkdir -p "$command/usr/share/zsh"
mv "$work/tree/bin" "$command/usr/bin"
mv "$work/tree/share/man" "$work/tree/share/bash-completion" "$work/tree/share/fish" "$command/usr/share"
mv "$work/tree/share/zsh/site-functions" "$command/usr/share/zsh/vendor-completions"

# control PACKAGE SECTION DEPENDS SUMMARY; the long description from standard input
control() {
    folder=$work/$1
    documents=$folder/usr/share/doc/$1
    mkdir -p "$folder/DEBIAN" "$documents"
    find "$folder/usr/share/man" -type f -exec gzip -9n {} + 2>/dev/null || true
    gzip -9n <"$root/CHANGELOG.md" >"$documents/NEWS.gz"
    {
        echo "caster ($version) unstable; urgency=medium"
        echo
        echo "  * Release $upstream; NEWS.gz has its changes."
        echo
        echo " -- $maintainer  $(LC_ALL=C date -u -R -d "@$epoch")"
    } | gzip -9n >"$documents/changelog.gz"
    {
        echo "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"
        echo "Upstream-Name: Caster"
        echo
        echo "Files: *"
        echo "Copyright: $(sed -n 's/^Copyright (c) //p' "$root/LICENSE")"
        echo "License: MIT"
        echo
        echo "License: MIT"
        sed -n '/^Permission/,$p' "$root/LICENSE" | sed -e 's/^$/./' -e 's/^/ /'
    } >"$documents/copyright"
    {
        echo "Package: $1"
        echo "Source: caster"
        echo "Version: $version"
        echo "Architecture: $architecture"
        echo "Maintainer: $maintainer"
        echo "Installed-Size: $(du -sk --apparent-size "$folder/usr" | cut -f 1)"
        echo "Depends: $3"
        echo "Section: $2"
        echo "Priority: optional"
        case $1 in lib*) echo "Multi-Arch: same" ;; esac
        echo "Description: $4"
        sed -e 's/^$/./' -e 's/^/ /'
    } >"$folder/DEBIAN/control"
    (cd "$folder" && find usr -type f | LC_ALL=C sort | xargs -d '\n' md5sum) >"$folder/DEBIAN/md5sums"
}

# shlibs FILE: the packages that a binary needs
shlibs() {
    mkdir -p "$work/source/debian"
    echo "Source: caster" >"$work/source/debian/control"
    (cd "$work/source" && dpkg-shlibdeps -O -l"$library/usr/lib/$triplet" "$1" 2>/dev/null) |
        sed -n 's/^shlibs:Depends=//p'
}

control "libcaster$abi" libs "$(shlibs "$library/usr/lib/$triplet/libcaster.so.$upstream")" \
    "LAN discovery and messaging without a server" <<'TEXT'
Programs on a network find each other, detect which of them are alive, and
exchange messages, without a server and without configuration.

This package has the shared library.
TEXT
echo "libcaster $abi libcaster$abi (>= $upstream)" >"$library/DEBIAN/shlibs"
echo "activate-noawait ldconfig" >"$library/DEBIAN/triggers"
(cd "$work/source" && dpkg-gensymbols -q -p"libcaster$abi" -v"$upstream" -P"$library" -O"$library/DEBIAN/symbols" \
    >/dev/null)

control libcaster-dev libdevel "libcaster$abi (= $version)" \
    "LAN discovery and messaging without a server (development files)" <<'TEXT'
Programs on a network find each other, detect which of them are alive, and
exchange messages, without a server and without configuration.

This package has the headers for C and C++, the static library, and the files
for pkg-config and CMake.
TEXT

control caster net "$(shlibs "$command/usr/bin/caster")" \
    "command that lists, watches and announces nodes of Caster" <<'TEXT'
Programs that use Caster find each other on a network without a server. This
command lists them, shows them as they come and go, waits for them, announces
any program, and names the reason why nodes do not see each other.
TEXT

mkdir -p "$dist"
for package in "libcaster$abi" libcaster-dev caster; do
    deb=$dist/${package}_${version}_$architecture.deb
    dpkg-deb --root-owner-group -Zxz --build "$work/$package" "$deb" >/dev/null
    printf '%s  %d KB\n' "$deb" $(($(wc -c <"$deb") / 1024))
done
