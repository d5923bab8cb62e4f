"""Mixed load on one server for so many seconds: predictions, uploads, jobs, lists, event streams, clients that break off, and deletions, while job processes
are killed; then kills of the server. Resident memory, descriptors and threads stay flat, and nothing that was acknowledged is lost.

    BACKPROPD=build/backpropd python3 tests/faults/soak.py SECONDS

The API tests run a few seconds of it (tests/api/test_soak.py), `make soak` an hour."""
import json
import os
import pathlib
import random
import signal
import socket
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "api"))
import harness  # noqa: E402

ROWS = b"a,b,c\n" + b"".join(b"%d,%d.25,%s\n" % (i, i * 7 % 13, b"xyz"[i % 3:i % 3 + 1]) for i in range(2000))


def sample(server):
    """Resident bytes, descriptors, threads of the server process."""
    folder = pathlib.Path("/proc/%d" % server.process.pid)
    fields = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0]) << 10, len(list((folder / "fd").iterdir())), int(fields["Threads"])


class Load:
    """Threads that each repeat one kind of work until the end; the counts of what they did, and the first thing that went wrong."""

    def __init__(self, server):
        self.server, self.over, self.counts, self.wrong, self.lock = server, threading.Event(), {}, [], threading.Lock()
        self.threads = [threading.Thread(target=self.repeat, args=(work,), daemon=True) for work in (self.predict, self.predict, self.upload, self.train, self.look, self.stream, self.break_off, self.kill_job)]

    def repeat(self, work):
        luck = random.Random(work.__name__)
        while not self.over.is_set():
            try:
                work(luck)
            except Exception as problem:  # noqa: B902 - whatever it is, the run has failed
                if not self.over.is_set():
                    self.wrong.append("%s: %r" % (work.__name__, problem))
                return
            with self.lock:
                self.counts[work.__name__] = self.counts.get(work.__name__, 0) + 1

    def request(self, method, path, body=None, kind="application/json", allowed=(200, 201, 202, 204, 404, 409, 429, 503)):
        body = json.dumps(body).encode() if body is not None and not isinstance(body, bytes) else body
        answer = self.server.raw(method, path, body, {"Content-Type": kind} if body is not None else {})
        assert answer.status in allowed, answer
        return answer

    def predict(self, luck):
        count = luck.choice((1, 1, 1, 50, 2000))
        answer = self.request("POST", "/v1/models/soak/predict", {"instances": [{"a": luck.random(), "b": 1.5, "c": "x"}] * count})
        assert answer.status == 200 and len(answer.json["predictions"]) == count
        time.sleep(0.005)

    def upload(self, luck):
        name = "soak-%d" % luck.randrange(5)
        self.request("POST", "/v1/datasets?replace=true&name=" + name, ROWS, "text/csv")
        self.request("POST", "/v1/datasets/%s/rows" % name, ROWS[:6] + b"5,5.5,z\n", "text/csv")
        if luck.random() < 0.5:
            self.request("DELETE", "/v1/datasets/" + name)
        time.sleep(0.02)

    def train(self, luck):
        job = {**harness.xor(), "epochs": luck.choice((1, 5, 200))}
        job["model"] = {"name": "trained-%d" % luck.randrange(5), **job["model"]}
        submitted = self.request("POST", "/v1/jobs", job)
        if submitted.status != 202:
            return
        path = "/v1/jobs/" + submitted.json["id"]
        action = luck.choice(("wait", "wait", "cancel", "pause"))
        if action != "wait":
            self.request("POST", "%s/%s" % (path, action))
            self.request("POST", path + "/resume")
        while not self.over.is_set() and self.request("GET", path).json["status"] not in harness.FINAL:
            time.sleep(0.02)
        if luck.random() < 0.8:
            self.request("DELETE", path)
        if luck.random() < 0.3:
            self.request("DELETE", "/v1/models/" + job["model"]["name"])

    def look(self, luck):
        self.request("GET", luck.choice(("/v1/jobs?limit=100", "/v1/models", "/v1/datasets", "/v1/server", "/v1/events?limit=100", "/v1/datasets/soak/rows?format=csv", "/v1/datasets/soak/statistics", "/openapi.json", "/livez", "/readyz", "/nothing")))
        time.sleep(0.01)

    def stream(self, luck):
        with socket.create_connection((self.server.host, self.server.port), timeout=20) as one:
            one.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
            one.settimeout(0.5)
            try:
                for _ in range(luck.randrange(20)):
                    if not one.recv(65536):
                        break
            except TimeoutError:
                pass  # no news

    def break_off(self, luck):
        head = b"POST /v1/datasets?name=broken HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: 1000000\r\n\r\n"
        whole = luck.choice((head, b"GET /v1/jobs HTTP/1.1\r\nHo", b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{")) + ROWS[:luck.randrange(9000)]
        with socket.create_connection((self.server.host, self.server.port), timeout=20) as one:
            one.sendall(whole[:luck.randrange(len(whole))])
        time.sleep(0.02)

    def kill_job(self, luck):
        for pid in self.server.children()[:1]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.over.wait(luck.uniform(0.5, 2))

    def run(self, seconds):
        """Samples of the run, one for each of 100 parts of it."""
        for thread in self.threads:
            thread.start()
        samples = []
        for _ in range(100):
            self.over.wait(seconds / 100)
            if self.wrong:
                break
            samples.append(sample(self.server))
        self.over.set()
        for thread in self.threads:
            thread.join(60)
        assert not self.wrong, self.wrong
        return samples


def flat(samples, slack):
    """The last quarter is where the second one was. `slack`: bytes that memory may be above."""
    second, last = samples[len(samples) // 4:len(samples) // 2], samples[-len(samples) // 4:]
    before, after = ([statistics.median(one[i] for one in part) for i in range(3)] for part in (second, last))
    assert after[0] <= before[0] * 1.1 + slack, "resident memory grew from %.1f to %.1f MB" % (before[0] / 2**20, after[0] / 2**20)
    assert after[1] <= before[1] + 10, "open descriptors grew from %d to %d" % (before[1], after[1])
    assert after[2] <= before[2] + 2, "threads grew from %d to %d" % (before[2], after[2])
    return before, after


def soak(server, seconds, slack=24 << 20):
    server.post("/v1/datasets?name=soak", body=ROWS, headers={"Content-Type": "text/csv"})
    server.train(model={"name": "soak", "layers": [{"type": "dense", "units": 8}]}, dataset="soak", target="c", features=["a", "b"], epochs=1)
    server.train(model={"name": "soak", "layers": [{"type": "dense", "units": 8}]}, dataset="soak", target="b", features=["a", "c"], epochs=1)
    load = Load(server)
    samples = load.run(seconds)
    before, after = flat(samples, slack)
    harness.until(lambda: server.get("/v1/server").json["memory"]["requests"] == 0, what="memory of requests that is given back")
    return load.counts, before, after


def kills(server, seconds, luck):
    """The server is killed again and again while datasets, models and jobs are made. Everything that was acknowledged is there."""
    kept, end, count = {}, time.monotonic() + seconds, 0
    while time.monotonic() < end or count < 2:
        stop = threading.Event()

        def write(part):
            for i in range(10**6):
                if stop.is_set():
                    return
                name = "kept-%d-%d-%d" % (count, part, i)
                kind = ("datasets", "models", "jobs")[(part + i) % 3]
                try:
                    if kind == "datasets":
                        answer = server.raw("POST", "/v1/datasets?name=" + name, ROWS[:600], {"Content-Type": "text/csv"})
                    elif kind == "models":
                        answer = server.raw("POST", "/v1/models", json.dumps({"name": name, "layers": []}).encode(), {"Content-Type": "application/json"})
                    else:
                        answer = server.raw("POST", "/v1/jobs", json.dumps({**harness.xor(), "metadata": {"name": name}}).encode(), {"Content-Type": "application/json"})
                except OSError:
                    return
                except Exception:  # noqa: B902 - the answer was cut
                    return
                if answer.status in (201, 202):
                    kept[(kind, answer.json.get("id", name))] = True

        threads = [threading.Thread(target=write, args=(part,)) for part in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(luck.uniform(0.05, 0.6))
        for pid in server.children()[:luck.randrange(2)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        server.kill()
        stop.set()
        for thread in threads:
            thread.join()
        server.start()
        count += 1
    for kind, name in kept:
        assert server.raw("GET", "/v1/%s/%s" % (kind, name)).status == 200, "%s %s is lost" % (kind, name)
    return count, len(kept)


def main(seconds):
    server = harness.Server("--workers", "2")
    try:
        counts, before, after = soak(server, seconds * 3 / 4)
        print("work done:", ", ".join("%s %d" % one for one in sorted(counts.items())))
        print("second quarter: %.1f MB resident, %d descriptors, %d threads; last quarter: %.1f MB, %d, %d" % (before[0] / 2**20, before[1], before[2], after[0] / 2**20, after[1], after[2]))
        count, kept = kills(server, seconds / 4, random.Random(5))
        print("the server was killed %d times; acknowledged %d, lost 0" % (count, kept))
        assert server.stop() == 0
        checked = harness.run("check", "--data-dir", server.folder, seconds=3600)  # of thousands of items, on a machine with other work
        assert checked.returncode == 0, checked.stdout + checked.stderr
        print(checked.stdout.strip().splitlines()[-1])
    finally:
        server.remove()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 3600)
