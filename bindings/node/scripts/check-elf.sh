#!/bin/sh
# Checks a binary that does not run here:  check-elf.sh linux-ARCH-LIBC FILE
# The processor, the C library and its version, and the symbols that Node.js requires have to be right.
set -eu

folder=$1
file=$2

fail() {
    echo "check-elf.sh: $file is not for $folder: $1" >&2
    exit 1
}

machine=$(LC_ALL=C readelf -h "$file" | sed -n 's/.*Machine: *//p')
needed=$(readelf -dW "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort | tr '\n' ' ')
symbols=$(readelf --dyn-syms -W "$file")

case $folder in
*-x64-*) [ "$machine" = "Advanced Micro Devices X86-64" ] || fail "the processor is $machine" ;;
*-arm64-*) [ "$machine" = "AArch64" ] || fail "the processor is $machine" ;;
*) fail "no such folder" ;;
esac
case $folder in
*-glibc)
    case " $needed" in *" libc.so.6 "*) ;; *) fail "it needs $needed" ;; esac
    newest=$(readelf -VW "$file" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -V | tail -n 1)
    [ "$(printf '%s\n2.28\n' "$newest" | sort -V | tail -n 1)" = 2.28 ] || fail "it needs glibc $newest"
    ;;
*-musl) [ "$needed" = "libc.so " ] || fail "it needs $needed" ;;
esac
echo "$symbols" | grep -q ' napi_register_module_v1$' || fail "it has no napi_register_module_v1"
