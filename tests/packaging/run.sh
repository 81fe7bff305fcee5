#!/bin/sh
# Installs libcaster into a folder of its own, moves that folder, and builds programs outside of this
# repository against it: with pkg-config and with CMake, shared and static, in C and in C++, and beside
# another static library that is written in Rust.
#
#     tests/packaging/run.sh RELEASE_FOLDER      (where libcaster.so and libcaster.a are)
#
# Needs cc, c++ and cargo; pkg-config and CMake as far as there are any: CMake is taken from PyPI if
# the machine has none. With CI=true, what is missing is a failure.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 RELEASE_FOLDER" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
RELEASE=$(cd "$1" && pwd)
export RELEASE
cc=${CC:-cc}
cxx=${CXX:-c++}
tools=$root/target/packaging
warnings='-Wall -Wextra -Wpedantic -Werror'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
unset PREFIX LIBDIR INCLUDEDIR MANDIR DESTDIR LD_LIBRARY_PATH PKG_CONFIG_PATH MAKEFLAGS || true

fail() {
    echo "tests/packaging/run.sh: $*" >&2
    exit 1
}
missing() {
    [ "${CI:-}" != true ] || fail "$1 is missing, and CI skips nothing"
    echo "skipped: $1 is not on this machine: $2"
}
# quiet WHAT COMMAND...: its output only if it fails
quiet() {
    what=$1
    shift
    "$@" >"$work/log" 2>&1 || { cat "$work/log"; fail "$what"; }
}
install="$root/caster-ffi/packaging/install.sh"

echo "install and uninstall leave nothing"
for layout in "" "LIBDIR=/usr/lib/x86_64-linux-gnu" "LIBDIR=/opt/l INCLUDEDIR=/srv/i MANDIR=/m"; do
    # shellcheck disable=SC2086
    env PREFIX=/usr DESTDIR="$work/a root" $layout "$install" install
    [ "$(find "$work/a root" -type f -o -type l | wc -l)" -ge 9 ] || fail "files are missing"
    # shellcheck disable=SC2086
    env PREFIX=/usr DESTDIR="$work/a root" $layout "$install" uninstall
    left=$(find "$work/a root" -mindepth 1 2>/dev/null || true)
    [ -z "$left" ] || fail "uninstall leaves $left"
done
mkdir -p "$work/a root/usr/lib/pkgconfig"
touch "$work/a root/usr/lib/pkgconfig/other.pc"
PREFIX=/usr DESTDIR="$work/a root" "$install" install
PREFIX=/usr DESTDIR="$work/a root" "$install" uninstall
[ "$(find "$work/a root" -type f)" = "$work/a root/usr/lib/pkgconfig/other.pc" ] ||
    fail "uninstall touches what is not its own"
if PREFIX=relative "$install" install 2>"$work/log"; then fail "a relative PREFIX is taken"; fi

# Built to be at one place, used at another.
PREFIX=$work/first "$install" install
mv "$work/first" "$work/moved"
tree=$work/moved
soname=$(readelf -d "$tree/lib/libcaster.so" | sed -n 's/.*soname: \[\(.*\)\]/\1/p')
[ "$(readlink "$tree/lib/libcaster.so")" = "$soname" ] || fail "libcaster.so is no link to $soname"
[ -f "$tree/lib/$(readlink "$tree/lib/$soname")" ] || fail "$soname is no link to the library"
if grep -rIl "$work/first" "$tree"; then fail "these files know where they have been installed"; fi

echo "the man page"
if command -v man >/dev/null; then
    man -l -Tutf8 --warnings "$tree/share/man/man3/libcaster.3" >/dev/null 2>"$work/log"
    [ ! -s "$work/log" ] || { cat "$work/log"; fail "the man page has errors"; }
else
    missing man "the format of the man page is not tested"
fi
for name in $(grep -o '\bcaster_[a-z_]*' "$tree/share/man/man3/libcaster.3" | sort -u); do
    grep -qw "$name" "$tree/include/caster.h" || fail "the man page has $name, caster.h has not"
