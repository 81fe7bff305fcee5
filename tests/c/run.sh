#!/bin/sh
# Tests the C library as a C or C++ program sees it.
#
#     tests/c/run.sh TARGET_FOLDER     (where cargo has put libcaster.so, as in target/release)
#
# Needs cc, c++, nm and readelf; CC and CXX name others.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 TARGET_FOLDER" >&2; exit 2; }
root=$(cd "$(dirname "$0")/../.." && pwd)
target=$(cd "$1" && pwd)
cc=${CC:-cc}
cxx=${CXX:-c++}
warnings='-Wall -Wextra -Wpedantic -Werror'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

fail() {
    echo "run.sh: $*" >&2
    exit 1
}

library=$target/libcaster.so
[ -f "$library" ] || fail "there is no $library; run cargo build -p caster-ffi"
# The names that an installation has.
soname=libcaster.so.0
ln -s "$library" "$work/$soname"
ln -s "$soname" "$work/libcaster.so"

echo "symbols and soname"
readelf -d "$library" | grep -q "Library soname: \[$soname\]" || fail "the soname is not $soname"
readelf -d "$library" | grep -q NODELETE || fail "the library is not marked NODELETE"
readelf -d "$library" | grep -q 'FLAGS.*NOW' || fail "the library does not bind all symbols at once"
readelf -lW "$library" | grep -q GNU_RELRO || fail "the library has no RELRO segment"
nm -D --defined-only "$library" | awk '{ print $NF }' | sort >"$work/exported"
others=$(grep -v '^caster_' "$work/exported" || true)
[ -z "$others" ] || fail "symbols that are not caster_*: $others"
# The header declares what is exported, and the tests call every function.
grep -o '\bcaster_[a-z0-9_]*(' "$root/include/caster.h" | tr -d '(' | sort -u >"$work/declared"
cmp -s "$work/exported" "$work/declared" ||
    fail "the header and the library differ: $(diff "$work/exported" "$work/declared" || true)"
while read -r name; do
    grep -q "\b$name\b" "$root"/tests/c/*.c "$root"/tests/c/*.h || fail "no test calls $name"
done <"$work/exported"

echo "the header by itself"
echo '#include <caster.h>' >"$work/header.c"
cp "$work/header.c" "$work/header.cpp"
for standard in c99 c11 c17 c2x; do
    # shellcheck disable=SC2086
    $cc -std=$standard $warnings -I"$root/include" -fsyntax-only "$work/header.c"
done
for standard in c++17 c++20; do
    # shellcheck disable=SC2086
    $cxx -std=$standard $warnings -I"$root/include" -fsyntax-only "$work/header.cpp"
done

# build COMPILER STANDARD SOURCE PROGRAM: with what its line "// flags: ..." asks for
build() {
    # shellcheck disable=SC2086,SC2046
    "$1" -std="$2" -g -O1 $warnings $(sed -n 's|^// flags: ||p' "$3") -I"$root/include" "$3" -o "$work/$4" \
        -L"$work" -lcaster -pthread -Wl,-rpath,"$work"
}

build "$cc" c11 "$root/tests/interop/peers/peer.c" peer
# Each with --selftest runs by itself on 127.0.0.1 for a few seconds and ends with status 0 if what it
# shows did happen. hello.* are run by sanitizers.sh and by make demo, first.* by the interop tests.
for source in "$root"/examples/*.c "$root"/examples/*.cpp; do
    name=$(basename "$source" | tr . -)
    case $source in
    *.c) build "$cc" c99 "$source" "$name" ;;
    *) build "$cxx" c++17 "$source" "$name" ;;
    esac
    case $name in
    hello-* | first-*) continue ;;
    esac
    echo "$(basename "$source")"
    timeout 60 "$work/$name" --selftest >"$work/log" 2>&1 || { cat "$work/log"; fail "$source --selftest failed"; }
done

for source in "$root"/tests/c/test_*.c; do
    name=$(basename "$source" .c)
    name=${name#test_}
    build "$cc" c11 "$root/tests/c/test_$name.c" "test_$name"
    build "$cc" c99 "$root/tests/c/test_$name.c" "test_$name"
    echo "test_$name.c"
    "$work/test_$name" || fail "test_$name failed"
done
for source in "$root"/tests/cpp/test_*.cpp; do
    name=$(basename "$source" .cpp)
    name=${name#test_}
    build "$cxx" c++20 "$root/tests/cpp/test_$name.cpp" "test_$name"
    build "$cxx" c++17 "$root/tests/cpp/test_$name.cpp" "test_$name"
    echo "test_$name.cpp"
    "$work/test_$name" || fail "test_$name failed"
done

echo "linked statically"
# shellcheck disable=SC2086
"$cc" -std=c99 $warnings -I"$root/include" "$root/tests/c/test_options.c" \
    "$target/libcaster.a" -o "$work/static" -pthread -ldl -lm
"$work/static" >"$work/log" || fail "test_options failed with libcaster.a"

echo "C and C++: all passed"
