#!/bin/sh
# Compares the C ABI with the committed one: a program that was linked with an earlier libcaster of
# the same soname has to go on working. New functions are fine, and so are new fields at the end of
# caster_stats_t, which tells its size; anything else that differs is not.
#
#     tests/abi/run.sh RELEASE_FOLDER [--write]
#
# symbols.txt has the names that libcaster.so has to export, constants.txt the numbers that caster.h
# defines. libcaster.abi is what abidw finds in libcaster.so, built with debug=2 (with less, it sees no
# types), reduced by describe.py to what belongs to the ABI. That build is not optimised and takes half
# a minute; how functions are called and structs are laid out does not depend on it. Then the check
# is checked: libcaster.so is built with everything changed that must be noticed.
#
# --write writes all three files again, which is right after functions have been added. A refusal needs
# another soname (ABI in caster-ffi/build.rs), and then --write.
#
# Needs cargo, cc, Python 3, and abidw and abidiff of libabigail (Debian: abigail-tools). With CI=true a
# missing one is a failure.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
[ $# -ge 1 ] || { echo "usage: $0 RELEASE_FOLDER [--write]" >&2; exit 2; }
library=$1/libcaster.so
cargo=${CARGO:-cargo}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

fail() {
    echo "tests/abi/run.sh: $*" >&2
    exit 1
}
# quiet COMMAND...: its output only if it fails
quiet() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "$1 fails"; }
}

symbols() {
    nm -D --defined-only "$1" | awk '{ print $NF }' | LC_ALL=C sort
}
# constants INCLUDE_FOLDER: but not the version's
constants() {
    ${CC:-cc} -E -dM -I"$1" -include caster.h -x c /dev/null |
        sed -n 's/^#define \(CASTER_[A-Z0-9_]*\) \((*-*[0-9][0-9a-zA-Z]*)*\)$/\1 \2/p' |
        grep -v '^CASTER_VERSION' | LC_ALL=C sort
}
# describe LIBRARY FILE [BASELINE]
describe() {
    quiet abidw --no-comp-dir-path --no-corpus-path --no-show-locs --no-architecture --no-elf-needed \
        --no-parameter-names --out-file "$work/abidw.abi" "$1"
    "${PYTHON:-python3}" "$here/describe.py" "$root/include/caster.h" ${3:+"$3"} <"$work/abidw.abi" >"$2"
}
# differs LIBRARY: whether a program could notice
differs() {
    describe "$1" "$work/now.abi" "$here/libcaster.abi"
    ! abidiff --no-added-syms "$here/libcaster.abi" "$work/now.abi" >"$work/diff" 2>&1
}

write=
[ "${2:-}" != --write ] || write=yes
symbols "$library" >"$work/symbols"
constants "$root/include" >"$work/constants"
if [ -z "$write" ]; then
    lost=$(LC_ALL=C comm -23 "$here/symbols.txt" "$work/symbols")
    [ -z "$lost" ] || fail "libcaster.so does not export any longer: $lost"
    lost=$(LC_ALL=C comm -23 "$here/constants.txt" "$work/constants")
    [ -z "$lost" ] || fail "caster.h does not define these any longer, or not so: $lost"
    mkdir "$work/include"
    sed 's/^#define CASTER_EVENT_DOWN /&1/' "$root/include/caster.h" >"$work/include/caster.h"
    constants "$work/include" | LC_ALL=C comm -23 "$here/constants.txt" - | grep -q '^CASTER_EVENT_DOWN ' ||
        fail "another number for a constant is not noticed"
    soname=$(readelf -d "$library" | sed -n 's/.*soname: \[\(.*\)\]/\1/p')
    grep -q "soname=\"$soname\"" "$here/libcaster.abi" || fail "another soname than the baseline: make abi-baseline"
fi

if ! command -v abidiff >/dev/null || ! command -v abidw >/dev/null; then
    [ "${CI:-}" != true ] && [ -z "$write" ] || fail "abidiff is missing (Debian: abigail-tools), and CI skips nothing"
    echo "skipped: abidiff is not on this machine (Debian: abigail-tools): the ABI is compared by names only"
    exit
fi
# The baseline has the types of this one: char has no sign on others.
if [ "$(uname -m)" != x86_64 ]; then
    [ -z "$write" ] || fail "the baseline is written on x86_64"
    echo "skipped: the types are compared on x86_64 only: here, the ABI is compared by names"
    exit
fi

# The same sources; that of caster-ffi with all there is to know about types.
(cd "$root" && $cargo build --locked -p caster-ffi --config profile.dev.package.caster-ffi.debug=2 \
    --message-format=json 2>"$work/log" >"$work/built") || { cat "$work/log" >&2; fail "$cargo build fails"; }
