#!/bin/sh
# Builds the C library with a sanitizer of rustc, links it statically with every example in C and C++ and
# every program of tests/c and tests/cpp, which the same sanitizer of the C compiler instruments, and runs them.
#
#     tests/c/instrumented.sh address|thread [NAME...]     (as in: thread test_inside)
#
# `address` finds errors of memory and leaks, with the undefined behaviour sanitizer for the C and C++ code.
# `thread` finds data races. It compiles Rust's standard library again, as locks that are not instrumented look like
# none. Below it no child starts threads: the sanitizer does not permit that. RUSTC_BOOTSTRAP=1 permits -Z with the stable toolchain.
set -eu

[ $# -ge 1 ] || { echo "usage: $0 address|thread [NAME...]" >&2; exit 2; }
kind=$1
shift
cc=${CC:-cc}
cxx=${CXX:-c++}
root=$(cd "$(dirname "$0")/../.." && pwd)
triple=$(rustc -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-$root/target}/sanitize-$kind
library=$target/$triple/release/libcaster.a
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

fail() {
    echo "tests/c/instrumented.sh: $*" >&2
    exit 1
}

case $kind in
address)
    compiling=-fsanitize=address,undefined linking=-fsanitize=address,undefined standard_library=
    ;;
thread)
    if [ ! -f "$(rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ]; then
        echo "tests/c/instrumented.sh: skipped $kind: no sources of the standard library (rustup component add rust-src)"
        exit 0
    fi
    standard_library=-Zbuild-std=std,panic_unwind
    compiling=-fsanitize=thread
    # Its own runtime: older ones of C compilers lack functions that it calls.
    runtime=$(rustc --print sysroot)/lib/rustlib/$triple/lib/librustc-stable_rt.tsan.a
    linking="-Wl,--whole-archive $runtime -Wl,--no-whole-archive -rdynamic -lrt"
    ;;
*) fail "no such sanitizer: $kind" ;;
esac

echo "the library with the $kind sanitizer"
# shellcheck disable=SC2086
RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$target CARGO_INCREMENTAL=0 \
    RUSTFLAGS="-Zsanitizer=$kind -Cforce-frame-pointers=yes -Cunsafe-allow-abi-mismatch=sanitizer" \
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    CARGO_PROFILE_RELEASE_DEBUG=line-tables-only CARGO_PROFILE_RELEASE_STRIP=none \
    "${CARGO:-cargo}" rustc -q --release $standard_library --target "$triple" -p caster-ffi --lib --crate-type staticlib
# For the test that loads and unloads it: a second copy, without instruments.
ln -s "${CARGO_TARGET_DIR:-$root/target}/release/libcaster.so" "$work/libcaster.so.0"
export LD_LIBRARY_PATH="$work${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

# Less than without tools, which are slower. Callbacks and forks of their own process are as without.
export CASTER_LIVES=60 CASTER_EXITS=6 CASTER_SECONDS=5 CASTER_MEMORY_KIB=600000
export ASAN_OPTIONS=detect_leaks=1:handle_abort=0 UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=second_deadlock_stack=1:exitcode=66

ran=0
for source in "$root"/tests/c/test_*.c "$root"/examples/*.c "$root"/tests/cpp/test_*.cpp "$root"/examples/*.cpp; do
    name=$(basename "$source" | tr . -)
    case $name in hello-* | first-*) continue ;; esac # two of them have to meet; sanitizers.sh does that
    if [ $# -gt 0 ]; then
        case " $* " in *" ${name%-*} "*) ;; *) continue ;; esac
    fi
    case $source in
    *.c) compiler="$cc -std=c11" ;;
    *) compiler="$cxx -std=c++17" ;;
    esac
    # shellcheck disable=SC2086,SC2046
    $compiler -g -O1 $compiling -fno-sanitize-recover=undefined -fno-omit-frame-pointer \
        $(sed -n 's|^// flags: ||p' "$source") -I"$root/include" -c "$source" -o "$work/$name.o" &&
        ${compiler%% *} "$work/$name.o" $linking "$library" -o "$work/$name" \
            -pthread -ldl -lm || fail "$source does not compile"
    case $name in test_*) arguments= ;; *) arguments=--selftest ;; esac
    status=0
    # A forked child keeps the memory of its parent until it ends: no leaks are looked for.
    case $name in test_fork-* | test_lives-* | test_exceptions-*) leaks=:detect_leaks=0 ;; *) leaks= ;; esac
    ASAN_OPTIONS=$ASAN_OPTIONS$leaks timeout 300 "$work/$name" $arguments >"$work/log" 2>&1 || status=$?
    [ "$status" = 0 ] || { cat "$work/log"; fail "$name: status $status with the $kind sanitizer"; }
    echo "  $name"
    ran=$((ran + 1))
done
[ $ran -gt 0 ] || fail "no program has one of these names: $*"
echo "$kind sanitizer: $ran programs passed"
