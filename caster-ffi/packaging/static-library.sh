#!/bin/sh
# Makes libcaster.a what C programs expect of a static library: one object, with nothing that is
# not needed and no names but caster_*.
#
#     static-library.sh LIBCASTER_A      (as cargo has made it; it is replaced)
#
# The archive that cargo makes has Rust's standard library in it with all its names. Linked beside
# another library that is written in Rust, some would clash (rust_eh_personality and others).
# Needs ld, objcopy, nm and ar of GNU binutils and Python 3; LD, OBJCOPY, NM, AR and PYTHON name others.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 LIBCASTER_A" >&2; exit 2; }
archive=$1
ld=${LD:-ld}
objcopy=${OBJCOPY:-objcopy}
nm=${NM:-nm}
ar=${AR:-ar}

# Has it been done? (The plugin for LLVM bitcode that some systems give ar and nm cannot read
# rustc's, and says so.)
[ "$($ar t "$archive" 2>/dev/null)" != caster.o ] || exit 0

work=$(mktemp -d "$(dirname "$archive")/static.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

$nm --defined-only "$archive" 2>/dev/null | awk '$2 == "T" && $3 ~ /^caster_/ { print $3 }' |
    sort -u >"$work/names"
[ -s "$work/names" ] || { echo "$0: no caster_* in $archive" >&2; exit 1; }
sed 's/^/-u /' "$work/names" >"$work/roots"

# Without --force-group-allocation the group of DW.ref.rust_eh_personality would stay a group, and
# the linker of the program would take one of two and drop the other, though its name is local.
$ld -r --gc-sections --force-group-allocation "@$work/roots" -o "$work/all.o" "$archive"
$ld -r -T "$(dirname "$0")/static-library.ld" -o "$work/merged.o" "$work/all.o"
$objcopy --wildcard --keep-global-symbol='caster_*' --strip-debug \
    --remove-section=.comment --remove-section=.llvmbc --remove-section=.llvmcmd \
    "$work/merged.o" "$work/caster.o"
# Now that the other names are local, calls between functions can be resolved.
"${PYTHON:-python3}" "$(dirname "$0")/resolve.py" "$work/caster.o"
$objcopy --strip-unneeded "$work/caster.o"
$nm --defined-only --extern-only "$work/caster.o" 2>/dev/null | awk '{ print $3 }' | sort |
    cmp -s - "$work/names" || { echo "$0: not all of caster_* is in the object" >&2; exit 1; }
(cd "$work" && $ar rcsD libcaster.a caster.o)
mv -f "$work/libcaster.a" "$archive"
