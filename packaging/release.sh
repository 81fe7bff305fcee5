#!/bin/sh
# Makes everything of a release in target/dist, as far as `make dist` has not made it: the Rust crate, Debian
# packages, an SBOM for each artefact, the changelog's section and checksums; and lets cargo, twine, npm, publint and
# are-the-types-wrong check what would be published. Nothing is published.
#
#     packaging/release.sh        `make release` runs it after `make dist`
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
target_dir=${CARGO_TARGET_DIR:-$root/target}
dist=$target_dir/dist
tools=$target_dir/release-tools
cargo=${CARGO:-cargo}
python=${PYTHON:-python3}
version=$(sed -n 's/^version = "\([0-9.]*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
cd "$root"

fail() {
    echo "release.sh: $*" >&2
    exit 1
}

if [ ! -f "$tools/.ready" ]; then
    "$python" -m venv --clear "$tools"
    "$tools/bin/python" -m pip install -q --disable-pip-version-check "twine==7.0.0" "cyclonedx-python-lib[json-validation]==11.12.0"
    touch "$tools/.ready"
fi

echo "== The crate"
"$cargo" package -q -p caster-core --allow-dirty --locked
cp "$target_dir/package/caster-core-$version.crate" "$dist"
contents=$(tar -tzf "$dist/caster-core-$version.crate")
for file in LICENSE README.md Cargo.toml src/lib.rs; do
    echo "$contents" | grep -qx "caster-core-$version/$file" || fail "the crate has no $file"
done
"$cargo" publish -q -p caster-core --dry-run --allow-dirty --locked --no-verify

echo "== Debian packages"
if command -v dpkg-shlibdeps >/dev/null; then
    DIST="$dist" "$root/packaging/deb.sh"
    if command -v lintian >/dev/null; then
        lintian --allow-root --fail-on error,warning "$dist"/*.deb
    else
        [ -z "${CI:-}" ] || fail "lintian is missing, and CI skips nothing"
        echo "not looked through: lintian is not on this machine"
    fi
else
    [ -z "${CI:-}" ] || fail "dpkg-dev is missing, and CI skips nothing"
    echo "skipped: dpkg-shlibdeps is not on this machine"
fi

echo "== SBOMs"
for pair in caster-core:caster-core caster-ffi:libcaster caster-cli:caster caster-python:caster-python caster-node:caster-npm; do
    "$python" "$root/packaging/sbom.py" "${pair%:*}" "$(rustc -vV | sed -n 's/^host: //p')" \
        "$dist/${pair#*:}-$version.cdx.json"
done
"$tools/bin/python" - "$dist"/*.cdx.json <<'CHECK'
import sys
from pathlib import Path
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

for name in sys.argv[1:]:
    error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(Path(name).read_text())
    if error:
        sys.exit(f"{name}: {error}")
CHECK

echo "== What PyPI checks"
"$tools/bin/twine" check --strict "$dist"/*.whl "$dist/caster-$version.tar.gz"

echo "== What npm checks"
tarball=$dist/caster-$version.tgz
[ -f "$tarball" ] || fail "there is no $tarball: run make dist first"
for each in "$tarball" "$dist/caster-cli-$version.tgz"; do
    npm publish --dry-run --silent "$each" >/dev/null
done
# install.sh finds its folders by $0.
lint=$(sh -c '. "$0" && install lint publint @arethetypeswrong/cli && echo "$tools/lint/node_modules"' \
    "$root/bindings/node/test/install.sh")
node=${NODE:-node}
"$node" "$lint/publint/src/cli.js" run --strict "$tarball"
"$node" "$lint/@arethetypeswrong/cli/dist/index.js" --no-emoji --no-color --format ascii "$tarball"

echo "== The changelog's section"
awk -v version="$version" '/^## / { inside = $2 == version "," || $2 == version; next } inside' \
    "$root/CHANGELOG.md" >"$dist/CHANGES.md"
[ -s "$dist/CHANGES.md" ] || fail "CHANGELOG.md has no section of $version"

echo "== Checksums"
(cd "$dist" && rm -f SHA256SUMS && find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort |
    xargs -d '\n' sha256sum >SHA256SUMS && cat SHA256SUMS)
