"""Goal: job processes may load oneDNN, the server never does; what they train is as good and repeats bit for bit. Skipped where the library is missing."""
import ctypes
import pathlib

import pytest

import harness

try:
    ctypes.CDLL("libdnnl.so.2")
except OSError:
    pytest.skip("libdnnl.so.2 (Debian package libdnnl2) is not installed: oneDNN is not tested", allow_module_level=True)

MODEL = {"layers": [{"type": "dense", "units": 64, "activation": "relu"}, {"type": "dense", "units": 32, "activation": "relu"}]}


def loads(process):
    return "libdnnl" in pathlib.Path("/proc/%d/maps" % process).read_text()


def history(server, job_id):
    return [point["loss"] for point in server.get("/v1/jobs/%s/metrics" % job_id).json["data"]]


def losses(server, **more):
    job = server.train(model=MODEL, dataset="breast_cancer", target="class", epochs=10, seed=5, **more)
    assert job["status"] == "succeeded", job
    return history(server, job["id"])


def test_jobs_load_it_and_the_server_does_not(fresh):
    curves = {}
    for mode in ("off", "on", "auto"):
        server = fresh(env={"BACKPROPD_ONEDNN": mode})
        server.upload("breast_cancer", harness.DATA / "breast_cancer.csv")
        long = server.submit(model=MODEL, dataset="breast_cancer", target="class", epochs=1000000)
        server.wait(long["id"], lambda j: j["status"] == "running" and j["progress"]["epoch"] >= 1)
        assert any(loads(child) for child in server.children()) == (mode == "on")  # auto: products as small as these do not repay it
        server.post("/v1/jobs/%s/cancel" % long["id"])
        server.wait(long["id"])
        curves[mode] = losses(server)
        assert losses(server) == curves[mode]
        assert not loads(server.process.pid)
        assert server.stop() == 0
    assert curves["auto"] == curves["off"]
    assert curves["on"] == pytest.approx(curves["off"], rel=1e-3)


def test_a_job_ends_the_same_after_a_kill(fresh):
    server = fresh(env={"BACKPROPD_ONEDNN": "on"})
    server.upload("breast_cancer", harness.DATA / "breast_cancer.csv")
    whole = losses(server, batch_size=16)
    job = server.submit(model=MODEL, dataset="breast_cancer", target="class", epochs=10, seed=5, batch_size=16, checkpoint_every_epochs=1)
    server.wait(job["id"], lambda j: j["status"] in harness.FINAL or j["progress"]["epoch"] >= 1)
    server.restart(kill=True)
    ended = server.wait(job["id"])
    assert ended["status"] == "succeeded"
    assert history(server, job["id"]) == whole
    assert not any("other kernels" in w for w in ended.get("warnings") or [])


def test_doctor_tells_of_it(tmp_path):
    told = harness.run("doctor", "--data-dir", tmp_path).stdout
    line = next(text for text in told.splitlines() if text.startswith("oneDNN "))
    assert "oneDNN 2." in line or "jobs do without it" in line
    assert any(text.startswith("bfloat16 ") for text in told.splitlines())
    blas = next(text for text in told.splitlines() if text.startswith("BLAS "))
    assert "oneDNN" not in blas  # what the server itself computes with
