"""predict_rows.py BUILD_DIR - rows a second that are predicted from a text as it arrives, and from a stored dataset as a batch (to CSV, and to an array),
against the rate of the engine alone (predict_rate.c: the same network, one thread, rows in memory). By processor time, all in one run; three rounds, the
median of each round's ratios. Each way reads its rows, encodes them, predicts and writes all classes' probabilities. A batch is measured by the clock as
well, from its start to its end, with THREADS (2) threads, against one thread of the engine by the clock: on a busy machine that says little. Called by
bench.py; alone it prints a table.

ROWS: rows of each measurement by network, in thousands, times this (1)."""
import datetime
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()
SCALE = float(os.environ.get("ROWS", "1"))
THREADS = int(os.environ.get("THREADS", "2"))
# name: features, units of the hidden layers, classes, rows in thousands
NETWORKS = {"small": (20, [64, 32], 3, 400), "medium": (20, [256, 256], 10, 100), "large": (20, [512, 512, 512], 10, 40),
            "images": (784, [512, 256], 10, 16)}
TICKS = os.sysconf("SC_CLK_TCK")


def processor(pid):
    fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Client:
    def __init__(self, port):
        self.port = port

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        body = response.read()
        connection.close()
        assert response.status < 400, body[:500]
        return response, body

    def json(self, method, path, value=None):
        body = None if value is None else json.dumps(value)
        return json.loads(self.request(method, path, body, {"Content-Type": "application/json"} if body else {})[1])

    def wait(self, job):
        while job["status"] not in ("succeeded", "failed", "cancelled"):
            job = json.loads(self.request("GET", "/v1/jobs/" + job["id"], None, {"Prefer": "wait=30"})[1])
        assert job["status"] == "succeeded", job["error"]
        return job


def rows_of(features, classes, count, seed):
    """CSV with an id; numbers of five digits, as people have them."""
    draw = random.Random(seed)
    pool = ["%.4g" % draw.uniform(-100, 100) for _ in range(5000)]
    lines = ["id,%s,y" % ",".join("x%d" % i for i in range(features))]
    for i in range(count):
        lines.append("%d,%s,c%d" % (i, ",".join(draw.choices(pool, k=features)), i % classes))
    return "\n".join(lines) + "\n"


def train(client, name, features, units, classes):
    client.request("POST", "/v1/datasets?name=%s-train&types=y:categorical" % name, rows_of(features, classes, 600, 1), {"Content-Type": "text/csv"})
    layers = [{"type": "dense", "units": u, "activation": "relu"} for u in units]
    job = client.json("POST", "/v1/jobs", {"model": {"name": name, "layers": layers}, "dataset": name + "-train", "target": "y", "epochs": 1, "seed": 1,
                                           "early_stopping": False, "features": ["x%d" % i for i in range(features)]})
    client.wait(job)


def measure(pid, work):
    """(seconds of the processor, seconds) of a piece of work in that process."""
    used, begun = processor(pid), time.monotonic()
    work()
    return processor(pid) - used, time.monotonic() - begun


def children(pid):
    """Processor time of processes of that one which have ended."""
    fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / TICKS


def seconds_of(job):
    began, ended = (datetime.datetime.fromisoformat(job[k].replace("Z", "+00:00")) for k in ("started_at", "finished_at"))
    return (ended - began).total_seconds()


def batch(client, pid, name, count, threads=1, form="csv"):
    """(seconds of the processor that the process of a batch takes, its start included; seconds from its start to its end)"""
    before = children(pid)
    job = client.json("POST", "/v1/batches", {"model": name, "dataset": name + "-rows", "format": form, "threads": threads})
    job = client.wait(job)
    client.request("GET", "/v1/batches/%s/result" % job["id"])
    assert job["progress"]["rows"] == count
    for _ in range(100):
        used = children(pid) - before
        if used:
            return used, seconds_of(job)
        time.sleep(0.05)
    raise SystemExit("the process of the batch has not ended")


def measure_network(client, pid, folder, name):
    features, units, classes, thousands = NETWORKS[name]
    count = int(thousands * 1000 * SCALE)
    train(client, name, features, units, classes)
    model = folder / (name + ".bpd")
    model.write_bytes(client.request("GET", "/v1/models/%s/versions/1/export?format=bpd" % name)[1])
    csv = rows_of(features, classes, count, 2).encode()
    header, *lines = csv.decode().splitlines()
    names = header.split(",")
    ndjson = "".join("{%s}\n" % ",".join('"%s":%s' % (n, v if n != "y" else '"%s"' % v) for n, v in zip(names, line.split(","))) for line in lines).encode()
    client.request("POST", "/v1/datasets?name=%s-rows&types=y:categorical" % name, csv, {"Content-Type": "text/csv"})
    path = "/v1/models/%s/predict" % name
    ratios, rates = {}, {}
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # an idle thread of the BLAS that spins would count
    for _ in range(3):
        measured = json.loads(subprocess.check_output([BUILD / "bench" / "predict_rate", model, "0.5"], env=alone))
        engine = measured["rows_per_second"]
        rates.setdefault("engine", []).append(engine)
        for way, body, kind in (("CSV", csv, "text/csv"), ("JSON lines", ndjson, "application/x-ndjson")):
            used, _ = measure(pid, lambda: client.request("POST", path, body, {"Content-Type": kind}))
            rates.setdefault(way, []).append(count / used)
            ratios.setdefault(way, []).append(count / used / engine)
        if "--no-batches" not in sys.argv:
            used, _ = batch(client, pid, name, count)
            _, spent = batch(client, pid, name, count, THREADS)
            array, _ = batch(client, pid, name, count, form="npy")
            _, quick = batch(client, pid, name, count, THREADS, "npy")
            for way, seconds, whole in (("batch", used, engine), ("batch by the clock", spent, measured["by_the_clock"]),
                                        ("to an array", array, engine), ("to an array by the clock", quick, measured["by_the_clock"])):
                rates.setdefault(way, []).append(count / seconds)
                ratios.setdefault(way, []).append(count / seconds / whole)
    return {"network": "%d-%s-%d" % (features, "-".join(map(str, units)), classes), "rates": {k: statistics.median(v) for k, v in rates.items()},
            "ratios": {k: statistics.median(v) for k, v in ratios.items()}, "megabytes": len(csv) / 1e6}


def run():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="backpropd-bench-"))
    server = subprocess.Popen([BUILD / "backpropd", "serve", "--listen", "127.0.0.1:0", "--data-dir", folder / "data", "--job-nice", "0"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        client = Client(int(re.search(r":(\d+)$", server.stdout.readline().strip()).group(1)))
        return [measure_network(client, server.pid, folder, name) for name in NETWORKS if not os.environ.get("ONLY") or name in os.environ["ONLY"]]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def table(results):
    ways = [w for w in ("CSV", "JSON lines", "batch", "batch by the clock", "to an array", "to an array by the clock") if w in results[0]["rates"]]
    lines = ["| predicted rows a second of one processor | engine alone | %s |" % " | ".join("%s | share" % w for w in ways), "|---|---|" + "---|---|" * len(ways)]
    for r in results:
        cells = ["%s | %.0f %%" % (format(round(r["rates"][w]), ","), 100 * r["ratios"][w]) for w in ways]
        lines.append("| %s | %s | %s |" % (r["network"], format(round(r["rates"]["engine"]), ","), " | ".join(cells)))
    return lines


if __name__ == "__main__":
    print("\n".join(table(run())))
