#!/bin/sh
# Installs libcaster, or removes what it has installed. `make install` and `make uninstall` run it.
#
#     install.sh install|uninstall
#
# From the environment: PREFIX, LIBDIR, INCLUDEDIR, MANDIR (paths on the machine where it will run;
# by default /usr/local and lib, include, share/man in it), DESTDIR (goes in front of all of them),
# RELEASE (where cargo has put libcaster.so and libcaster.a).
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
templates=$root/caster-ffi/packaging
release=${RELEASE:-$root/target/release}
prefix=${PREFIX:-/usr/local}
libdir=${LIBDIR:-$prefix/lib}
includedir=${INCLUDEDIR:-$prefix/include}
mandir=${MANDIR:-$prefix/share/man}
destdir=${DESTDIR:-}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}
for name in prefix libdir includedir mandir; do
    eval "value=\$$name"
    case $value in
    *..*) fail "$name is $value: a path without .. is needed" ;;
    /*) ;;
    *) fail "$name is $value: an absolute path is needed" ;;
    esac
done

# In sed, not in TOML: the version is the only line of its kind in [workspace.package].
version=$(sed -n 's/^version = "\([0-9.]*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
abi=$(sed -n 's/^const ABI: u32 = \([0-9]*\);$/\1/p' "$root/caster-ffi/build.rs")
[ -n "$version" ] && [ -n "$abi" ] || fail "the version or the number of the ABI is not where it was"
full=libcaster.so.$version
soname=libcaster.so.$abi

# Every file, below no DESTDIR.
files() {
    echo "$libdir/$full"
    echo "$libdir/$soname"
    echo "$libdir/libcaster.so"
    echo "$libdir/libcaster.a"
    echo "$libdir/pkgconfig/caster.pc"
    echo "$libdir/cmake/Caster/CasterConfig.cmake"
    echo "$libdir/cmake/Caster/CasterConfigVersion.cmake"
    for header in "$root"/include/caster.h "$root"/include/caster.hpp; do
        [ ! -f "$header" ] || echo "$includedir/$(basename "$header")"
    done
    echo "$mandir/man3/libcaster.3"
}

if [ "${1:-}" = uninstall ]; then
    files | while IFS= read -r file; do
        rm -f "$destdir$file"
    done
    # Its folder, and those above that are empty now. A system's own stay.
    files | while IFS= read -r file; do
        folder=${file%/*}
        while [ -n "$folder" ]; do
            case $destdir$folder in
            */cmake/Caster) ;;
            /usr/* | /usr) break ;;
            esac
            rmdir "$destdir$folder" 2>/dev/null || [ ! -d "$destdir$folder" ] || break
            folder=${folder%/*}
        done
    done
    [ -z "$destdir" ] || rmdir "$destdir" 2>/dev/null || true
    exit
fi
[ "${1:-}" = install ] || fail "usage: install.sh install|uninstall"

for library in libcaster.so libcaster.a; do
    [ -f "$release/$library" ] || fail "there is no $release/$library: run make first"
done

# relative FROM TO: the way from one folder to another
relative() {
    from=${1%/}/
    to=${2%/}/
    up=
    while [ "${to#"$from"}" = "$to" ]; do
        from=${from%/}
        from=${from%/*}/
        up=../$up
    done
    way=$up${to#"$from"}
    way=${way%/}
    echo "${way:-.}"
}

# A pointer has this many bytes: the fifth byte of an ELF file is 2 if it is for 64 bits.
case $(od -An -tu1 -j4 -N1 "$release/libcaster.so" | tr -d ' ') in
2) bytes=8 ;;
1) bytes=4 ;;
*) fail "$release/libcaster.so is no ELF file" ;;
esac

# fill TEMPLATE FILE
fill() {
    sed -e "s|@VERSION@|$version|g" -e "s|@ABI@|$abi|g" -e "s|@POINTER_BYTES@|$bytes|g" \
        -e "s|@MAJOR@|${version%%.*}|g" -e "s|@MINOR@|$(echo "$version" | cut -d. -f2)|g" \
        -e "s|@PREFIX_FROM_PC@|$(relative "$libdir/pkgconfig" "$prefix")|g" \
        -e "s|@INCLUDE_FROM_PREFIX@|$(relative "$prefix" "$includedir")|g" \
        -e "s|@INCLUDE_FROM_CMAKE@|$(relative "$libdir/cmake/Caster" "$includedir")|g" \
        "$1" >"$2"
    chmod 644 "$2"
}

mkdir -p "$destdir$libdir/pkgconfig" "$destdir$libdir/cmake/Caster" "$destdir$includedir" \
    "$destdir$mandir/man3"
# A new file, not the old one overwritten: programs may be running with it.
install -m 755 "$release/libcaster.so" "$destdir$libdir/.$full.new"
mv -f "$destdir$libdir/.$full.new" "$destdir$libdir/$full"
ln -sf "$full" "$destdir$libdir/$soname"
ln -sf "$soname" "$destdir$libdir/libcaster.so"
install -m 644 "$release/libcaster.a" "$destdir$libdir/libcaster.a"
for header in "$root"/include/caster.h "$root"/include/caster.hpp; do
    [ ! -f "$header" ] || install -m 644 "$header" "$destdir$includedir/$(basename "$header")"
done
fill "$templates/caster.pc.in" "$destdir$libdir/pkgconfig/caster.pc"
fill "$templates/CasterConfig.cmake.in" "$destdir$libdir/cmake/Caster/CasterConfig.cmake"
fill "$templates/CasterConfigVersion.cmake.in" "$destdir$libdir/cmake/Caster/CasterConfigVersion.cmake"
fill "$templates/libcaster.3.in" "$destdir$mandir/man3/libcaster.3"

# The linker of the machine finds a new library in its own folders by this, if root installs.
if [ -z "$destdir" ] && [ "$(id -u)" = 0 ] && command -v ldconfig >/dev/null; then
    ldconfig 2>/dev/null || true
fi
