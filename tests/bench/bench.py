"""bench.py BUILD_DIR - runs floor, backpropd and peers side by side: every program in turn, several short rounds, the median of each figure and of
the ratios of each round; then the server against the HTTP floor. Prints a table of ratios and writes it between the markers in README.md. Called by
run.sh, which builds what it runs; ends what it starts.

Only ratios taken in one run mean anything: the machine's other load falls on all of them alike."""
import datetime
import http.client
import json
import math
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()
ROUNDS = int(os.environ.get("ROUNDS", "3"))
MEASURE = os.environ.get("MEASURE_SECONDS", "0.06")
UPLOAD = int(os.environ.get("UPLOAD_MB", "50")) << 20
# OpenBLAS's kernels for x86-64, and what a CPU must have for them
CORES = {"Haswell": {"avx2", "fma"}, "Zen": {"avx2", "fma"}, "SkylakeX": {"avx512f", "avx512vl", "avx512bw", "avx512dq"},
         "Cooperlake": {"avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512_bf16"}}
INHERITED = "inherited"
started = []


def median(values):
    return statistics.median(values) if values else None


def log(text):
    print("bench: " + text, file=sys.stderr, flush=True)


def cpu():
    """Its name, and what it can do."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    name, flags = re.search(r"model name\s*:\s*(.*)", text), re.search(r"flags\s*:\s*(.*)", text)
    return name.group(1) if name else os.uname().machine, set(flags.group(1).split()) if flags else set()


def spawn(*command, **more):
    process = subprocess.Popen([str(c) for c in command], **more)
    started.append(process)
    return process


def end(process, how=signal.SIGTERM):
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    started.remove(process)


# ---- training ------------------------------------------------------------------------------------------------------------------

def environment(core):
    """This environment without what it says of OpenBLAS (core None), or with these kernels; core INHERITED: as it is."""
    env = {k: v for k, v in os.environ.items() if core == INHERITED or not k.startswith("OPENBLAS_")}
    if core not in (None, INHERITED):
        env["OPENBLAS_CORETYPE"] = core
    return env


def run(command, threads=1, core=None):
    """{workload: its JSON line} of one run; {} when the program is not there or fails. What stands before the program as NAME=value is for its
    environment."""
    settings = dict(str(word).split("=", 1) for word in command if str(word).split("=")[0].isupper())
    command = command[len(settings):]
    env = dict(environment(core), THREADS=str(threads), MEASURE_SECONDS=MEASURE, **settings)
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        env[name] = str(threads)
    process = spawn(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    try:
        out, err = process.communicate(timeout=600)
    except subprocess.TimeoutExpired:
        out, err = "", "it did not end within 10 minutes"
    finally:
        end(process, signal.SIGKILL)
    if process.returncode != 0:
        log("%s failed and is left out: %s" % (" ".join(map(str, [*settings, command[-1]])), err.strip().splitlines()[-1:] or process.returncode))
        return {}
    return {line["workload"]: line for line in map(json.loads, out.splitlines())}


def floor_of(core):
    return run([BUILD / "bench" / "floor_gemm"], core=core)


def blas_core(core):
    return next(iter(floor_of(core).values()))["core"]


def choose_cores():
    """(setting for all programs, its kernels, kernels that this environment alone would give). OpenBLAS takes a CPU newer than itself for an older one, down to a
    Prescott, and an OPENBLAS_CORETYPE in the environment may do so too: then floor and peers would be slower than they need to be, and ratios flattered. All
    run with the fastest kernels that this CPU can use, by the floor of wide and mnist; with OpenBLAS's own choice if none is faster by more than 5 %."""
    seconds = lambda core: sum(line["us_per_step"] for name, line in floor_of(core).items() if name in ("mnist", "wide"))
    usable = [core for core, flags in CORES.items() if flags <= cpu()[1]]
    rounds = [{core: seconds(core) for core in [None, *usable]} for _ in range(2)]
    measured = {core: min(r[core] for r in rounds) for core in rounds[0]}
    best = min(measured, key=measured.get)
    for core, took in measured.items():
        log("kernels %s: %.0f ms a step of wide and mnist" % (core or "as OpenBLAS chooses, " + blas_core(None), took / 1e3))
    fair = best if best and measured[None] > 1.05 * measured[best] else None
    return fair, blas_core(fair), blas_core(INHERITED)


