"""Goal: `backpropd sweep` does over a file what a server does, shows a bar on a terminal only, and leaves nothing behind."""
import json
import os
import pty
import re
import signal
import subprocess

import pytest

import harness

NET = {"layers": [{"type": "dense", "units": 4, "activation": "tanh"}]}
SPACE = {"optimizer.learning_rate": {"log_range": [0.0001, 0.1]}, "model.layers.0.units": {"choice": [2, 4, 8]}}


@pytest.fixture
def work(tmp_path):
    (tmp_path / "net.json").write_text(json.dumps(NET))
    (tmp_path / "space.json").write_text(json.dumps(SPACE))
    (tmp_path / "options.json").write_text(json.dumps({"early_stopping": False, "batch_size": 16}))
    (tmp_path / "temporary").mkdir()
    return tmp_path


def arguments(work, *more, data=harness.DATA / "iris.csv"):
    return ["sweep", "--data", str(data), "--target", "class", "--definition", str(work / "net.json"), "--space", str(work / "space.json"), "--options", str(work / "options.json"),
            "--seed", "5", "--out", str(work / "best.bpd"), *more]


def environment(work):
    return {"TMPDIR": str(work / "temporary"), "BACKPROPD_DATA_DIR": "/nowhere", "BACKPROPD_TLS_CERT": "/nowhere"}  # settings of another server mean nothing


def clean(work):
    return list((work / "temporary").iterdir()) == []


def test_a_file_as_on_a_server(server, work):
    out = harness.run(*arguments(work, "--method", "asha", "--trials", "9", "--epochs", "9", "--json"), env=environment(work))
    assert out.returncode == 0 and clean(work), out.stderr
    got = json.loads(out.stdout)
    body = {"model": NET, "dataset": "iris", "job": {"target": "class", "early_stopping": False, "batch_size": 16, "epochs": 9}, "space": SPACE, "seed": 5, "method": "asha", "trials": 9, "parallel": 1}
    one = server.post("/v1/sweeps", body).json
    w = harness.until(lambda: (lambda s: s if s["finished_at"] else None)(server.get("/v1/sweeps/" + one["id"]).json), what="the end of the sweep")
    listed = server.get("/v1/sweeps/%s/trials?sort=value" % w["id"]).json
    keys = ("number", "status", "parameters", "value", "epochs", "rung", "stopped")
    assert [{k: t[k] for k in keys} for t in got["trials"]] == [{k: t[k] for k in keys} for t in listed["data"]] and got["rungs"] == listed["rungs"]
    assert got["sweep"]["best_trial"] == w["best_trial"] and "written to" in out.stderr and "\r" not in out.stderr
    imported = server.raw("POST", "/v1/models/import?name=sweep-cli", (work / "best.bpd").read_bytes(), {"Content-Type": "application/octet-stream"})
    assert imported.status == 201
    own = "/v1/models/%s/versions/%d/predict" % (w["id"], w["best"]["model_version"])
    rows = {"instances": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]]}
    assert server.post("/v1/models/sweep-cli/predict", rows).json["predictions"] == server.post(own, rows).json["predictions"]


def test_the_table(work):
    out = harness.run(*arguments(work, "--trials", "25", "--epochs", "1", "--parallel", "2", "--metric", "val_accuracy"), env=environment(work))
    assert out.returncode == 0 and clean(work), out.stderr
    lines = [line.split() for line in out.stdout.splitlines()]
    assert lines[0] == ["trial", "status", "val_accuracy", "epochs", "seconds", "optimizer.learning_rate", "model.layers.0.units"]
    values = [float(line[2]) for line in lines[1:21]]
    assert values == sorted(values, reverse=True) and lines[21] == "... and 5 more; --json prints all".split() and len(lines) == 22
    assert re.search(r"the best is trial %s: val_accuracy" % lines[1][0], out.stderr)


