"""Prints the table of launchers: what the start of a job costs by each, and what its connection carries. In the namespaces of the tests
(tests/cluster/run.sh --inside), as root:

    tests/cluster/run.sh build/backpropd --bench

Start: from the request to the first event about an epoch, the median of ROUNDS jobs of one epoch on 150 rows.
Frames and bytes: the launcher's command with cat instead of the program. Frames of 216 bytes, head and content apart as server/remote/frame.c writes them,
are sent one at a time, each when the previous one came back; bytes are sent as fast as they go, and come back.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "cluster"))
import bed  # noqa: E402
import harness  # noqa: E402

ROUNDS, FRAMES, MEGABYTES = int(os.environ.get("ROUNDS", 7)), 2000, 64
JOB = {"model": {"layers": [{"type": "dense", "units": 4}]}, "dataset": "iris", "target": "class", "epochs": 1, "seed": 1}


def start(server, launcher):
    """Seconds from each request to the first epoch."""
    took = []
    for _ in range(ROUNDS):
        began = time.monotonic()
        job = server.submit(**JOB, requires={"launcher": launcher})["id"]
        for _, kind, _ in server.stream("/v1/jobs/%s/events" % job):
            if kind == "metrics":
                took.append(time.monotonic() - began)
    return took


def read_exactly(pipe, size):
    while size:
        size -= len(pipe.read(min(size, 1 << 20)))


def frames(command, parts):
    """Round trips a second, and ms of the slowest in 100, of a frame that is written in such parts."""
    size = sum(parts)
    with subprocess.Popen([*command, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as cat:
        def trip():
            for part in parts:
                cat.stdin.write(b"\0" * part)
            read_exactly(cat.stdout, size)
        trip()
        times, began = [], time.monotonic()
        for _ in range(FRAMES):
            at = time.monotonic()
            trip()
            times.append(time.monotonic() - at)
        took = time.monotonic() - began
        cat.stdin.close()
    return FRAMES / took, sorted(times)[FRAMES * 99 // 100] * 1000


def megabytes(command):
    """MB a second, there and back."""
    with subprocess.Popen([*command, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        cat.stdin.write(b"x")
        cat.stdin.flush()
        read_exactly(cat.stdout, 1)
        began = time.monotonic()

        def send():
            for _ in range(MEGABYTES):
                cat.stdin.write(b"\0" * 1000000)
            cat.stdin.close()
        sender = threading.Thread(target=send)
        sender.start()
        read_exactly(cat.stdout, MEGABYTES * 1000000)
        took = time.monotonic() - began
        sender.join()
    return MEGABYTES / took


def main():
    slurm, host = bed.Slurm(), bed.Ssh()
    plain = {"job": "bench", "attempt": 1, "threads": 1, "memory_mb": 100, "processes": 1}
    near = bed.srun("near")["command"]
    filled = [part.format(**plain) for part in near if "singleton" not in part]
    launchers = {"local": None, "env": ["env"], "ssh": bed.SSH, "srun": near}
    commands = {"env": ["env"], "ssh": bed.SSH, "srun": filled}
    path = bed.FOLDER / "launchers.json"
    path.write_text(json.dumps({name: {"command": command, "cache": "/run/bed/cache"} if command else {} for name, command in launchers.items()}))
    server = harness.Server("--launchers", str(path))
    server.upload("iris", harness.DATA / "iris.csv")
    print("| launcher | start, ms: median (slowest) | frames/s, there and back | slowest in 100, ms | MB/s, there and back |")
    print("|---|---|---|---|---|")
    for name in launchers:
        took = start(server, name)
        row = [name, "%.0f (%.0f)" % (1000 * statistics.median(took), 1000 * max(took)), "", "", ""]
        if name in commands:
            rate, slow = frames(commands[name], (16, 200))
            row[2:] = ["{:,.0f}".format(rate), "%.1f" % slow, "%.0f" % megabytes(commands[name])]
        print("| " + " | ".join(row) + " |", flush=True)
    server.stop()
    server.remove()
    host.crash()
    slurm.kill_all()


if __name__ == "__main__":
    main()