def training(fair, core, plain_core):
    floor, ours = [BUILD / "bench" / "floor_gemm"], [BUILD / "bench" / "engine_bench"]
    names = list(run(ours, 1, fair)) or sys.exit("bench: engine_bench printed nothing")
    torch, sklearn = [sys.executable, HERE / "peer_torch.py", *names], [sys.executable, HERE / "peer_sklearn.py", *names]
    programs = []  # (column, command, threads, BLAS setting); what is compared stands close together
    for threads in (1, 2) if (os.cpu_count() or 1) > 1 else (1,):
        programs.append((("floor", threads), floor, threads, fair))
        programs.append((("backpropd", threads), ours, threads, fair))
        if threads == 1:
            programs.append((("oneDNN", 1), ["ONEDNN=auto", *ours], 1, fair))
            programs.append((("bfloat16", 1), ["PRECISION=bfloat16", *ours], 1, fair))
        if plain_core != core:
            programs.append((("floor " + plain_core, threads), floor, threads, INHERITED))
            programs.append((("backpropd " + plain_core, threads), ours, threads, INHERITED))
        programs.append((("PyTorch", threads), torch, threads, fair))
    programs.append((("scikit-learn", 1), sklearn, 1, fair))
    if (BUILD / "bench" / "peer_fann").exists():
        programs.append((("FANN", 1), [BUILD / "bench" / "peer_fann"], 1, fair))
    steps, singles, kernels = {}, {}, ""
    dead = set()  # what failed once is not tried again
    for number in range(ROUNDS):
        log("training, round %d of %d" % (number + 1, ROUNDS))
        for column, command, threads, setting in programs:
            if column[0] in dead:
                continue
            lines = run(command, threads, setting)
            if not lines:
                dead.add(column[0])
            for workload, line in lines.items():
                steps.setdefault((workload, *column), []).append(line["us_per_step"])
                if "us_predict_batch1" in line:
                    singles.setdefault((workload, *column), []).append(line["us_predict_batch1"])
                    if workload == "mnist":
                        singles.setdefault(("mnist, a picture (19% of the numbers are not 0)", *column), []).append(line["us_predict_picture"])
                kernels = line.get("kernels", kernels)
    return names, steps, singles, kernels


# ---- the ensemble of a table ------------------------------------------------------------------------------------------------------

def write_table(path, rows=4000, columns=20):
    """A class that depends on products, waves and squares of some of the columns, with noise. From the same numbers everywhere."""
    state = random.Random(1)
    numbers = [[state.gauss(0, 1) for _ in range(columns)] for _ in range(rows)]
    scores = [x[0] * x[1] + math.sin(2 * x[2]) + x[3] - x[4] ** 2 / 2 + state.gauss(0, 0.5) for x in numbers]
    middle = median(scores)
    with open(path, "w") as file:
        file.write(",".join("f%d" % i for i in range(columns)) + ",y\n")
        for x, score in zip(numbers, scores):
            file.write(",".join("%.5f" % n for n in x) + (",a\n" if score > middle else ",b\n"))


