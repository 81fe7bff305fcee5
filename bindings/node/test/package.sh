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

echo "== A bundle by the recipes of README.md"
install esbuild esbuild@0.28.2 "@esbuild/linux-$arch@0.28.2"
bundle=$work/bundle
mkdir -p "$bundle/bin"
cp -r "$work/npm-12/node_modules" "$bundle"
cat >"$bundle/bin/npx" <<RUN
#!/bin/sh
shift # esbuild
exec "$tools/esbuild/node_modules/@esbuild/linux-$arch/bin/esbuild" --log-level=warning "\$@"
RUN
chmod +x "$bundle/bin/npx"
cat >"$bundle/app.js" <<'RUN'
const caster = require('caster');
const node = caster.createNode({ address: '127.0.0.1', port: 21999, heartbeat: 50 });
node.up().then(() => node.waitFor((event) => event.type === 'up')).then(() => node.down()).then(() => console.log('bundled'));
RUN
for recipe in external copied; do
    rm -rf "$bundle/dist"
    sed -n "/<!-- recipe: esbuild, $recipe -->/,/^\`\`\`$/p" "$package/README.md" |
        sed -e '1,2d' -e '$d' -e "s/linux-x64-glibc/linux-$arch-glibc/" >"$bundle/recipe.sh"
    [ -s "$bundle/recipe.sh" ]
    (cd "$bundle" && PATH=$bundle/bin:$PATH sh -e recipe.sh)
    # A bundle with a copy of the binary needs no packages.
    if [ "$recipe" = copied ]; then rm -r "$bundle/node_modules"; fi
    [ "$("$newest" "$bundle/dist/app.js")" = bundled ]
    echo "$recipe: runs"
done
rm "$bundle/dist/caster.node"
if "$newest" "$bundle/dist/app.js" 2>"$bundle/log"; then exit 1; fi
grep -q "copy node_modules/caster/prebuilds/.*/caster.node to $bundle/dist/caster.node" "$bundle/log"
echo "without the binary: the error says what to copy"

echo "== Types"
consumer=$work/npm-12
ln -s "$tools/types/node_modules/@types" "$tools/types/node_modules/undici-types" \
    "$consumer/node_modules/"
cp "$here"/types/sample.* "$consumer"
cp "$here/types/sample.ts" "$consumer/sample.mts"
compile() {
    (cd "$consumer" && "$newest" "$tools/types/node_modules/typescript/bin/tsc" --strict --noEmit \
        --target esnext "$@")
}
compile --module nodenext sample.mts sample.cts
compile --module esnext --moduleResolution bundler sample.ts
echo "strict: nodenext as a module and as CommonJS, bundler"
# The programs of README.md, each in a function of its own.
{
    cat "$here/types/readme-head.cjs"
    awk '/^```js$/ { print "async function program" ++n "() {"; inside = 1; next }
        /^```$/ && inside { print "}"; inside = 0 }
        inside' "$package/README.md"
} >"$consumer/readme.cjs"
[ "$(grep -c '^async function program' "$consumer/readme.cjs")" -ge 4 ]
compile --module nodenext --allowJs --checkJs readme.cjs
echo "strict: the programs of README.md"

echo "== publint and are-the-types-wrong"
"$newest" "$tools/lint/node_modules/publint/src/cli.js" run --strict "$work/caster.tgz"
"$newest" "$tools/lint/node_modules/@arethetypeswrong/cli/dist/index.js" --no-emoji --no-color \
    --format ascii "$work/caster.tgz"
