#!/usr/bin/env python3
"""simulate_cluster.py [--measure BUILD_DIR] - 1,000 workers and a million jobs a day against one server: what is full first, and at which figure.

With --measure the inputs are measured on this machine (about a minute) and written to cluster_inputs.json: what a job costs the store's writer, the server's processors and the database,
descriptors of a running job, the writer's operations a second alone and together, an event on a stream, and the durations of jobs of several kinds. Without it they are read from there, and
a day is simulated, the same for the same inputs: arrivals with a rate that follows the hours, the recorded durations stretched to those of a full cluster, workers, a queue; each resource's
use by seconds. Prints the tables of README.md."""
import contextlib
import heapq
import json
import math
import os
import pathlib
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
INPUTS = pathlib.Path(__file__).with_name("cluster_inputs.json")
WORKERS, JOBS, DAY = 1000, 1000000, 86400
TICKS = os.sysconf("SC_CLK_TCK")

# ---- measurements -----------------------------------------------------------------------------------------------------------------------------------

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
static void count(void) { int fd = open(getenv("SYNC_COUNT"), O_WRONLY | O_APPEND | O_CREAT, 0600); if (fd >= 0) { if (write(fd, "s", 1) < 0) {} close(fd); } }
int fdatasync(int fd) { count(); return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd); }
"""


def server_seconds(pid):
    fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def pages(server):
    with contextlib.closing(sqlite3.connect("file:%s?mode=ro" % os.path.join(server.folder, "backpropd.db"), uri=True)) as database:
        used = database.execute("SELECT (SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM pragma_freelist_count)").fetchone()[0]
        return used * database.execute("SELECT page_size FROM pragma_page_size").fetchone()[0]


def measure_job(harness, folder, epochs):
    """Of one small job with so many epochs: commits, processor time of the server, bytes of the database, events; in turn, so that no two share a commit."""
    shim = harness.preload_library(folder, "sync%d" % epochs, SHIM)
    count, jobs = folder / ("count%d" % epochs), 30
    server = harness.Server("--workers", "1", env={"LD_PRELOAD": str(shim), "SYNC_COUNT": str(count)})
    body = {**harness.xor(epochs=epochs), "early_stopping": False}
    server.train(**body)
    before = count.stat().st_size, server_seconds(server.process.pid), pages(server), int(server.get("/v1/events?limit=1000").json["last_id"] or 0)
    for _ in range(jobs):
        server.train(**body)
    after = count.stat().st_size, server_seconds(server.process.pid), pages(server), max(int(e["id"]) for e in server.all_pages("/v1/events"))
    server.remove()
    return [(b - a) / jobs for a, b in zip(before, after)]


def measure_writer(harness, folder):
    """Operations a second of the writer: a commit each, and many to a commit."""
    server = harness.Server("--workers", "1", "--work-threads", "64")
    server.train(**harness.xor(model={"name": "m", "layers": [{"type": "dense", "units": 2}]}))
    (folder / "notes.lua").write_text('wrk.method = "PATCH"; wrk.headers["Content-Type"] = "application/json"; wrk.body = \'{"notes":"x"}\'')
    rates = []
    for connections in (1, 64):
        said = subprocess.run(["wrk", "-t1", "-c%d" % connections, "-d3s", "-s", str(folder / "notes.lua"), server.url + "/v1/models/m/versions/1/notes"],
                              capture_output=True, text=True, check=True).stdout
        assert "Non-2xx" not in said, said
        rates.append(float(re.search(r"Requests/sec:\s+([\d.]+)", said).group(1)))
    server.remove()
    return rates


def measure_descriptors(harness):
    server = harness.Server("--workers", "8")
    fds = pathlib.Path("/proc/%d/fd" % server.process.pid)
    server.upload("digits", harness.DATA / "digits.csv")
    server.get("/v1/jobs")
    counts = []
    for jobs in (2, 8):
        while len([j for j in server.get("/v1/jobs?status=running").json["data"]]) < jobs:
            submitted = server.submit(**harness.ENDLESS)
            harness.until(lambda: server.get("/v1/jobs/" + submitted["id"]).json["status"] == "running")
        counts.append(len(list(fds.iterdir())))
    server.remove()
    return (counts[1] - counts[0]) / 6, counts[0] - (counts[1] - counts[0]) / 3


def measure_streams(harness):
    """Processor seconds of one event on one stream: the same training with none and with 200 streams of all events."""
    import socket
    used = []
    for streams in (0, 200):
        server = harness.Server("--workers", "1")
        server.train(**harness.xor())
        open_ones = [socket.create_connection((server.host, server.port)) for _ in range(streams)]
        for one in open_ones:
            one.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
        if streams:
            harness.until(lambda: server.get("/v1/server").json["streams"] == streams)
        first, before = int(server.get("/v1/events?limit=1000").json["last_id"]), server_seconds(server.process.pid)
        for _ in range(5):
            server.train(**{**harness.xor(epochs=2000), "early_stopping": False})
        events = max(int(e["id"]) for e in server.all_pages("/v1/events")) - first
        used.append((server_seconds(server.process.pid) - before, events))
        [one.close() for one in open_ones]
        server.remove()
    (none, events), (many, _) = used
    return max(many - none, 0) / (events * 200)


def record_durations(harness):
    """Seconds of jobs as small users run them, each kind alone on this machine."""
    server = harness.Server("--workers", "1")
    kinds = {}
    for name, target, more in (("iris", "class", {"epochs": 50}), ("penguins", "species", {"epochs": 100}), ("wine", "class", {"epochs": 100}), ("digits", "digit", {"epochs": 10}),
                               ("digits", "digit", {"epochs": 60}), ("breast_cancer", "class", {"epochs": 30}), ("iris", "class", {"model": "auto", "effort": "fast"})):
        if name not in {d["name"] for d in server.get("/v1/datasets").json["data"]}:
            server.upload(name, harness.DATA / (name + ".csv"))
        body = {"model": {"layers": [{"type": "dense", "units": 64, "activation": "relu"}]}, "dataset": name, "target": target, **more}
        if body["model"] == "auto":
            del body["model"]
        began = time.perf_counter()
        server.train(**body)
        kinds["%s %s" % (name, json.dumps(more, sort_keys=True))] = round(time.perf_counter() - began, 3)
    server.remove()
    return kinds


def measure(build):
    os.environ.setdefault("BACKPROPD", str(ROOT / build / "backpropd"))
    sys.path.insert(0, str(ROOT / "tests/api"))
    import harness
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        short, long = measure_job(harness, folder, 2), measure_job(harness, folder, 400)
        alone, together = measure_writer(harness, folder)
    per_job, at_start = measure_descriptors(harness)
    found = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "job": dict(zip(("commits", "server_seconds", "database_bytes", "events"), short)),
             "job_of_400_epochs": dict(zip(("commits", "server_seconds", "database_bytes", "events"), long)), "writer_per_second_alone": alone, "writer_per_second_together": together,
             "descriptors_per_running_job": per_job, "descriptors_at_start": at_start, "seconds_per_event_and_stream": measure_streams(harness), "durations": record_durations(harness)}
    INPUTS.write_text(json.dumps(found, indent=1) + "\n")


# ---- the simulation ---------------------------------------------------------------------------------------------------------------------------------

REPORTS_PER_SECOND = 4  # of a running job whose epochs are longer than 250 ms (PROGRESS_MS of server/worker/process.c); up to 20 with short ones
CHECKPOINT_SECONDS = 30


def arrivals(rng, jobs):
    """Poisson, with more in the afternoon than at night: 1 + 0.4 sin."""
    at, mean = 0.0, jobs / DAY
    while True:
        at += rng.expovariate(1.4 * mean)
        if at >= DAY:
            return
        if rng.random() * 1.4 < 1 + 0.4 * math.sin(2 * math.pi * (at / DAY - 0.33)):
            yield at


def simulate(inputs, jobs, workers, mean_seconds, reports):
    """A day. Returns figures of the queue, and by seconds: starts, ends, seconds of running jobs."""
    rng = random.Random(16)
    recorded = list(inputs["durations"].values())
    stretch = mean_seconds / (sum(recorded) / len(recorded))
    running, queue, head = [], [], 0
    seconds = DAY + 4 * 3600
    starts, ends, change = [0] * (seconds + 1), [0] * (seconds + 1), [0] * (seconds + 2)
    waits, longest = 0.0, 0

    def start(at, arrived, length):
        nonlocal waits
        waits += at - arrived
        end = at + length
        heapq.heappush(running, end)
        for place, what in ((at, starts), (end, ends)):
            what[min(int(place), seconds)] += 1
        change[min(int(at), seconds)] += 1
        change[min(int(end), seconds)] -= 1

    def give(until):
        nonlocal head
        while running and running[0] <= until:
            at = heapq.heappop(running)
            if head < len(queue):
                start(at, *queue[head])
                head += 1

    count = 0
    for at in arrivals(rng, jobs):
        give(at)
        count += 1
        length = stretch * rng.choice(recorded) * rng.lognormvariate(-0.125, 0.5)
        if len(running) < workers:
            start(at, at, length)
        else:
            queue.append((at, length))
            longest = max(longest, len(queue) - head)
    give(float("inf"))
    active, peak_active, writes = 0, 0, []
    for s in range(seconds):
        active += change[s]
        peak_active = max(peak_active, active)
        writes.append((starts[s] + ends[s]) * inputs["job"]["commits"] / 2 + active * (reports + 1 / CHECKPOINT_SECONDS))
    return {"jobs": count, "mean_wait": waits / count, "longest_queue": longest, "peak_running": peak_active, "writes": writes, "starts": starts}


def percentile(values, share):
    return sorted(values)[int(share * (len(values) - 1))]


def per_report(inputs, what):
    """What one more report of an epoch costs, out of two jobs that differ in their epochs only."""
    events = inputs["job_of_400_epochs"]["events"] - inputs["job"]["events"]
    return (inputs["job_of_400_epochs"][what] - inputs["job"][what]) / events


def report(inputs):
    mean = 60.0
    print("Inputs, measured on %d cores (load %.1f): a job of 2 epochs takes %.1f commits, %.1f ms of the server's processors and %.1f KB of the database; each epoch that is reported %.2f ms and %.0f bytes more; "
          "the writer commits %d operations a second one by one and %d together; a running job holds %.1f descriptors of the server; an event on a stream takes %.1f µs.\n"
          % (inputs["cores"], inputs["load"], inputs["job"]["commits"], 1e3 * inputs["job"]["server_seconds"], inputs["job"]["database_bytes"] / 1e3,
             1e3 * per_report(inputs, "server_seconds"), per_report(inputs, "database_bytes"), inputs["writer_per_second_alone"], inputs["writer_per_second_together"],
             inputs["descriptors_per_running_job"], 1e6 * inputs["seconds_per_event_and_stream"]))
    print("| a day of 10^6 jobs of %d s, %s workers | mean | peak second | of what there is | full at |\n|---|---|---|---|---|" % (mean, format(WORKERS, ",")))
    rows = []
    for name, reports in (("%d reports a second of each job, as it is" % REPORTS_PER_SECOND, float(REPORTS_PER_SECOND)), ("if it were one a second", 1.0)):
        day = simulate(inputs, JOBS, WORKERS, mean, reports)
        writes = day["writes"][:DAY]
        average, peak = sum(writes) / DAY, percentile(writes, 0.999)
        for what, capacity in (("the supervisor, which commits one report after the other", inputs["writer_per_second_alone"]), ("the writer, many to a commit", inputs["writer_per_second_together"])):
            rows.append(("%s, commits/s: %s" % (what, name), average, peak, peak / capacity, "%s running jobs" % format(int(day["peak_running"] * capacity / peak), ",")))
        processor = [s * inputs["job"]["server_seconds"] + w * per_report(inputs, "server_seconds") for s, w in zip(day["starts"], writes)]
        top = percentile(processor, 0.999)
        rows.append(("the server's processors: " + name, sum(processor) / DAY, top, top / inputs["cores"], "%s running jobs" % format(int(day["peak_running"] * inputs["cores"] / top), ",")))
        one = inputs["seconds_per_event_and_stream"]
        rows.append(("the hub's thread, 100 streams of all events: " + name, average * 100 * one, peak * 100 * one, peak * 100 * one, "%s streams" % format(int(1 / (peak * one)), ",")))
    for limit in (1024, 65536):
        need = inputs["descriptors_at_start"] + inputs["descriptors_per_running_job"] * day["peak_running"]
        rows.append(("descriptors, limit %s" % format(limit, ","), need, need, need / limit,
                     "%s running jobs" % format(int((limit - inputs["descriptors_at_start"]) / inputs["descriptors_per_running_job"]), ",")))
    for name, average, peak, share, full in rows:
        print("| %s | %s | %s | %.0f %% | %s |" % (name, format(round(average, 2), ","), format(round(peak, 2), ","), 100 * share, full))
    print("\nThe queue: %s jobs arrived, at most %s waited at once (queue_max is 10,000), %.1f s in the mean; %d workers were busy at the peak. The database grows by %.1f GB a day without reports of epochs, by %.0f GB with one "
          "a second: keep_jobs_days."
          % (format(day["jobs"], ","), format(day["longest_queue"], ","), day["mean_wait"], day["peak_running"], JOBS * inputs["job"]["database_bytes"] / 1e9,
             JOBS * (inputs["job"]["database_bytes"] + mean * per_report(inputs, "database_bytes")) / 1e9))


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--measure":
        measure(sys.argv[2] if len(sys.argv) > 2 else "build")
    report(json.loads(INPUTS.read_text()))
