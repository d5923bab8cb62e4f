"""predict_memory.py BUILD_DIR - the memory of a server, and of `backpropd batch`, that predict a body far larger than it: VmHWM before and after
MEGABYTES (500) of CSV and of JSON lines. Fails above 64 MB more. Run by `make predict-memory`."""
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()
MEGABYTES = int(os.environ.get("MEGABYTES", "500"))
MOST = 64


def peak(pid):
    return int(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path("/proc/%d/status" % pid).read_text())[1]) / 1024


def request(port, method, path, body=None, kind="application/json"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request(method, path, body, {"Content-Type": kind} if body else {})
    response = connection.getresponse()
    size, rows = 0, response.headers.get("X-Rows")
    start = response.read(65536)
    piece = start
    while piece:
        size += len(piece)
        piece = response.read(1 << 20)
    assert response.status < 400, start[:500]
    return start, size, rows


def write(path, head, row):
    draw = random.Random(1)
    lines = [row(draw) for _ in range(20000)]
    block, count = "".join(lines).encode(), 0
    with open(path, "wb") as f:
        f.write(head.encode())
        while f.tell() < MEGABYTES << 20:
            f.write(block)
            count += len(lines)
    return count


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="backpropd-memory-", dir="/var/tmp"))
    server = subprocess.Popen([BUILD / "backpropd", "serve", "--listen", "127.0.0.1:0", "--data-dir", folder / "data", "--upload-max", "%dMB" % (2 * MEGABYTES + 100), "--predictions-max", "%dMB" % (4 * MEGABYTES + 100),
                               "--rows-max", "100000000"], stderr=subprocess.PIPE, text=True)
    faults = []
    try:
        port = None
        while port is None:
            found = re.search(r"127\.0\.0\.1:(\d+)", server.stderr.readline())
            port = found and int(found[1])
        names = ["x%d" % i for i in range(20)]
        number = lambda draw: "%.4g" % draw.uniform(-100, 100)
        table = lambda draw: ",".join(number(draw) for _ in names) + "," + draw.choice("abc") + "\n"
        record = lambda draw: "{" + ",".join('"%s":%s' % (n, number(draw)) for n in names) + "}\n"
        draw = random.Random(2)
        request(port, "POST", "/v1/datasets?name=d", ",".join(names) + ",y\n" + "".join(table(draw) for _ in range(300)), "text/csv")
        job = json.loads(request(port, "POST", "/v1/jobs", json.dumps({"model": {"name": "m", "layers": [{"type": "dense", "units": 32, "activation": "relu"}]}, "dataset": "d", "target": "y", "epochs": 2}))[0])
        while job["status"] not in ("succeeded", "failed"):
            job = json.loads(request(port, "GET", "/v1/jobs/" + job["id"])[0])
        assert job["status"] == "succeeded", job
        (folder / "m.bpd").write_bytes(request(port, "GET", "/v1/models/m/versions/1/export?format=bpd")[0])
        request(port, "POST", "/v1/models/m/predict", "\n".join([",".join(names)] + [",".join(number(draw) for _ in names)] * 50), "text/csv")
        for kind, name, head, row in ("text/csv", "rows.csv", ",".join(names) + ",y\n", table), ("application/x-ndjson", "rows.ndjson", "", record):
            rows = write(folder / name, head, row)
            before = peak(server.pid)
            with open(folder / name, "rb") as body:
                _, size, answered = request(port, "POST", "/v1/models/m/predict", body, kind)
            more = peak(server.pid) - before
            assert int(answered) == rows, (answered, rows)
            command = subprocess.Popen([BUILD / "backpropd", "batch", "--model", folder / "m.bpd", "--data", folder / name, "--out", folder / "out"], stderr=subprocess.DEVNULL)
            alone = 0
            while command.poll() is None:
                try:
                    alone = max(alone, peak(command.pid))
                except (TypeError, FileNotFoundError, ProcessLookupError):
                    pass
                try:
                    command.wait(0.1)
                except subprocess.TimeoutExpired:
                    pass
            assert command.returncode == 0
            print("%s: %d MB, %d rows, %d MB of predictions: server %.0f MB before, %.1f MB more; batch %.0f MB in all" % (kind, MEGABYTES, rows, size >> 20, before, more, alone), flush=True)
            if more > MOST or alone > 2 * MOST:
                faults.append(kind)
            (folder / name).unlink()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
        shutil.rmtree(folder)
    sys.exit("more than %d MB: %s" % (MOST, ", ".join(faults)) if faults else 0)


main()
