# Sourced by the scripts here: things from npm, once, into target/node-tools.

here=$(cd "$(dirname "$0")" && pwd)
package=$(dirname "$here")
root=$(cd "$package/../.." && pwd)
tools=$root/target/node-tools
mkdir -p "$tools"

# install NAME SPEC…: packages into target/node-tools/NAME, without their install scripts. It is put
# together elsewhere and renamed into place, so that it may run several times at once.
install() {
    name=$1
    shift
    [ ! -d "$tools/$name" ] || return 0
    new=$(mktemp -d "$tools/.installing.XXXXXX")
    echo '{"private": true}' >"$new/package.json"
    npm install --prefix "$new" --ignore-scripts --no-audit --no-fund --no-update-notifier \
        --loglevel=error "$@" >"$new/log" 2>&1 || {
        cat "$new/log" >&2
        rm -rf "$new"
        echo "cannot install $* from npm" >&2
        exit 1
    }
    mv -T "$new" "$tools/$name" 2>/dev/null || rm -rf "$new"
}

# The processor as npm names it.
case $(uname -m) in
x86_64) arch=x64 ;;
aarch64) arch=arm64 ;;
*) arch=$(uname -m) ;;
esac

# runtime VERSION: installs a version of Node.js, `newest`, or `bun`; $runtime is the program then.
runtime() {
    case $1 in
    bun)
        install bun "@oven/bun-linux-$arch"
        runtime=$tools/bun/node_modules/@oven/bun-linux-$arch/bin/bun
        ;;
    *)
        spec=$1
        [ "$spec" != newest ] || spec=latest
        install "node-$1" "node-linux-$arch@$spec"
        runtime=$tools/node-$1/node_modules/node-linux-$arch/bin/node
        ;;
    esac
}