def test_a_grid_from_standard_input(work):
    (work / "space.json").write_text(json.dumps({"l2": {"choice": [0, 0.01]}}))
    out = harness.run(*arguments(work, "--method", "grid", "--epochs", "1", data="-"), stdin=(harness.DATA / "iris.csv").read_text(), env=environment(work))
    assert out.returncode == 0 and clean(work) and len(out.stdout.splitlines()) == 3, out.stderr


def test_a_bar_on_a_terminal_only(work):
    leader, follower = pty.openpty()
    process = subprocess.Popen([harness.BACKPROPD, *arguments(work, "--trials", "3", "--epochs", "2")], stdout=subprocess.DEVNULL, stderr=follower, env={**os.environ, **environment(work)})
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(leader)
    assert process.wait(harness.patience(60)) == 0 and clean(work)
    assert b"trial 3/3 [##############################] best val_loss" in shown


def test_ctrl_c_leaves_nothing(work):
    (work / "net.json").write_text(json.dumps({"layers": [*NET["layers"], *harness.SLOW]}))
    process = subprocess.Popen([harness.BACKPROPD, *arguments(work, "--trials", "3", "--epochs", "1000000")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, **environment(work)})
    harness.until(lambda: list((work / "temporary").glob("*/data/checkpoints/*")), what="a running trial")
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=harness.patience(60))
    assert process.returncode == 130 and clean(work) and "interrupted" in errors
    assert not (work / "best.bpd").exists()


def test_on_a_server(server, work):
    server.post("/v1/models", {"name": "cli-swept", **NET})
    flags = ["sweep", "--url", server.url, "--model", "cli-swept", "--dataset", "iris", "--target", "class", "--space", str(work / "space.json"), "--trials", "4", "--epochs", "2", "--seed", "1"]
    out = harness.run(*flags, "--publish", "if_better", "--parallel", "1")
    assert out.returncode == 0 and "published: trial" in out.stderr and len(out.stdout.splitlines()) == 5
    assert list(server.get("/v1/models/cli-swept").json["aliases"]) == ["default"]
    out = harness.run(*flags, "--detach", "--keep-versions")
    one = out.stdout.strip()
    w = harness.until(lambda: (lambda s: s if s["finished_at"] else None)(server.get("/v1/sweeps/" + one).json), what="the end of the sweep")
    assert w["status"] == "succeeded" and w["keep_versions"] is True and w["trials"]["total"] == 4
    out = harness.run(*flags, "--definition", str(work / "net.json"), "--method", "asha", "--min-epochs", "1", "--eta", "2", "--json")
    assert out.returncode == 0 and json.loads(out.stdout)["sweep"]["asha"] == {"eta": 2, "min_epochs": 1}


def test_what_is_refused(server, work):
    missing = str(work / "nothing")
    for flags, code, words in ((["sweep"], 2, "--space FILE"), (arguments(work, "--url", server.url), 2, "expected --data"), (arguments(work, "--detach"), 2, "expected --data"),
                               (arguments(work, "--parallel", "0"), 2, "--parallel"), (arguments(work, "--trials", "0"), 1, "trials must be"), (arguments(work, "--method", "bayes"), 1, "method"),
                               (arguments(work, "--target", "nothing"), 1, "nothing"), (arguments(work, "--space", missing), 1, missing), (arguments(work, "--definition", missing), 1, missing),
                               (arguments(work, data=missing), 1, missing), (arguments(work, "--trails", "3"), 2, "did you mean --trials"), (arguments(work, "--options", str(work / "net.json")), 1, "layers")):
        out = harness.run(*flags, env=environment(work))
        assert out.returncode == code and words in out.stderr and out.stdout == "" and clean(work), (flags, out)
    out = harness.run(*arguments(work), env={"TMPDIR": missing})
    assert out.returncode == 1 and "TMPDIR" in out.stderr
    (work / "space.json").write_text("[1]")
    assert "not a JSON object" in harness.run(*arguments(work), env=environment(work)).stderr