done
sed -n '/^#include/,/^\.fi/p' "$tree/share/man/man3/libcaster.3" | sed '/^\.fi/d; s/\\e/\\/g' >"$work/man.c"
# shellcheck disable=SC2086
$cc -std=c99 $warnings -I"$tree/include" -c "$work/man.c" -o "$work/man.o"

# ran PROGRAM HOW: it runs, and is linked as it should be
ran() {
    quiet "$2: the program fails" "$1"
    case $2 in
    *static*) if readelf -d "$1" | grep -q libcaster; then fail "$2: it needs libcaster.so"; fi ;;
    *) readelf -d "$1" | grep -q "$soname" || fail "$2: it does not need $soname" ;;
    esac
    echo "$2: $(head -n 1 "$work/log")"
}
# As if only the static library had been installed.
cp -r "$tree" "$work/static"
rm "$work/static"/lib/libcaster.so*

if command -v pkg-config >/dev/null; then
    pc() { PKG_CONFIG_PATH=$1/lib/pkgconfig; export PKG_CONFIG_PATH; shift; pkg-config "$@" caster; }
    version=$(pc "$tree" --modversion)
    grep -q "CASTER_VERSION_STRING \"$version\"" "$tree/include/caster.h" ||
        fail "caster.pc has version $version, caster.h another"
    # shellcheck disable=SC2046,SC2086
    {
        $cc -std=c99 -D_DEFAULT_SOURCE $warnings "$here/c/main.c" -o "$work/c" \
            $(pc "$tree" --cflags --libs) -Wl,-rpath,"$tree/lib"
        ran "$work/c" "C, pkg-config"
        $cc -std=c99 -D_DEFAULT_SOURCE $warnings "$here/c/main.c" -o "$work/c" \
            $(pc "$work/static" --static --cflags --libs)
        ran "$work/c" "C, pkg-config --static"
        $cc -std=c99 -D_DEFAULT_SOURCE $warnings -static "$here/c/main.c" -o "$work/c" \
            $(pc "$tree" --static --cflags --libs) 2>"$work/log" || { cat "$work/log"; fail "cc -static"; }
        ran "$work/c" "C, pkg-config --static, all static"
        $cxx -std=c++17 $warnings "$here/cpp/main.cpp" -o "$work/cpp" \
            $(pc "$tree" --cflags --libs) -Wl,-rpath,"$tree/lib"
        ran "$work/cpp" "C++, pkg-config"
        $cxx -std=c++17 $warnings "$here/cpp/main.cpp" -o "$work/cpp" \
            $(pc "$work/static" --static --cflags --libs)
        ran "$work/cpp" "C++, pkg-config --static"
    }
else
    missing pkg-config "caster.pc is not tested"
fi

cmake=${CMAKE:-$(command -v cmake || true)}
if [ -z "$cmake" ]; then
    cmake=$tools/bin/cmake
    if [ ! -x "$cmake" ]; then
        "${PYTHON:-python3}" -m venv --clear "$tools" >"$work/log" 2>&1 &&
            "$tools/bin/pip" install -q --disable-pip-version-check cmake >>"$work/log" 2>&1 ||
            cmake=
    fi
