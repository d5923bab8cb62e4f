#!/usr/bin/env bash
# check.sh OPENAPI.json - the served document through two strict linters, and a client generated from it through the TypeScript compiler. The tools are of npm, at
# the versions of package.json, in a cache outside the tree; without npm nothing is checked, which is reported. Exit status 1: a fault.
set -u
document=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
if ! command -v npm >/dev/null 2>&1 || ! command -v node >/dev/null 2>&1; then
    echo "openapi: NOT CHECKED: npm and node are not installed"
    exit 0
fi
cache=${XDG_CACHE_HOME:-$HOME/.cache}/backpropd/openapi-$(sha256sum "$here/package.json" | cut -c1-16)
if [ ! -e "$cache/complete" ]; then
    rm -rf "$cache"
    mkdir -p "$cache"
    cp "$here/package.json" "$cache/"
    if ! (cd "$cache" && npm install --silent --no-fund --no-audit --no-package-lock >npm.log 2>&1); then
        tail -n 5 "$cache/npm.log"
        echo "openapi: npm cannot install the linters"
        exit 1
    fi
    touch "$cache/complete"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bin=$cache/node_modules/.bin
failed=0
if ! REDOCLY_TELEMETRY=off "$bin/redocly" lint "$document" --extends recommended-strict --format=stylish >"$work/log" 2>&1; then
    cat "$work/log"
    failed=1
fi
if ! "$bin/spectral" lint "$document" -r "$here/spectral.yaml" --fail-severity=hint >"$work/log" 2>&1; then
    cat "$work/log"
    failed=1
fi
cp "$here/client.ts" "$work/"
if ! "$bin/openapi-typescript" "$document" -o "$work/api.ts" >"$work/log" 2>&1; then
    cat "$work/log"
    failed=1
fi
if ! (cd "$work" && "$bin/tsc" --strict --noEmit --target es2022 --moduleResolution bundler --module esnext client.ts api.ts) >"$work/log" 2>&1; then
    cat "$work/log"
    failed=1
fi
exit "$failed"
