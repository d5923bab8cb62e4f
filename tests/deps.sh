#!/bin/sh
# deps.sh PACKAGE... - installs the Debian packages that are missing, and lists them before it does. Needs root or sudo. On a system without apt it prints
# what is needed and stops.
# deps.sh --check PACKAGE... - installs nothing: when the compiler does not find the headers, prints the missing packages and the command that installs them.
set -eu
check=
if [ "$1" = --check ]; then
    check=1
    shift
fi
# With the headers installed the packages do not matter.
can_build() {
    command -v "${CC:-gcc}" >/dev/null 2>&1 &&
        printf '#include <%s>\n' microhttpd.h gnutls/gnutls.h jansson.h sqlite3.h cblas.h yaml.h nettle/sha2.h zlib.h zstd.h curl/curl.h stdio.h | "${CC:-gcc}" -E - >/dev/null 2>&1 &&
        [ -r "${DYGRAPHS:-/usr/share/javascript/dygraphs/dygraph.min.js}" ]
}
if [ -n "$check" ] && can_build; then exit 0; fi
if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
    if can_build; then exit 0; fi
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
if [ -n "$check" ]; then
    echo "backpropd cannot be built yet. These Debian packages are missing:" >&2
    echo " $missing" >&2
    echo "\"make deps\" installs them and those of the tests (as root or with sudo). To install only these:" >&2
    echo "  apt-get install$missing" >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then as_root=
elif command -v sudo >/dev/null 2>&1; then as_root=sudo
else
    echo "These packages are missing, and installing them needs root:" >&2
    echo "  apt-get install$missing" >&2
    exit 1
fi
echo "Installing Debian packages:$missing"
# Missing or old package lists are fetched first.
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086
if ! $as_root apt-get update -q >"$log" 2>&1 || ! $as_root apt-get install -y -q --no-install-recommends $missing >>"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "Installing the packages failed; the last lines of apt are above." >&2
    exit 1
fi
echo "Installed."