def ensemble(fair):
    """The default for a table as a job, and its networks in PyTorch: {wall seconds and processor seconds of both, the epochs}."""
    log("the ensemble of a table, here and in PyTorch")
    with tempfile.TemporaryDirectory() as folder:
        table, job_file = os.path.join(folder, "table.csv"), os.path.join(folder, "job.json")
        write_table(table)
        walls, busy = [], []
        for _ in range(ROUNDS):
            server = Server()
            try:
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                server.expect(201, "POST", "/v1/datasets?name=table", pathlib.Path(table).read_bytes(), "text/csv")
                job = server.train(seconds=600, dataset="table", target="y", effort="balanced", seed=1, threads=os.cpu_count())
            finally:
                server.stop()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            walls.append(job["training_seconds"])
            busy.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        pathlib.Path(job_file).write_text(json.dumps(job))
        found = [peer_ensemble(job_file, table, fair, threads) for threads in (1, 2)]
    return {"wall": median(walls), "busy": median(busy), "epochs": sum(f["epochs"] for f in job["cross_validation"]["folds"]), "peer": best_of(found)}


def peer_ensemble(job_file, table, fair, threads):
    """PyTorch's seconds for each family with that many threads, [] if it failed."""
    env = {**environment(fair), "OPENBLAS_NUM_THREADS": str(threads), "THREADS": str(threads)}
    done = subprocess.run([sys.executable, HERE / "peer_ensemble.py", job_file, table], capture_output=True, text=True, timeout=600, env=env)
    if done.returncode != 0:
        log("peer_ensemble.py failed and is left out: %s" % done.stderr.strip().splitlines()[-1:])
    return json.loads(done.stdout)["families"] if done.returncode == 0 else []


def best_of(found):
    """Each family with the number of threads that is fastest for it, and the least time of the processor; None if there is none."""
    families = list(zip(*filter(None, found)))
    if not families:
        return None
    fastest = [min(same, key=lambda f: f["seconds"]) for same in families]
    return {"families": fastest, "seconds": sum(f["seconds"] for f in fastest), "busy": sum(min(f["busy"] for f in same) for same in families)}


def ensemble_table(found):
    peer = found["peer"]
    lines = ["| the default ensemble of a table (`balanced`, 4,000 rows x 20 numbers, two classes) | backpropd | PyTorch | faster |", "|" + "---|" * 4]
    for name, ours, theirs in (("seconds; PyTorch: one process, one thread or two", found["wall"], peer and peer["seconds"]),
                               ("seconds of processor time", found["busy"], peer and peer["busy"])):
        lines.append("| %s | %.1f | %s | %s |" % (name, ours, "%.0f" % theirs if theirs else "-", "%.1fx" % (theirs / ours) if theirs else "-"))
    parts = ", ".join("%s %.0f s for %d" % (f["family"], f["seconds"], f["epochs"]) for f in peer["families"]) if peer else "-"
    return lines + ["", "%d epochs of 20 networks. PyTorch is timed for a few epochs of each family and scaled up: %s." % (found["epochs"], parts)]


# ---- the server ----------------------------------------------------------------------------------------------------------------

