#!/bin/sh
# Runs every example in C and C++ and every program of tests/c and tests/cpp under valgrind (memory,
# leaks, file descriptors) and with the address and undefined behaviour sanitizers of the compiler.
#
#     tests/c/sanitizers.sh TARGET_FOLDER     (where cargo has put libcaster.so, as in target/release)
#
# hello.* are run in pairs that have to find each other; the other examples run by themselves with
# --selftest. With CI=true a missing tool is a failure.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 TARGET_FOLDER" >&2; exit 2; }
root=$(cd "$(dirname "$0")/../.." && pwd)
target=$(cd "$1" && pwd)
cc=${CC:-cc}
cxx=${CXX:-c++}
work=$(mktemp -d)
started=
cleanup() {
    # shellcheck disable=SC2086
    [ -z "$started" ] || kill -KILL $started 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM
ln -s "$target/libcaster.so" "$work/libcaster.so.0"
ln -s libcaster.so.0 "$work/libcaster.so"

fail() {
    echo "tests/c/sanitizers.sh: $*" >&2
    exit 1
}
missing() {
    [ "${CI:-}" != true ] || fail "$1 is missing, and CI skips nothing"
    echo "skipped: $1 is not on this machine: $2"
}

# build HOW FLAGS...: every program, into the folder of that name
build() {
    how=$1
    shift
    mkdir "$work/$how"
    for source in "$root"/tests/c/test_*.c "$root"/examples/*.c \
        "$root"/tests/cpp/test_*.cpp "$root"/examples/*.cpp; do
        case $source in */first.c*) continue ;; esac # run by the interop tests
        [ -f "$source" ] || continue
        name=$(basename "$source" | tr . -)
        case $source in
        *.c) compiler="$cc -std=c11" ;;
        *) compiler="$cxx -std=c++17" ;;
        esac
        # shellcheck disable=SC2086,SC2046
        $compiler -g -O1 "$@" $(sed -n 's|^// flags: ||p' "$source") -I"$root/include" "$source" -o "$work/$how/$name" \
            -L"$work" -lcaster -pthread -Wl,-rpath,"$work" || fail "$source does not compile ($how)"
    done
}

# pair TOOL PROGRAM...: two of them find each other, hear each other, and end when asked to
port=$((22000 + $$ % 10000))
pair() {
    tool=$1
    port=$((port + 1))
    options="{\"address\": \"127.0.0.1\", \"port\": $port}"
    shift
    # shellcheck disable=SC2086
    $tool "$@" "$options" >"$work/first" 2>"$work/first.log" &
    first=$!
    # shellcheck disable=SC2086
    $tool "$@" "$options" >"$work/second" 2>"$work/second.log" &
    second=$!
    started="$first $second"
    tries=0
    until grep -q ^message "$work/first" && grep -q ^message "$work/second"; do
        tries=$((tries + 1))
        [ $tries -le 300 ] || fail "$* do not find each other: $(cat "$work/first.log" "$work/second.log")"
        sleep 0.2
    done
    kill -TERM "$first" "$second"
    status=0
    wait "$first" || status=$?
    wait "$second" || status=$?
    started=
    cat "$work/first.log" "$work/second.log" >"$work/log"
    return $status
}

# every TOOL FOLDER
every() {
    for program in "$2"/*; do
        name=$(basename "$program")
        status=0
        case $name in
        hello-*) pair "$1" "$program" || status=$? ;;
        # A forked child frees nothing of its parent and keeps its descriptors until it ends: memory
        # and descriptors that it has left are no leak.
        # shellcheck disable=SC2086
        test_fork-* | test_lives-* | test_exceptions-*) ${1%%--leak-check*} "$program" >"$work/out" 2>"$work/log" || status=$? ;;
        # shellcheck disable=SC2086
        test_*) $1 "$program" >"$work/out" 2>"$work/log" || status=$? ;;
        # shellcheck disable=SC2086
        *) $1 "$program" --selftest >"$work/out" 2>"$work/log" || status=$? ;;
        esac
        [ "$status" = 0 ] || { cat "$work/log"; fail "$name: status $status with $1"; }
        if [ "$1" != env ] && open=$(grep -A 1 'Open file descriptor\|Open AF_' "$work/log" |
            grep -B 1 -v 'Open \|inherited from parent\|^--' | grep 'Open '); then
            cat "$work/log"
            fail "$name: not closed: $open"
        fi
        echo "  $name"
    done
}

# Fewer lives and exits than without tools, which are slower.
export CASTER_LIVES=60 CASTER_EXITS=6 CASTER_SECONDS=2 CASTER_MEMORY_KIB=300000

if command -v valgrind >/dev/null; then
    echo "valgrind"
    build plain
    every "valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect,possible
        --errors-for-leak-kinds=definite,indirect,possible --track-fds=yes --child-silent-after-fork=yes
        --suppressions=$root/tests/c/valgrind.supp" "$work/plain"
else
    missing valgrind "nothing is run under it"
fi

echo 'int main(void) { return 0; }' >"$work/main.c"
if $cc -fsanitize=address,undefined "$work/main.c" -o "$work/main" 2>/dev/null && "$work/main"; then
    echo "address and undefined behaviour sanitizers"
    build sanitized -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
    # abort() of the tests of exceptions is meant.
    ASAN_OPTIONS=detect_leaks=1:handle_abort=0 UBSAN_OPTIONS=print_stacktrace=1 \
        every env "$work/sanitized"
else
    missing "libasan and libubsan" "nothing is run with the sanitizers of $cc"
fi
echo "sanitizers: all passed"