fi
if [ -n "$cmake" ]; then
    # with_cmake HOW PROJECT OPTIONS...
    with_cmake() {
        how=$1
        project=$2
        shift 2
        rm -rf "$work/build"
        quiet "$how: cmake" "$cmake" -S "$here/$project" -B "$work/build" -DCMAKE_BUILD_TYPE=Release \
            -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" "$@"
        quiet "$how: build" "$cmake" --build "$work/build"
        ran "$work/build/consumer" "$how"
    }
    with_cmake "C, CMake" c -DCMAKE_PREFIX_PATH="$tree"
    with_cmake "C, CMake, static" c -DCMAKE_PREFIX_PATH="$tree" -DSTATIC=ON
    with_cmake "C++, CMake" cpp -DCMAKE_PREFIX_PATH="$tree" -DHPP="$tree/include/caster.hpp"
    with_cmake "C++, CMake, CASTER_USE_STATIC for static" cpp -DCMAKE_PREFIX_PATH="$tree" -DCASTER_USE_STATIC=ON
    with_cmake "C, CMake, only the static library" c -DCMAKE_PREFIX_PATH="$work/static" -DCASTER_USE_STATIC=ON
    # Projects that take Caster in by its sources. cargo finds what it has built at the first time, and builds without
    # what makes the library small and fast.
    export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1
    for way in OFF ON; do
        rm -rf "$work/build"
        mkdir -p "$work/build" "$tools/embedded" "$work/build/caster" "$work/build/_deps/caster-build"
        ln -s "$tools/embedded" "$work/build/caster/cargo"
        ln -s "$tools/embedded" "$work/build/_deps/caster-build/cargo"
        how="C, add_subdirectory"
        [ "$way" = OFF ] || how="C, FetchContent"
        quiet "$how: cmake" "$cmake" -S "$here/embedded" -B "$work/build" -DROOT="$root" -DFETCH="$way" \
            -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx"
        quiet "$how: build" "$cmake" --build "$work/build"
        ran "$work/build/consumer" "$how"
        ran "$work/build/consumer-cpp" "C++, static, ${how#C, }"
    done
    grep -q "project(Caster VERSION $("$cc" -E -P -dM "$root/include/caster.h" |
        sed -n 's/#define CASTER_VERSION_STRING "\(.*\)"/\1/p') " "$root/CMakeLists.txt" ||
        fail "CMakeLists.txt has another version than caster.h"
    unset CARGO_PROFILE_RELEASE_LTO CARGO_PROFILE_RELEASE_CODEGEN_UNITS CARGO_PROFILE_RELEASE_OPT_LEVEL
    DESTDIR="$work/by cmake" quiet "cmake --install" "$cmake" --install "$work/build" --prefix /usr
    [ "$(find "$work/by cmake" -type f -o -type l | wc -l)" -ge 9 ] || fail "cmake --install: files are missing"

    # refused WHY PROJECT OPTIONS...
    refused() {
        rm -rf "$work/build"
        why=$1
        project=$2
        shift 2
        if "$cmake" -S "$here/$project" -B "$work/build" "$@" >"$work/log" 2>&1; then
            fail "CMake takes a package that it should not: $why"
        fi
        tr '\n' ' ' <"$work/log" | tr -s ' ' | grep -q "$why" || { cat "$work/log"; fail "CMake does not say: $why"; }
    }
    refused "Caster has no component shared" cpp -DCMAKE_PREFIX_PATH="$work/static"
    mkdir "$work/newer"
    sed 's/find_package(Caster 0.2/find_package(Caster 0.3/' "$here/c/CMakeLists.txt" >"$work/newer/CMakeLists.txt"
    cp "$here/c/main.c" "$work/newer"
    here=$work refused 'compatible with requested version "0.3"' newer -DCMAKE_PREFIX_PATH="$tree"
else
    missing cmake "the CMake package is not tested, and PyPI cannot be reached"
fi

echo "beside another library in Rust"
CARGO_TARGET_DIR=$tools/other quiet "the other library" \
    ${CARGO:-cargo} build --release --locked --manifest-path "$here/other/Cargo.toml"
other=$tools/other/release/libother.a
for order in "$tree/lib/libcaster.a $other" "$other $tree/lib/libcaster.a"; do
    # shellcheck disable=SC2086
    {
        $cc -std=c99 -D_DEFAULT_SOURCE $warnings -DWITH_OTHER -I"$tree/include" "$here/c/main.c" \
            -o "$work/both" $order -pthread -ldl -lm
        ran "$work/both" "C, both static"
        $cxx -std=c++17 $warnings -DWITH_OTHER -I"$tree/include" "$here/cpp/main.cpp" \
            -o "$work/both" $order -pthread -ldl -lm
        ran "$work/both" "C++, both static"
    }
done
echo "packaging: all passed"
