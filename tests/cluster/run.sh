#!/usr/bin/env bash
# run.sh BACKPROPD [pytest's arguments] - runs the test files of this folder, three at a time, each with namespaces of its own, and ends with
# `N passed, N failed, N skipped`. Exit status 0 only when all passed: where the kernel allows no namespaces, nothing is tested and that is a failure.
# run.sh BACKPROPD --bench - tests/bench/launchers.py there, instead of the tests.
# run.sh --inside FILE - in the namespaces.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
namespaces=(unshare --net --uts --mount --ipc --pid --fork --kill-child --mount-proc)

# A host with a name and an address, and with /run, /etc/slurm and /etc/hosts of its own.
if [ "${1-}" = --inside ]; then
    set -e
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /etc/slurm
    mkdir -p /run/bed /run/lock /run/netns /run/sshd
    hostname control
    printf '127.0.0.1 localhost\n10.77.0.1 control\n10.77.0.11 n1\n10.77.0.12 n2\n' >/run/bed/hosts
    mount --bind /run/bed/hosts /etc/hosts
    ip link set lo up
    ip link add bridge type bridge
    ip address add 10.77.0.1/24 dev bridge
    ip link set bridge up
    case $2 in *launchers.py) exec "${PYTHON:-/usr/bin/python3}" "$2" ;; esac
    exec "${PYTHON:-/usr/bin/python3}" -m pytest -q -rs -p no:cacheprovider "${@:2}"
fi

if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "the cluster of the tests needs root: its hosts are namespaces of the kernel" >&2; exit 1; }
    exec sudo --preserve-env=PYTHON "$0" "$@"
fi
if ! refused=$("${namespaces[@]}" sh -c 'mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link add bridge type bridge && ip netns add n1 &&
    ip link add v1 type veth peer name eth0 netns n1 && ip -n n1 link set lo up' 2>&1); then
    echo "this machine does not allow the namespaces that the cluster of the tests consists of (network, mount, PID, IPC, host name), so nothing was tested:" >&2
    echo "  $refused" >&2
    echo "In a container it needs --privileged, or CAP_SYS_ADMIN and CAP_NET_ADMIN without a seccomp profile that forbids unshare and mount." >&2
    exit 1
fi

BACKPROPD=$(realpath "$1")
shift
if [ "${1-}" = --bench ]; then
    export BACKPROPD
    exec "${namespaces[@]}" "$here/run.sh" --inside "$here/../bench/launchers.py"
fi
logs=$(mktemp -d)
export BACKPROPD here CLUSTER_SHARED=$logs
trap 'rm -rf "$logs"' EXIT
files=("$here"/test_*.py)
printf '%s\n' "${files[@]}" | xargs -P 3 -I {} sh -c '
    name=$(basename {} .py)
    '"${namespaces[*]}"' "$here/run.sh" --inside {} '"${*@Q}"' >"$0/$name" 2>&1
    echo $? >"$0/$name.status"' "$logs"
passed=0 failed=0 skipped=0
count() { grep -oE "[0-9]+ $1" "$log" | tail -n 1 | grep -oE '[0-9]+' || echo 0; }
for file in "${files[@]}"; do
    log=$logs/$(basename "$file" .py)
    status=$(cat "$log.status" 2>/dev/null || echo 1)
    printf '== %s\n' "$(basename "$file" .py)"
    tail -n 80 "$log"
    bad=$(($(count failed) + $(count error)))
    # 5: none of its tests was chosen.
    if [ "$status" -ne 0 ] && [ "$status" -ne 5 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    passed=$((passed + $(count passed))) failed=$((failed + bad)) skipped=$((skipped + $(count skipped)))
done
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
