#!/usr/bin/env bash
# Installs what the tests skip on machines that lack it. Needs Debian or Ubuntu, and root; elsewhere
# it installs nothing, and with CI=true the tests fail where something is missing.
#
#     .ci/tools.sh [PROGRAM…]
#
# Programs whose package has the same name are installed as well.
set -euo pipefail

missing=()
# need COMMAND PACKAGE
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need abidiff abigail-tools
need valgrind valgrind
need strace strace
need cmake cmake
need pkg-config pkg-config
need clang clang
need man man-db
need systemd-analyze systemd
for program in "$@"; do need "$program" "$program"; done
[ ${#missing[@]} -gt 0 ] || exit 0
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || {
    echo ".ci/tools.sh: missing: ${missing[*]}" >&2
    exit 0
}
export DEBIAN_FRONTEND=noninteractive
for attempt in 1 2 3; do
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null && exit 0
    echo ".ci/tools.sh: attempt $attempt failed" >&2
    sleep $((attempt * 5))
done
exit 1