class Server:
    def __init__(self, *flags):
        self.folder = tempfile.mkdtemp(prefix="backpropd-bench-")
        self.log = open(os.path.join(self.folder, "log"), "wb")
        begin = time.perf_counter()
        self.process = spawn(BUILD / "backpropd", "serve", "--listen", "127.0.0.1:0", "--data-dir", os.path.join(self.folder, "data"), *flags,
                             stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        if "listening on" not in line:
            sys.exit("bench: the server did not start, see %s" % self.log.name)
        self.port = int(line.rsplit(":", 1)[1])
        assert self.request("GET", "/readyz")[0] == 200
        self.ready_ms = (time.perf_counter() - begin) * 1e3

    def request(self, method, path, body=None, kind="application/json"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body if body is None or isinstance(body, bytes) else json.dumps(body).encode(), {"Content-Type": kind})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def expect(self, status, *what):
        got = self.request(*what)
        if got[0] != status:
            raise RuntimeError("%s %s: %r" % (what[0], what[1], got))
        return got[1]

    def train(self, seconds=60, **job):
        made = self.expect(202, "POST", "/v1/jobs", job)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job = self.expect(200, "GET", "/v1/jobs/" + made["id"])
            if job["status"] in ("succeeded", "failed", "cancelled"):
                if job["status"] != "succeeded":
                    raise RuntimeError("a job %s: %r" % (job["status"], job))
                return job
            time.sleep(0.02)
        raise RuntimeError("a job did not end within %d seconds" % seconds)

    def first_epoch_ms(self, job):
        """From the first byte of the POST to the first epoch on the event stream."""
        begin = time.perf_counter()
        made = self.expect(202, "POST", "/v1/jobs", job)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", "/v1/jobs/%s/events" % made["id"], headers={"Accept": "text/event-stream"})
        answer = connection.getresponse()
        for line in iter(answer.readline, b""):
            if line.strip() == b"event: metrics":
                took = (time.perf_counter() - begin) * 1e3
                connection.close()
                return took
        raise RuntimeError("the stream ended without an epoch")

    def cpu_seconds(self):
        fields = pathlib.Path("/proc/%d/stat" % self.process.pid).read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self):
        return int(re.search(r"VmRSS:\s*(\d+)", pathlib.Path("/proc/%d/status" % self.process.pid).read_text()).group(1)) / 1024

    def stop(self):
        end(self.process)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def wrk(url, script, connections=32, seconds=2):
    out = subprocess.run(["wrk", "-t1", "-c%d" % connections, "-d%ds" % seconds, "-s", str(HERE / script), url], capture_output=True, text=True,
                         timeout=60).stdout
    if "Non-2xx" in out or "Requests/sec" not in out:
        raise RuntimeError("wrk %s: %s" % (url, out))
    return float(re.search(r"Requests/sec:\s*([\d.]+)", out).group(1))


