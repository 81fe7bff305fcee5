#!/bin/sh
# Builds the Python packages for all supported platforms, into target/dist: the sdist, and for each target one
# wheel for every Python from 3.9 on (abi3) and one for Python 3.14 with free threading, manylinux2014
# and musllinux_1_2, for x86_64 and aarch64. They are checked with auditwheel and
# abi3audit, and those for this machine are installed and tried.
#
# Needed: Rust by rustup, Python 3.10 or newer with venv. zig, maturin and the tools come from PyPI
# into target/dist-tools-python, the standard libraries of the targets from rustup. A target that
# cannot be had ends it, unless CASTER_TARGETS names those that are wanted.
set -eu

package=$(cd "$(dirname "$0")/.." && pwd)
root=$(cd "$package/../.." && pwd)
target_dir=${CARGO_TARGET_DIR:-$root/target}
tools=$target_dir/dist-tools-python
dist=$target_dir/dist
python=${PYTHON:-python3}
all="x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-unknown-linux-musl aarch64-unknown-linux-musl"

wanted=$root/tests/requirements-dist.txt
if ! cmp -s "$wanted" "$tools/.ready"; then
    "$python" -m venv --clear "$tools"
    "$tools/bin/pip" install -q --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$tools/.ready"
fi
PATH=$tools/bin:$PATH
export PATH

mkdir -p "$dist"
version=$(sed -n 's/^version = "\([0-9.]*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
sdist=$dist/caster-$version.tar.gz # the command is caster-VERSION-ARCHITECTURE-linux.tar.gz
rm -f "$dist"/caster-*.whl "$sdist"
for target in ${CASTER_TARGETS:-$all}; do
    if ! rustup target add "$target" >"$tools/log" 2>&1; then
        cat "$tools/log" >&2
        echo "dist.sh: Rust for $target cannot be had; CASTER_TARGETS leaves it out" >&2
        exit 1
    fi
    case $target in
    *-musl) compatibility=musllinux_1_2 ;;
    *) compatibility=manylinux2014 ;;
    esac
    for interpreter in python3.9 python3.14t; do
        echo "== $target, $interpreter"
        (cd "$package" && maturin build -q --release --zig --target "$target" \
            --compatibility "$compatibility" -i "$interpreter" -o "$dist")
    done
    case $target in
    *-musl)
        # zig calls musl's library libc.so; wheels have to call it by the name that Alpine gives it.
        for wheel in "$dist"/caster-*musllinux*"${target%%-*}".whl; do
            rm -rf "$tools/content"
            wheel unpack -d "$tools/content" "$wheel"
            patchelf --replace-needed libc.so "libc.musl-${target%%-*}.so.1" \
                "$tools/content"/caster-*/caster/_caster*.so
            wheel pack -d "$dist" "$tools/content"/caster-*
        done
        ;;
    esac
done
(cd "$package" && maturin sdist -o "$dist")

here=$(uname -m)
for wheel in "$dist"/caster-*.whl; do
    # It says the newest platform that the wheel fits; that has to be in its name.
    found=$(auditwheel show "$wheel" | tr '\n' ' ' | sed -n 's/.*platform tag: "\([^"]*\)".*/\1/p')
    case $(basename "$wheel") in
    *"${found:-nothing}"*) ;;
    *) echo "dist.sh: auditwheel takes $wheel for ${found:-nothing that it knows}" >&2; exit 1 ;;
    esac
    case $wheel in
    *abi3*) abi3audit --strict "$wheel" ;;
    esac
    rm -rf "$tools/content"
    "$python" -m zipfile -e "$wheel" "$tools/content"
    if grep -rlF -e "$root" -e "$HOME/" "$tools/content"; then
        echo "dist.sh: $wheel holds paths of this machine" >&2
        exit 1
    fi
done

"$python" -m venv --clear "$tools/try"
"$tools/try/bin/pip" install -q --disable-pip-version-check --no-index \
    "$dist"/caster-*-cp39-abi3-manylinux*"$here".whl
"$tools/try/bin/python" -c "import caster; print(caster.__version__)"
# With another linker and another unwinder than in `make test`, the exit is what can go wrong.
"$tools/try/bin/pip" install -q --disable-pip-version-check pytest
(cd "$package" && "$tools/try/bin/python" -m pytest -q -p no:cacheprovider tests/test_exit.py)
# The sdist is enough to build from.
"$python" -m venv --clear "$tools/try"
"$tools/try/bin/pip" install -q --disable-pip-version-check "$sdist"
"$tools/try/bin/python" -c "import caster; print(caster.__version__, 'from the sdist')"
ls -l "$dist"/caster-*.whl "$sdist"
