#!/bin/sh
# Runs the tests of the Python package with the wheel installed as users do: all of them with the
# Python of the virtual environment, and all but those of types with every other Python from 3.9 on
# that is found in PATH or ~/.pyenv, each in a virtual environment of its own below target/venvs.
#
#   test.sh PYTHON WHEEL_DIRECTORY VENVS      CASTER_PYTHONS="python3.9 ..." or "" instead of all
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
root=$(cd "$here/../.." && pwd)
python=$1
wheel=$(echo "$2"/*.whl)
venvs=$3

version() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.version_info >= (3, 9))' 2>/dev/null
}

CASTER_WHEEL=$wheel
export CASTER_WHEEL
"$python" -m pip install -q --disable-pip-version-check --force-reinstall --no-deps "$wheel"
cd "$here"
"$python" -m pytest -q tests

seen=" $(version "$python" | cut -d' ' -f1) "
if [ -z "${CASTER_PYTHONS+set}" ]; then
    CASTER_PYTHONS=""
    for minor in 9 10 11 12 13 14 15; do
        CASTER_PYTHONS="$CASTER_PYTHONS python3.$minor $(echo "$HOME/.pyenv/versions/3.$minor."*/bin/python)"
    done
fi
for other in $CASTER_PYTHONS; do
    command -v "$other" >/dev/null || continue
    found=$(version "$other") || continue
    number=${found% *}
    [ "${found#* }" = True ] || continue
    case $seen in *" $number "*) continue ;; esac
    venv=$venvs/$number
    if ! cmp -s "$root/tests/requirements-others.txt" "$venv/.ready"; then
        if ! "$other" -m venv --clear "$venv" >/dev/null 2>&1; then
            echo "Python $number has no venv: not tested with it"
            continue
        fi
        "$venv/bin/python" -m pip install -q --disable-pip-version-check -r "$root/tests/requirements-others.txt"
        cp "$root/tests/requirements-others.txt" "$venv/.ready"
    fi
    seen="$seen$number "
    echo "== Python $number"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --force-reinstall --no-deps "$wheel"
    CASTER_EXITS=${CASTER_EXITS:-8} "$venv/bin/python" -m pytest -q tests --ignore tests/test_types.py
done
