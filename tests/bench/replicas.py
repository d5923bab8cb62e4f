#!/usr/bin/env python3
"""replicas.py [BUILD_DIR] - predictions per second with 1, 2 and 3 replicas behind HAProxy (clients/examples/haproxy.cfg), and of one server alone, on this machine. Prints a table for
tests/bench/README.md. Requests are 30 numbers each, by wrk; SECONDS=3 for each figure, ROUNDS=3 in turn, medians. All processes share the cores of this machine: what more machines would
give is not measured, what the load balancer and a replica cost is: requests per second of processor time of all servers."""
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = sys.argv[1] if len(sys.argv) > 1 else "build"
os.environ.setdefault("BACKPROPD", str(ROOT / BUILD / "backpropd"))
sys.path[:0] = [str(ROOT / "tests/api"), str(ROOT / "tests/cluster")]

import harness  # noqa: E402
from test_balancer import Balancer  # noqa: E402
from test_replicas import up_to_date  # noqa: E402

SECONDS, ROUNDS = float(os.environ.get("SECONDS", "3")), int(os.environ.get("ROUNDS", "3"))
TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid):
    fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(url, pids, connections=32):
    before = [processor_seconds(pid) for pid in pids]
    said = subprocess.run(["wrk", "-t1", "-c%d" % connections, "-d%gs" % SECONDS, "--latency", "-s", str(ROOT / "tests/bench/post30.lua"), url + "/v1/models/m/predict"],
                          capture_output=True, text=True, check=True).stdout
    used = [processor_seconds(pid) - b for pid, b in zip(pids, before)]
    assert "Non-2xx" not in said and "Socket errors" not in said, said
    requests, seconds = re.search(r"(\d+) requests in ([\d.]+)s", said).groups()
    return {"rate": int(requests) / float(seconds), "p50": re.search(r"50%\s+(\S+)", said).group(1), "p99": re.search(r"99%\s+(\S+)", said).group(1),
            "servers": sum(used[1:]) / float(seconds), "balancer": used[0] / float(seconds)}


def main():
    primary = harness.Server("--workers", "1")
    csv = (harness.DATA / "breast_cancer.csv").read_bytes()
    primary.upload("cancer", csv)
    primary.train(model={"name": "m", "layers": [{"type": "dense", "units": 32, "activation": "relu"}]}, dataset="cancer", target="class", epochs=3)
    replicas = [harness.Server("--follow", primary.url) for _ in range(3)]
    for replica in replicas:
        up_to_date(replica, primary)
    found = {}
    for _ in range(ROUNDS):
        found.setdefault("one server, no balancer", []).append(measure(primary.url, [os.getpid(), primary.process.pid]))
        for count in (1, 2, 3):
            with tempfile.TemporaryDirectory() as folder:
                balancer = Balancer(pathlib.Path(folder), primary, replicas, count)
                pids = [balancer.process.pid] + [r.process.pid for r in replicas]
                found.setdefault("HAProxy, %d replica%s" % (count, "s" if count > 1 else ""), []).append(measure(balancer.server.url, pids))
                balancer.end()
    print("| | requests/s | median | p99 | processors of the servers | of HAProxy | requests per processor second of the servers |\n|---|---|---|---|---|---|---|")
    for name, rows in found.items():
        middle = sorted(rows, key=lambda row: row["rate"])[len(rows) // 2]
        balancer = "-" if "no balancer" in name else "%.2f" % middle["balancer"]
        print("| %s | %s | %s | %s | %.2f | %s | %s |" % (name, format(round(statistics.median(r["rate"] for r in rows)), ","), middle["p50"], middle["p99"], middle["servers"], balancer,
                                                      format(round(middle["rate"] / middle["servers"]), ",")))
    print(json.dumps({"cores": os.cpu_count(), "load": os.getloadavg()[0]}))
    for one in [primary] + replicas:
        one.remove()


main()
