#!/bin/sh
# Makes target/dist/caster-VERSION-ARCHITECTURE-linux.tar.gz: the command, its manual pages and the completions of
# bash, zsh and fish, in one folder with the layout of a prefix. The same files give the same archive.
#
#     RELEASE=target/release caster-cli/packaging/dist.sh
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
release=${RELEASE:-$root/target/release}
dist=${DIST:-$root/target/dist}
version=$(sed -n 's/^version = "\([0-9.]*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
name=caster-$version-$(uname -m)-linux
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

to=$work/$name
share=$to/share
mkdir -p "$to/bin" "$share/doc/caster" "$share/man/man1" "$share/bash-completion/completions" \
    "$share/zsh/site-functions" "$share/fish/vendor_completions.d"
install -m 755 "$release/caster" "$to/bin/caster"
caster=$to/bin/caster
[ "$("$caster" --version)" = "caster $version" ] || { echo "dist.sh: $release/caster is not of $version" >&2; exit 1; }
"$caster" man --to "$share/man/man1"
"$caster" completions bash >"$share/bash-completion/completions/caster"
"$caster" completions zsh >"$share/zsh/site-functions/_caster"
"$caster" completions fish >"$share/fish/vendor_completions.d/caster.fish"
install -m 644 "$root/LICENSE" "$root/CHANGELOG.md" "$root/docs/command.md" "$share/doc/caster"
mkdir -p "$dist"
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mode=go=u-w \
    --mtime="@${SOURCE_DATE_EPOCH:-0}" -cf - "$name" | gzip -9n >"$dist/$name.tar.gz"
printf '%s  %d KB\n' "$dist/$name.tar.gz" $(($(wc -c <"$dist/$name.tar.gz") / 1024))
