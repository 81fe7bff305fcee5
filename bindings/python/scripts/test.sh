#!/bin/sh
# Runs the tests of the Python package with the wheel installed as users do: all of them with the
# Python of the virtual environment, and all but those of types and green threads with every other Python from 3.9 on
# that is found in PATH or ~/.pyenv, four at a time, each in a virtual environment of its own.
#
#   test.sh PYTHON WHEEL_DIRECTORY VENVS      CASTER_PYTHONS="python3.9 ..." or "" instead of all
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
root=$(cd "$here/../.." && pwd)

if [ "$1" = other ]; then
    # test.sh other INTERPRETER WHEEL VENV: tells what went wrong, or the last line.
    interpreter=$2 wheel=$3 venv=$4
    log=$venv.log
    wanted=$root/tests/requirements-others.txt
    python=$venv/bin/python
    {
        if ! cmp -s "$wanted" "$venv/.ready"; then
            "$interpreter" -m venv --clear "$venv" &&
                "$python" -m pip install -q --disable-pip-version-check -r "$wanted" &&
                cp "$wanted" "$venv/.ready"
        fi &&
            "$python" -m pip install -q --disable-pip-version-check --force-reinstall --no-deps "$wheel" &&
            cd "$here" &&
            CASTER_WHEEL=$wheel CASTER_EXITS=${CASTER_EXITS:-8} CASTER_EXAMPLES=${CASTER_EXAMPLES:-30} \
                "$python" -m pytest -q -p no:cacheprovider tests --ignore tests/test_types.py --ignore tests/test_green.py
    } >"$log" 2>&1 || {
        cat "$log"
        echo "== $interpreter: failed" >&2
        exit 1
    }
    echo "== $interpreter: $(tail -n 1 "$log")"
    exit
fi

python=$1
wheel=$(echo "$2"/*.whl)
venvs=$3

version() {
    "$1" -c 'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2], sys.version_info >= (3, 9))' 2>/dev/null
}

CASTER_WHEEL=$wheel
export CASTER_WHEEL
"$python" -m pip install -q --disable-pip-version-check --force-reinstall --no-deps "$wheel"
(cd "$here" && "$python" -m pytest -q tests)

if [ -z "${CASTER_PYTHONS+set}" ]; then
    CASTER_PYTHONS=""
    for minor in 9 10 11 12 13 14 15; do
        CASTER_PYTHONS="$CASTER_PYTHONS python3.$minor $(echo "$HOME/.pyenv/versions/3.$minor."*/bin/python)"
    done
fi
mkdir -p "$venvs"
seen=" $(version "$python" | cut -d' ' -f1) "
for other in $CASTER_PYTHONS; do
    found=$(version "$other") || continue # It is not there, or has no venv.
    number=${found% *}
    [ "${found#* }" = True ] || continue
    case $seen in *" $number "*) continue ;; esac
    seen="$seen$number "
    echo "$other $wheel $venvs/$number"
done | xargs -r -L 1 -P 4 sh "$0" other
