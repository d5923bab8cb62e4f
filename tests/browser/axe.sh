#!/bin/sh
# axe.sh - prints the path of axe.min.js (axe-core, at the version of package.json), which npm installs into a cache outside the tree at the first time. Exit status 1: there is no npm.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/backpropd/axe-$(sha256sum "$here/package.json" | cut -c1-16)
file=$cache/node_modules/axe-core/axe.min.js
if [ ! -e "$file" ]; then
    command -v npm >/dev/null 2>&1 || exit 1
    mkdir -p "$cache"
    cp "$here/package.json" "$cache/"
    (cd "$cache" && npm install --silent --no-fund --no-audit --no-package-lock >npm.log 2>&1) || { tail -n 5 "$cache/npm.log" >&2; exit 1; }
fi
echo "$file"
