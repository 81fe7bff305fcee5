#!/bin/sh
# Runs the tests of the core for other machines, as far as rustup has their standard libraries:
#
#     tests/reliability/foreign.sh
#
# x86_64 with musl: all tests. aarch64 with musl, by qemu: the unit tests, public types and virtual networks. The emulator
# cannot join a group on an interface, and cannot read IP_MULTICAST_IF: tests that need one of them are left out by
# name, and the long simulations for their time. Windows: the C library is linked by mingw, not run.
# Missing parts come from `rustup target add TARGET` and Debian's qemu-user-static and gcc-mingw-w64-x86-64.
set -eu

cargo=${CARGO:-cargo}
libraries=$(rustc --print sysroot)/lib/rustlib
# has TARGET [PROGRAM]
has() {
    [ -d "$libraries/$1/lib" ] || { echo "foreign.sh: skipped $1 (rustup target add $1)"; return 1; }
    [ -z "${2:-}" ] || command -v "$2" >/dev/null || { echo "foreign.sh: skipped $1: no $2"; return 1; }
    echo "foreign.sh: $1"
}

target=x86_64-unknown-linux-musl
if has $target; then
    "$cargo" test -q -p caster-core --target $target
fi

target=aarch64-unknown-linux-musl
if has $target qemu-aarch64-static; then
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER=qemu-aarch64-static
    "$cargo" test -q -p caster-core --target $target --lib -- --skip simulation --skip a_thousand --skip million \
        --skip a_hub_that_has_given_up_gets_no_new_endpoint \
        --skip a_datagram_that_goes_by_sendto_leaves_no_interface_to_the_others
    "$cargo" test -q -p caster-core --target $target --test rust_api --test virtual_network
fi

target=x86_64-pc-windows-gnu
if has $target x86_64-w64-mingw32-gcc; then
    "$cargo" build -q -p caster-ffi --target $target
fi