# built NAME: the file of this name
built() {
    grep -o "\"[^\"]*/$1\"" "$work/built" | tr -d '"' | head -n 1
}
described=$(built 'libcaster\.so')
symbols "$described" | cmp -s - "$work/symbols" || fail "$described and $library do not export the same: build both"
if [ -n "$write" ]; then
    describe "$described" "$work/libcaster.abi"
    mv "$work/libcaster.abi" "$here/libcaster.abi"
    cp "$work/symbols" "$here/symbols.txt"
    cp "$work/constants" "$here/constants.txt"
    chmod 644 "$here/libcaster.abi"
    echo "tests/abi: written"
    exit
fi
if differs "$described"; then
    cat "$work/diff"
    fail "the ABI is another one: see above and at the top of this file"
fi

# changed: builds $work/src, which has been changed
changed() {
    version=$(sed -n 's/^version = "\([0-9.]*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
    rest=${version#*.}
    core=$(built 'libcaster_core-[0-9a-f]*\.rlib')
    quiet env CARGO_PKG_VERSION="$version" CARGO_PKG_VERSION_MAJOR="${version%%.*}" \
        CARGO_PKG_VERSION_MINOR="${rest%%.*}" CARGO_PKG_VERSION_PATCH="${rest#*.}" \
        "${RUSTC:-rustc}" --edition 2024 --crate-name caster --crate-type cdylib -C debuginfo=2 --cap-lints allow \
        -L dependency="$(dirname "$core")" --extern caster_core="$core" \
        --extern log="$(built 'liblog-[0-9a-f]*\.rlib')" -C link-arg=-Wl,-soname,"$soname" \
        "$work/src/lib.rs" -o "$work/libcaster.so"
}
# change FILE SED_SCRIPT: which must change something
change() {
    sed "$2" "$root/caster-ffi/src/$1" | cmp -s - "$root/caster-ffi/src/$1" && fail "$1 has nothing for $2"
    sed -i "$2" "$work/src/$1"
}
# noticed WHAT PATTERN: the report has a line with it
noticed() {
    grep -q "$2" "$work/diff" || { cat "$work/diff"; fail "not noticed: $1"; }
}

cp -r "$root/caster-ffi/src" "$work/src"
change node.rs 's/timeout_ms: c_int/timeout_ms: i64/; s/(try_handle!(node), timeout_ms,/(try_handle!(node), timeout_ms as c_int,/; s/(node, timeout_ms,/(node, timeout_ms as c_int,/'
change node.rs 's/caster_node_count(node: \*const Node)/caster_node_count(node: *const Node, _more: c_int)/'
change node.rs 's/caster_node_free(node: \*mut Node) {/caster_node_free(node: *mut Event) { let node = node.cast::<Node>();/'
change node.rs 's/fn caster_node_ttl(/fn caster_node_hops(/'
change status.rs 's/caster_version_number() -> c_int/caster_version_number() -> i64/; s/^    VERSION$/    VERSION.into()/'
change callback.rs 's/fn(user_data: \*mut c_void)>;/fn(user_data: *mut c_void) -> i32>;/'
change stats.rs 's/pub accepted: u64/pub accepted: i64/; s/stats\.\$counted,/stats.$counted as _,/'
change stats.rs 's/^    pub sent: u64,/    pub early: u64, &/; s/^ *dropped: stats.dropped_total(),/early: 0, &/'
changed
differs "$work/libcaster.so" || fail "nothing is noticed"
noticed "another type of a parameter" "[ *]caster_node_poll("
noticed "a parameter more" "[ *]caster_node_count("
noticed "another object" "[ *]caster_node_free("
noticed "a function that is gone" "\[D\].*[ *]caster_node_ttl("
noticed "another type of a result" "[ *]caster_version_number("
noticed "another type of a callback" "[ *]caster_set_log("
noticed "another type of a field" "[ *]accepted'"
noticed "a field in the middle" "[ *]early'"

rm -rf "$work/src"
cp -r "$root/caster-ffi/src" "$work/src"
change stats.rs '/^pub struct Stats {/,/^}/s/^}/    pub last: u64,\n}/; s/size: size_of::<Self>(),/& last: 0,/'
change status.rs '$a #[unsafe(no_mangle)]\npub extern "C" fn caster_new_one(a: c_int) -> c_int { a }'
changed
symbols "$work/libcaster.so" | grep -qx caster_new_one || fail "the new function is not in the library"
if differs "$work/libcaster.so"; then
    cat "$work/diff"
    fail "a new function, or a new field at the end of caster_stats_t, is refused"
fi
echo "ABI: $(wc -l <"$here/symbols.txt") functions as they were"
