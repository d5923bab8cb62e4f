"""Goal: `backpropd batch` predicts any number of rows with bounded memory, as the server does; failed rows go apart; nothing half is left behind."""
import gzip
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys

import pytest

import harness
from harness import unique

PENGUINS = harness.ROOT / "clients/examples/penguins.csv"


def run(*arguments, **options):
    return harness.run("batch", *arguments, **options)


@pytest.fixture(scope="module")
def model(server, tmp_path_factory):
    """The same version on the server and as a file."""
    name, path = unique("cli"), tmp_path_factory.mktemp("batch") / "m.bpd"
    server.train(model={"name": name, "layers": [{"type": "dense", "units": 8, "activation": "relu"}]}, dataset="penguins", target="species", epochs=5)
    path.write_bytes(server.get("/v1/models/%s/versions/1/export?format=bpd" % name).body)
    return name, path


def streamed(server, name, body, query="", **headers):
    answer = server.request("POST", "/v1/models/%s/predict%s" % (name, query), body=body, headers={"Content-Type": "text/csv", **headers})
    assert answer.status == 200, answer
    return answer.body.decode()


def test_a_file_has_the_bytes_of_the_server(server, model, tmp_path):
    name, path = model
    text = PENGUINS.read_bytes()
    for form, accept in ("csv", "text/csv"), ("ndjson", "application/x-ndjson"):
        expected = streamed(server, name, text, Accept=accept)
        done = run("--model", path, "--data", PENGUINS, "--format", form)
        assert done.returncode == 0 and done.stdout == expected, done
    assert run("--model", path, "--data", "-", stdin=text.decode()).stdout == streamed(server, name, text)
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress(text))
    (tmp_path / "p.tsv").write_bytes(text.replace(b",", b"\t"))
    (tmp_path / "p.json").write_text(json.dumps({"records": [{k: v if k != "species" else v for k, v in row.items()} for row in server.rows("penguins")]}))
    for file in "p.csv.gz", "p.tsv":
        assert run("--model", path, "--data", tmp_path / file, "--out", tmp_path / "out.csv").returncode == 0
        assert (tmp_path / "out.csv").read_text() == streamed(server, name, text), file
    done = run("--model", path, "--data", tmp_path / "p.json", "--keep", "none")
    assert done.returncode == 0 and done.stdout == streamed(server, name, text, "?keep=none"), done
    assert "\r" not in done.stderr  # no bar: stderr is no terminal


def test_failed_rows_go_apart(model, tmp_path):
    header = "island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex\n"
    (tmp_path / "in.csv").write_text(header + "Biscoe,49.9,16.1,213,5400,male\nBiscoe,long,16.1,213,5400,male\nDream,50,19,200,3900,female\n")
    done = run("--model", model[1], "--data", tmp_path / "in.csv", "--out", tmp_path / "out.csv", "--failures", tmp_path / "failed.csv", "--json")
    out, failed = (tmp_path / "out.csv").read_text().splitlines(), (tmp_path / "failed.csv").read_text().splitlines()
    assert done.returncode == 0 and {k: json.loads(done.stdout)[k] for k in ("rows", "failed_rows")} == {"rows": 3, "failed_rows": 1}, done
    assert len(out) == 3 and len(failed) == 2 and failed[1].startswith("2,") and "long" in failed[1] and [line.split(",")[0] for line in out] == ["row", "1", "3"]
    done = run("--model", model[1], "--data", tmp_path / "in.csv")
    assert done.returncode == 0 and "1 of 3 rows" in done.stderr and len(done.stdout.splitlines()) == 4 and "long" in done.stdout.splitlines()[2]


def test_a_dataset_of_a_server(server, model, tmp_path):
    name, path = model
    done = run("--url", server.url, "--model", name, "--dataset", "penguins", "--out", tmp_path / "out.csv", "--failures", tmp_path / "failed.csv", "--json")
    assert done.returncode == 0, done
    job = json.loads(done.stdout)
    assert job["status"] == "succeeded" and job["kind"] == "predict" and "\r" not in done.stderr
    assert (tmp_path / "out.csv").read_bytes() == server.get("/v1/batches/%s/result" % job["id"]).body
    assert (tmp_path / "failed.csv").read_bytes() == server.get("/v1/batches/%s/failures" % job["id"]).body
    detached = run("--url", server.url, "--model", name + "@1", "--dataset", "penguins@1", "--format", "ndjson", "--keep", "island,sex", "--detach").stdout.strip()
    ended = server.wait(detached)
    assert ended["status"] == "succeeded" and ended["keep"] == ["island", "sex"] and ended["format"] == "ndjson"


def test_memory_is_bounded_and_an_interrupt_leaves_nothing(model, tmp_path):
    lines = PENGUINS.read_text().splitlines(keepends=True)
    with open(tmp_path / "big.csv", "w") as f:
        f.write(lines[0])
        for _ in range(3000):
            f.writelines(lines[1:])
    size = os.path.getsize(tmp_path / "big.csv")
    code = "import resource,subprocess,sys; s=subprocess.run(sys.argv[1:]).returncode; print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(s)"
    command = [harness.BACKPROPD, "batch", "--model", str(model[1]), "--data", str(tmp_path / "big.csv"), "--out", str(tmp_path / "out.csv")]
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
    assert done.returncode == 0, done
    if "asan" not in str(harness.BACKPROPD):
        assert int(done.stdout) * 1024 < 40e6 < size, (done.stdout, size)
    with open(tmp_path / "out.csv") as f:
        assert sum(1 for _ in f) == 3000 * 344 + 1
    (tmp_path / "out.csv").unlink()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for _ in range(500):
        if any(p.name.endswith(".tmp") and p.stat().st_size for p in pathlib.Path(tmp_path).iterdir()) or process.poll() is not None:
            break
        signal.sigtimedwait([], 0.01)
    process.send_signal(signal.SIGINT)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "interrupted" in stderr, (process.returncode, stderr)
    assert {p.name for p in tmp_path.iterdir()} == {"big.csv"}


@pytest.mark.parametrize("arguments, words", [
    ([], "--model"), (["--data", "FILE", "--format", "xml"], "csv|ndjson|json"), (["--data", "/nonexistent.csv"], "/nonexistent.csv"), (["--data", "FILE", "--out", "/nonexistent/x"], "/nonexistent/x"),
    (["--data", "FILE", "--thresholds", "{"], "--thresholds"), (["--data", "FILE", "--keep", "nothing"], "nothing"), (["--data", "EMPTY"], "empty"),
    (["--url", "http://127.0.0.1:1", "--dataset", "x"], "127.0.0.1"), (["--data", "FILE", "--detach"], "expected"),
], ids=lambda v: str(v)[-40:])
def test_refusals(model, tmp_path, arguments, words):
    (tmp_path / "empty.csv").write_text("")
    done = run("--model", model[1], *(PENGUINS if a == "FILE" else tmp_path / "empty.csv" if a == "EMPTY" else a for a in arguments))
    assert done.returncode in (1, 2) and words in done.stderr and {p.name for p in tmp_path.iterdir()} == {"empty.csv"}, done
