#!/usr/bin/env bash
# fresh.sh - runs the README's two commands on a fresh Debian 12 root that has only git, make and ca-certificates, in a clone of HEAD. Fails when either
# command fails, or when `make test` skips a test for another reason than the CPU (or npm, if this machine has none). Needs root, debootstrap and a Debian mirror.
#   FRESH_BASE   where the bare root is kept between runs (default /var/tmp/backpropd-fresh-base; recreated after a week)
set -euo pipefail

project=$(cd "$(dirname "$0")/.." && pwd)
base=${FRESH_BASE:-/var/tmp/backpropd-fresh-base}
suite=bookworm

skip() {
    printf '\n*** make fresh was SKIPPED: %s\n*** The first run on a fresh machine is NOT tested.\n\n0 passed, 0 failed, 1 skipped\n' "$1"
    exit 0
}
[ "$(id -u)" -eq 0 ] || skip "it needs root (chroot and mount)"
command -v debootstrap >/dev/null || skip "debootstrap is not installed; make deps installs it"
if [ -z "${FRESH_INSIDE:-}" ]; then
    unshare --mount --pid --fork true 2>/dev/null || skip "this machine does not allow mount and process namespaces"
    # Mounts and processes of the fresh root end with this command, however it ends.
    FRESH_INSIDE=1 exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$0"
fi

# The mirror, keys and certificates of this machine: a private mirror works too.
make_base() {
    local made=$base.$$ mirror
    mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -1)
    [ -n "$mirror" ] || mirror=$(sed -nE 's/^deb +(\[[^]]*\] +)?([^ ]+).*/\2/p' /etc/apt/sources.list 2>/dev/null | head -1)
    rm -rf "$base" "$made"
    echo "fresh: making a bare Debian root in $base"
    if ! debootstrap --variant=minbase --include=git,make,ca-certificates "$suite" "$made" "${mirror:-http://deb.debian.org/debian}" >"$made.log" 2>&1; then
        tail -n 20 "$made.log"
        rm -rf "$made"
        echo "fresh: debootstrap failed; its last lines are above"
        exit 1
    fi
    rm -rf "$made.log" "$made/etc/apt/sources.list" "$made/etc/apt/sources.list.d"
    for part in sources.list sources.list.d apt.conf.d auth.conf.d keyrings; do
        [ ! -e "/etc/apt/$part" ] || cp -rL "/etc/apt/$part" "$made/etc/apt/"
    done
    if [ -d /usr/local/share/ca-certificates ]; then
        cp -rL /usr/local/share/ca-certificates/. "$made/usr/local/share/ca-certificates/"
        chroot "$made" update-ca-certificates >/dev/null 2>&1
    fi
    mv "$made" "$base"
}
[ -x "$base/usr/bin/make" ] && [ -z "$(find "$base" -maxdepth 0 -mtime +7)" ] || make_base

root=$(mktemp -d /var/tmp/backpropd-fresh.XXXXXX)
trap 'umount -l "$root/dev" "$root/proc" 2>/dev/null; rm -rf --one-file-system "$root"' EXIT
cp -a "$base/." "$root/"
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' git clone -q "$project" "$root/home/backpropd"

# What the tests take from npm comes from this machine, if it has npm.
allowed=CPU
if axe=$("$project/tests/browser/axe.sh"); then
    mkdir -p "$root/root/.cache/backpropd"
    cp -r "${axe%/node_modules/*}" "$root/root/.cache/backpropd/"
else
    allowed='CPU|npm'
fi

# The commands are those of the README.
commands=$(sed -n '/^## Two commands/,/^## [^T]/p' "$root/home/backpropd/README.md" | sed -nE 's/^(make [a-z]+) *(#.*)?$/\1/p')
[ "$commands" = "make demo
make test" ] || { echo "fresh: the README's section \"Two commands\" does not list make demo and make test, but: $commands"; exit 1; }
log=$root/home/output
while read -r command; do
    echo "fresh: $command"
    started=$SECONDS
    if ! env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8 ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        chroot "$root" sh -c "cd /home/backpropd && $command" </dev/null 2>&1 | tee "$log"; then
        echo "fresh: \"$command\" failed on a fresh machine after $((SECONDS - started)) s"
        exit 1
    fi
    echo "fresh: \"$command\" succeeded after $((SECONDS - started)) s"
done <<<"$commands"
unexpected=$(grep '^skipped: ' "$log" | grep -vE "$allowed" || true)
[ -z "$unexpected" ] || { printf 'fresh: on a fresh machine only what the CPU lacks may be skipped, but:\n%s\n' "$unexpected"; exit 1; }
echo "fresh: passed"