def predictions(server):
    """{script: [(connections, floor's rate, our rate)]}, alternating."""
    dense = lambda *units: [{"type": "dense", "units": u, "activation": "relu"} for u in units]
    server.train(model={"name": "x30", "layers": dense(64, 32)}, dataset="breast_cancer", target="class", epochs=3)
    rows = [[(i * j % 97) / 97 for j in range(784)] for i in range(100)]
    server.train(model={"name": "x784", "layers": dense(512, 256)}, dataset={"name": "images", "x": rows, "y": ["c%d" % (i % 10) for i in range(100)]},
                 target="y", epochs=1)
    if not shutil.which("wrk"):
        log("wrk is not here: the rate of predictions is left out")
        return {}
    floor = spawn(BUILD / "bench" / "floor_http", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        floor_url = "http://127.0.0.1:%d/" % int(floor.stdout.readline())
        found = {}
        for number in range(ROUNDS):
            log("predictions, round %d of %d" % (number + 1, ROUNDS))
            for script, model in (("post30.lua", "x30"), ("post784.lua", "x784")):
                url = "http://127.0.0.1:%d/v1/models/%s/predict" % (server.port, model)
                for connections in (1, 32):
                    found.setdefault((script, connections), []).append((wrk(floor_url, script, connections), wrk(url, script, connections)))
        return {k: (median([a for a, _ in v]), median([b for _, b in v]), median([b / a for a, b in v])) for k, v in found.items()}
    finally:
        floor.stdin.close()
        end(floor)


def upload_files(folder):
    """[(name, file, Content-Type, query)] of UPLOAD bytes each, all of the same numbers where the format allows it."""
    numbers = [10 + i * 0.37 for i in range(30)]
    row = ",".join("%.4f" % n for n in numbers)
    names = ["f%d" % i for i in range(30)]
    record = "{" + ",".join('"%s":%.4f' % pair for pair in zip(names, numbers)) + ',"y":"%s"}'
    times = lambda text: UPLOAD // len(text) + 1
    lines = "".join("%s,%s\n" % (row, "ab"[i % 2]) for i in range(1000))
    records = "".join(record % "ab"[i % 2] + "\n" for i in range(1000))
    count = times(row + '"a",[],')
    made = [("CSV", "text/csv", ",".join(names) + ",y\n" + lines * times(lines)),
            ("JSON arrays", "application/json", '{"name":"big","x":[' + ",".join(["[%s]" % row] * count) + '],"y":[' + ",".join('"a"' if i % 2 else '"b"' for i in range(count)) + "]}"),
            ("NDJSON", "application/x-ndjson", records * times(records))]
    files = []
    for name, kind, text in made:
        files.append((name, folder / name, kind))
        files[-1][1].write_text(text)
    try:
        import numpy
    except ImportError:
        return files
    random = numpy.random.default_rng(1)
    for name, values in (("NPY of float64", random.normal(size=(UPLOAD // 240, 30))), ("NPY of float32", random.normal(size=(UPLOAD // 120, 30)).astype("f4")),
                         ("NPY of images", random.integers(0, 256, size=(UPLOAD // 784, 28, 28)).astype("u1"))):
        with open(folder / name, "wb") as file:
            numpy.save(file, values)
        files.append((name, folder / name, "application/x-npy"))
    return files


def upload_rates(server):
    """{name: (MB/s through HTTP until it is committed, MB per second of the server's processor time, what the peer reads a second, the peer)}, and how the float64
    are read back for a training"""
    rates, back = {}, None
    with tempfile.TemporaryDirectory() as folder:
        for name, path, kind in upload_files(pathlib.Path(folder)):
            body, measured = path.read_bytes(), []
            for _ in range(ROUNDS):
                begin, busy = time.perf_counter(), server.cpu_seconds()
                server.expect(201, "POST", "/v1/datasets?name=big", body, kind)
                measured.append((len(body) / 1e6 / (time.perf_counter() - begin), len(body) / 1e6 / max(server.cpu_seconds() - busy, 0.01)))
                if name == "NPY of float64":
                    files = sorted(pathlib.Path(server.folder, "data", "datasets").iterdir(), key=lambda f: f.stat().st_size)
                    back = json.loads(subprocess.run([BUILD / "bench" / "read_back", files[-1]], capture_output=True, text=True, timeout=120).stdout or "null")
                server.request("DELETE", "/v1/datasets/big")
            done = subprocess.run([sys.executable, HERE / "peer_readers.py", name, path], capture_output=True, text=True, timeout=600)
            peer = json.loads(done.stdout) if done.returncode == 0 else {"rate": None, "peer": "-"}
            rates[name] = (median([m[0] for m in measured]), median([m[1] for m in measured]), peer["rate"], peer["peer"])
    return rates, back


def serving():
    figures = {}
    times = []
    for _ in range(10):
        server = Server()
        times.append(server.ready_ms)
        server.stop()
    figures["ready"] = median(times)
    server = Server()
    try:
        time.sleep(1)
        figures["rss"] = server.rss_mb()
        server.expect(201, "POST", "/v1/datasets?name=breast_cancer", (ROOT / "tests/fixtures/data/breast_cancer.csv").read_bytes(), "text/csv")
        job = dict(model={"layers": [{"type": "dense", "units": 16, "activation": "relu"}]}, dataset="breast_cancer", target="class", epochs=2)
        parts = {"epoch": lambda: median([server.first_epoch_ms(job) for _ in range(10)]), "upload": lambda: upload_rates(server),
                 "predict": lambda: predictions(server)}
        for name, measure in parts.items():
            log("server: " + name)
            try:
                figures[name] = measure()
            except (OSError, RuntimeError, http.client.HTTPException, subprocess.TimeoutExpired) as error:
                log("%s is left out: %s" % (name, error))
        figures["rss_after"] = server.rss_mb()
    finally:
        server.stop()
    log("rows of texts and batches")
    done = subprocess.run([sys.executable, ROOT / "tests/bench/predict_rows.py", BUILD], capture_output=True, text=True, env={**os.environ, "ROWS": "2"})
    figures["rows"] = done.stdout.splitlines() if done.returncode == 0 else []
    if done.returncode != 0:
        log("predict_rows.py has failed: " + done.stderr[-300:])
    return figures


# ---- the table -----------------------------------------------------------------------------------------------------------------

def number(value):
    if value is None:
        return "-"
    return "%.2f" % value if value < 10 else "%.1f" % value if value < 100 else "{:,.0f}".format(value)


def ratio(a, b, form="%.2fx"):
    """Of figures of the same rounds: the median of the rounds' ratios, so that what slows the machine for a while falls on both."""
    return form % median([x / y for x, y in zip(a, b)]) if a and b else "-"


def training_table(names, steps, singles, core, plain_core):
    lines = ["| µs a step, 1 thread | backpropd | floor | PyTorch | scikit-learn | FANN | of the floor | faster than PyTorch | than scikit-learn | than FANN |",
             "|" + "---|" * 10]
    for w in names:
        ours, floor = steps.get((w, "backpropd", 1)), steps.get((w, "floor", 1))
        peers = [steps.get((w, p, 1)) for p in ("PyTorch", "scikit-learn", "FANN")]
        lines.append("| %s | " % w + " | ".join(number(median(n)) for n in [ours, floor, *peers]) + " | %s | " % ratio(ours, floor)
                     + " | ".join(ratio(p, ours, "%.1fx") for p in peers) + " |")
    if plain_core != core:
        ours, floor = "backpropd " + plain_core, "floor " + plain_core
        lines += ["", "| with %s kernels in the BLAS | backpropd | floor | of this floor | of the floor with %s |" % (plain_core, core), "|" + "---|" * 5]
        for w in names:
            a, b = steps.get((w, ours, 1)), steps.get((w, floor, 1))
            lines.append("| %s | %s | %s | %s | %s |" % (w, number(median(a)), number(median(b)), ratio(a, b), ratio(a, steps.get((w, "floor", 1)))))
    if any(k[1] == "oneDNN" for k in steps):
        lines += ["", "| with oneDNN, µs a step | float32 | of the floor | faster than PyTorch | bfloat16 | of the floor | faster than PyTorch |", "|" + "---|" * 7]
        for w in names:
            floor, torch = steps.get((w, "floor", 1)), steps.get((w, "PyTorch", 1))
            single, half = steps.get((w, "oneDNN", 1)), steps.get((w, "bfloat16", 1))
            lines.append("| %s | " % w + " | ".join(f for ours in (single, half) for f in (number(median(ours)), ratio(ours, floor), ratio(torch, ours, "%.1fx"))) + " |")
    if any(k[2] == 2 for k in steps):
        columns = ["backpropd", "floor", "PyTorch"] + (["backpropd " + plain_core, "floor " + plain_core] if plain_core != core else [])
        lines += ["", "| two threads' time as a share of one's | " + " | ".join(columns) + " |", "|" + "---|" * (1 + len(columns))]
        for w in ("mnist", "wide"):
            lines.append("| %s | " % w + " | ".join(ratio(steps.get((w, c, 2)), steps.get((w, c, 1)), "%.2f") for c in columns) + " |")
    lines += ["", "| forward of one sample, µs | backpropd | PyTorch | share |", "|---|---|---|---|"]
    for w in dict.fromkeys(k[0] for k in singles):
        ours, torch = singles.get((w, "backpropd", 1)), singles.get((w, "PyTorch", 1))
        lines.append("| %s | %s | %s | %s |" % (w, number(median(ours)), number(median(torch)), ratio(ours, torch)))
    return lines


def serving_table(f):
    lines = ["| server | measured |", "|---|---|",
             "| start to ready (first 200 of /readyz), median of 10 | %.1f ms |" % f["ready"],
             "| resident memory, idle | %.1f MB |" % f["rss"],
             "| resident memory after all of this | %.1f MB |" % f["rss_after"],
             "| submit to first epoch on the stream, median of 10 | %s ms |" % number(f.get("epoch"))]
    if f.get("upload"):
        lines += ["", "| upload of %d MB, through HTTP and committed | MB/s | MB per second of processor | peer reads MB/s | peer |" % (UPLOAD >> 20), "|" + "---|" * 5]
        rates, back = f["upload"]
        lines += ["| %s | %s | %s | %s | %s |" % (name, number(wall), number(busy), number(rate), peer) for name, (wall, busy, rate, peer) in rates.items()]
        if back:
            lines += ["", "| read back for training, GB of float64 a second | |", "|---|---|",
                      "| columns, from the first row to the last | %.1f |" % (back["columns"] / 1e9),
                      "| mini-batches of shuffled rows, scaled, as the trainer gets them | %.2f |" % (back["batches"] / 1e9)]
    if f.get("predict"):
        lines += ["", "| predictions a second | connections | backpropd | HTTP floor | share of the floor |", "|---|---|---|---|---|"]
        for (script, connections), (floor, ours, share) in sorted(f["predict"].items()):
            lines.append("| %s numbers | %d | %s | %s | %.2f |" % (re.sub(r"\D", "", script), connections, number(ours), number(floor), share))
    return lines + ([""] + f["rows"] if f.get("rows") else [])


def version_of(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip().splitlines()[0]
    except (OSError, IndexError, subprocess.TimeoutExpired):
        return "none"


def heading(fair, core, plain_core, kernels, load):
    python = lambda module: version_of([sys.executable, "-c", "import %s; print(%s.__version__)" % (module, module)])
    package = lambda name: version_of(["dpkg-query", "-W", "-f", "${Version}", name])
    said = " ".join("%s=%s" % i for i in sorted(os.environ.items()) if i[0].startswith("OPENBLAS_") and i[0] != "OPENBLAS_NUM_THREADS")
    lines = ["%s; %s, %d cores, load %.1f before the run. BLAS kernels %s%s; own kernels %s." % (
        datetime.date.today().isoformat(), cpu()[0], os.cpu_count(), load, core, " (the fastest on this CPU; OpenBLAS would choose %s)" % blas_core(None) if fair else "",
        kernels)]
    if plain_core != core:
        lines.append("As this machine is set up%s, OpenBLAS would take %s kernels: measured too." % (" (%s)" % said if said else "", plain_core))
    if load >= 1:
        lines.append("The machine was busy with other things: the ratios are rough, those of times by the clock worth little; those of two threads are left out.")
    return lines + ["%s; OpenBLAS %s, oneDNN %s, libmicrohttpd %s, PyTorch %s, scikit-learn %s, FANN %s, gcc %s." % (
        version_of([str(BUILD / "backpropd"), "--version"]).split(" (")[0], package("libopenblas0-pthread"), package("libdnnl2"), package("libmicrohttpd12"), python("torch"),
        python("sklearn"), package("libfann2"), version_of(["gcc", "-dumpfullversion"])), ""]


def write(lines):
    readme = HERE / "README.md"
    text = readme.read_text()
    begin, finish = "<!-- bench:begin -->", "<!-- bench:end -->"
    if begin not in text or finish not in text:
        sys.exit("bench: README.md has lost its markers %s and %s" % (begin, finish))
    readme.write_text(text[:text.index(begin) + len(begin)] + "\n" + "\n".join(lines) + "\n" + text[text.index(finish):])


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    load = os.getloadavg()[0]
    begin = time.monotonic()
    try:
        fair, core, plain_core = choose_cores()
        names, steps, singles, kernels = training(fair, core, plain_core)
        whole = ensemble(fair)
        figures = serving()
    finally:
        for process in list(started):
            end(process, signal.SIGKILL)
    if load >= 1:
        steps = {key: times for key, times in steps.items() if key[2] == 1}
    lines = heading(fair, core, plain_core, kernels, load) + training_table(names, steps, singles, core, plain_core) + [""] + ensemble_table(whole) + [""] + serving_table(figures)
    print("\n".join(lines))
    write(lines)
    log("done in %.0f s; the table is in tests/bench/README.md" % (time.monotonic() - begin))


main()
