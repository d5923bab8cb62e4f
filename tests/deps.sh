#!/bin/sh
# deps.sh PACKAGE... - installs the Debian packages that are missing, telling what it will do before it does it. Needs root or sudo. On a system without
# apt it prints what is needed and stops.
set -eu
if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
    for tool in gcc make; do command -v $tool >/dev/null 2>&1 || missing_tool=1; done
    if [ -z "${missing_tool:-}" ] && printf '#include <microhttpd.h>\n#include <jansson.h>\n#include <sqlite3.h>\n#include <cblas.h>\n#include <yaml.h>\n#include <nettle/sha2.h>\n#include <zlib.h>\n#include <zstd.h>\n' |
        gcc -E - >/dev/null 2>&1; then exit 0; fi
    echo "This is not a Debian system. backpropd needs these packages (their Debian names):" >&2
    echo "  $*" >&2
    echo "Install their equivalents, then run make again." >&2
    exit 1
fi
missing=
for package in "$@"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -eq 0 ]; then as_root=
elif command -v sudo >/dev/null 2>&1; then as_root=sudo
else
    echo "These packages are missing, and installing them needs root:" >&2
    echo "  apt-get install$missing" >&2
    exit 1
fi
echo "Installing Debian packages:$missing"
# Package lists that are not there, or old, are fetched first.
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086
if ! $as_root apt-get update -q >"$log" 2>&1 || ! $as_root apt-get install -y -q --no-install-recommends $missing >>"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "Installing the packages failed; what apt said stands above." >&2
    exit 1
fi
echo "Installed."
