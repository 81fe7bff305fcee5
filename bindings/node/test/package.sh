#!/bin/sh
# The package as users get it: packed, installed offline by npm 11 and 12 where there is no Rust and
# no network, run as CommonJS, as a module and by Bun; its types compiled; publint and
# are-the-types-wrong. Everything else comes from npm into target/node-tools. NODE is the Node.js
# for npm 11; npm 12 runs on the newest.
set -eu

. "$(dirname "$0")/install.sh"
node=$(command -v "${NODE:-node}")
work=$tools/package
rm -rf "$work"
mkdir -p "$work"

runtime newest
newest=$runtime
runtime bun
bun=$runtime
install npm-11 npm@11
install npm-12 npm@12
install lint publint @arethetypeswrong/cli
install types typescript @types/node

offline= # a network namespace in which there is nothing
if unshare -rn true 2>/dev/null; then
    offline="unshare -rn"
elif [ -n "${CI:-}" ]; then
    echo "unshare -rn does not work here, and CI skips nothing" >&2
    exit 1
fi

for major in 11 12; do
    program=$node
    [ "$major" = 11 ] || program=$newest
    npm=$tools/npm-$major/node_modules/npm/bin/npm-cli.js
    echo "== npm $("$program" "$npm" --version) on Node.js $("$program" --version)"
    (cd "$package" && PATH=$(dirname "$program"):$PATH "$program" "$npm" pack --silent \
        --pack-destination "$work") >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    tarball=$(echo "$work"/caster-*.tgz)
    [ ! -e "$package/prebuilds" ] || { echo "prebuilds/ is left behind" >&2; exit 1; }

    project=$work/npm-$major
    mkdir -p "$project" "$work/home"
    cp "$here/smoke.js" "$here/smoke.mjs" "$project"
    echo '{"private": true}' >"$project/package.json"
    cat >"$project/run.sh" <<RUN
set -e
if command -v cargo; then exit 1; fi
[ -z "$offline" ] || ip link set lo up
"$program" "$npm" install --offline --no-audit --no-fund "$tarball"
"$program" smoke.js caster
"$program" smoke.mjs
"$bun" smoke.js caster
RUN
    (cd "$project" && env -i PATH="/usr/bin:/bin:/usr/sbin:/sbin" HOME="$work/home" \
        $offline sh run.sh) >"$project/log" 2>&1 || { cat "$project/log" >&2; exit 1; }
    installed=$project/node_modules/caster
    [ ! -e "$installed/src" ] && [ ! -e "$installed/test" ] && [ -e "$installed/README.md" ]
    echo "installed offline without Rust; ran as CommonJS, as a module and by Bun"
    mv "$tarball" "$work/caster.tgz"
done

echo "== Types"
consumer=$work/npm-12
ln -s "$tools/types/node_modules/@types" "$tools/types/node_modules/undici-types" \
    "$consumer/node_modules/"
cp "$here"/types/* "$consumer"
cp "$here/types/sample.ts" "$consumer/sample.mts"
compile() {
    (cd "$consumer" && "$newest" "$tools/types/node_modules/typescript/bin/tsc" --strict --noEmit \
        --target esnext "$@")
}
compile --module nodenext sample.mts sample.cts
compile --module esnext --moduleResolution bundler sample.ts
echo "strict: nodenext as a module and as CommonJS, bundler"

echo "== publint and are-the-types-wrong"
"$newest" "$tools/lint/node_modules/publint/src/cli.js" run --strict "$work/caster.tgz"
"$newest" "$tools/lint/node_modules/@arethetypeswrong/cli/dist/index.js" --no-emoji --no-color \
    --format ascii "$work/caster.tgz"
