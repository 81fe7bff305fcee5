#!/bin/sh
# Compares the C ABI with the committed one: a program that was linked with an earlier libcaster of
# the same soname has to go on working. New functions are fine; anything else that differs is not.
#
#     tests/abi/run.sh RELEASE_FOLDER [--write]
#
# symbols.txt has the names that libcaster.so has to export, constants.txt the numbers that caster.h
# defines. libcaster.abi describes all functions and types of caster.h; `make test-generated` sees to it that caster.h is what the library
# is. --write writes both anew, which is right after functions have been added. What is refused needs
# another soname (ABI in caster-ffi/build.rs), and then --write.
#
# Needs abidw and abidiff of libabigail (Debian: abigail-tools), cc and Python 3. With CI=true a missing
# one is a failure.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
[ $# -ge 1 ] || { echo "usage: $0 RELEASE_FOLDER [--write]" >&2; exit 2; }
library=$1/libcaster.so
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

fail() {
    echo "tests/abi/run.sh: $*" >&2
    exit 1
}

# describe INCLUDE_FOLDER FILE
describe() {
    "${PYTHON:-python3}" "$here/stubs.py" "${CC:-cc}" "$1" >"$work/stubs.c"
    # shellcheck disable=SC2086
    (cd "$work" && ${CC:-cc} -std=c11 -g -O0 -fPIC -shared -I"$1" stubs.c -o libcaster.so -Wl,-soname,"$soname")
    abidw --no-comp-dir-path --no-corpus-path --no-show-locs --no-architecture \
        "$work/libcaster.so" >"$2" 2>"$work/log" || { cat "$work/log"; fail "abidw fails"; }
    # What the compiler and the folders of this machine have to do with it.
    sed -i -e "s| path='[^']*'||" -e '/<elf-needed>/,/<\/elf-needed>/d' -e "s| language='[^']*'||" "$2"
}

# constants INCLUDE_FOLDER: but not the version's
constants() {
    ${CC:-cc} -E -dM -I"$1" -include caster.h -x c /dev/null |
        sed -n 's/^#define \(CASTER_[A-Z0-9_]*\) \((*-*[0-9][0-9a-zA-Z]*)*\)$/\1 \2/p' |
        grep -v '^CASTER_VERSION' | LC_ALL=C sort
}

soname=$(readelf -d "$library" | sed -n 's/.*soname: \[\(.*\)\]/\1/p')
nm -D --defined-only "$library" | awk '{ print $NF }' | LC_ALL=C sort >"$work/symbols"
if [ "${2:-}" = --write ]; then
    describe "$root/include" "$here/libcaster.abi"
    cp "$work/symbols" "$here/symbols.txt"
    constants "$root/include" >"$here/constants.txt"
    echo "tests/abi: written"
    exit
fi

lost=$(LC_ALL=C comm -23 "$here/symbols.txt" "$work/symbols")
[ -z "$lost" ] || fail "libcaster.so does not export any longer: $lost"
constants "$root/include" >"$work/constants"
lost=$(LC_ALL=C comm -23 "$here/constants.txt" "$work/constants")
[ -z "$lost" ] || fail "caster.h does not define these any longer, or not so: $lost"
grep -q "soname='$soname'" "$here/libcaster.abi" || fail "another soname than the baseline: make abi-baseline"

if ! command -v abidiff >/dev/null || ! command -v abidw >/dev/null; then
    [ "${CI:-}" != true ] || fail "abidiff is missing, and CI skips nothing"
    echo "skipped: abidiff is not on this machine (Debian: abigail-tools): the ABI is compared by names only"
    exit
fi

# Without the fields that caster_stats_t has got behind the last one: it tells its size.
known_stats() {
    size=$(sed -n "s/.*name='caster_stats_t' size-in-bits='\([0-9]*\)'.*/\1/p" "$here/libcaster.abi")
    awk -v size="$size" -v quote="'" '
        /<class-decl name=.caster_stats_t/ {
            stats = 1
            match($0, /size-in-bits=.[0-9]+/)
            if (substr($0, RSTART + 14, RLENGTH - 14) + 0 > size + 0)
                sub(/size-in-bits=.[0-9]+./, "size-in-bits=" quote size quote)
        }
        stats && match($0, /layout-offset-in-bits=.[0-9]+/) {
            new = substr($0, RSTART + 23, RLENGTH - 23) + 0 >= size + 0
        }
        !(stats && new) || /<\/class-decl>/
        stats && /<\/data-member>/ { new = 0 }
        /<\/class-decl>/ { stats = 0 }' "$1"
}

# differs INCLUDE_FOLDER: whether a program could notice
differs() {
    describe "$1" "$work/described.abi"
    known_stats "$work/described.abi" >"$work/now.abi"
    ! abidiff --no-added-syms "$here/libcaster.abi" "$work/now.abi" >"$work/diff" 2>&1
}

if differs "$root/include"; then
    cat "$work/diff"
    fail "the ABI is another one: see above and at the top of this file"
fi
# And that it would be noticed; but for what is allowed.
changed() {
    mkdir -p "$work/include"
    sed "$2" "$root/include/caster.h" >"$work/include/caster.h"
    if cmp -s "$root/include/caster.h" "$work/include/caster.h"; then fail "caster.h has nothing to change: $1"; fi
    differs "$work/include"
}
changed "a parameter" 's/int timeout_ms/long timeout_ms/' || fail "another type of a parameter is not noticed"
changed "a field" 's/^  uint64_t received;/  uint32_t received;/' || fail "another type of a field is not noticed"
changed "a field" 's/^  uint64_t received;/  uint64_t r; uint64_t received;/' || fail "a field in the middle is not noticed"
changed "a function" '/^CASTER_API.*caster_node_poll($/s/caster_node_poll(/caster_node_polled(/' || fail "a function that is gone is not noticed"
if changed "the stats" 's/^} caster_stats_t;/  uint64_t last;\n&/'; then
    cat "$work/diff"
    fail "a field that is added to caster_stats_t at its end is refused"
fi
if changed "a function" 's/^CASTER_API.*caster_node_poll($/CASTER_API void caster_new_one(int a);\n&/'; then
    cat "$work/diff"
    fail "a new function is refused"
fi
echo "ABI: $(wc -l <"$here/symbols.txt") functions as they were"
