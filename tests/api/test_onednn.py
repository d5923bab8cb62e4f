"""Goal: job processes may load oneDNN, the server never does; what they train is as good and repeats bit for bit. Skipped where the library is missing."""
import ctypes
import pathlib
import subprocess

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
    job = server.train(model=MODEL, dataset="breast_cancer", target="class", seed=5, **{"epochs": 10, **more})
    assert job["status"] == "succeeded", job
    return history(server, job["id"])


def test_jobs_load_it_and_the_server_does_not(fresh):
    curves = {}
    for mode in ("off", "on", "auto"):
        server = fresh("--job-confinement", "false", env={"BACKPROPD_ONEDNN": mode})  # of a confined process the maps are root's to see
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


@harness.again_if_too_late
def test_a_job_ends_the_same_after_a_kill(fresh):
    server = fresh(env={"BACKPROPD_ONEDNN": "on"})
    server.upload("breast_cancer", harness.DATA / "breast_cancer.csv")
    whole = losses(server, batch_size=16, epochs=200)
    job = server.submit(model=MODEL, dataset="breast_cancer", target="class", epochs=200, seed=5, batch_size=16, checkpoint_every_epochs=1)
    server.wait(job["id"], lambda j: j["progress"]["epoch"] >= 1)
    server.restart(kill=True)
    server.wait(job["id"], lambda j: j["attempt"] > 1)
    ended = server.wait(job["id"])
    assert ended["status"] == "succeeded"
    assert history(server, job["id"]) == whole
    assert not any("other kernels" in w for w in ended.get("warnings") or [])


def test_doctor_reports_it(tmp_path):
    told = harness.run("doctor", "--data-dir", tmp_path).stdout
    line = next(text for text in told.splitlines() if text.startswith("oneDNN "))
    assert "oneDNN 2." in line or "jobs run without it" in line
    assert any(text.startswith("bfloat16 ") for text in told.splitlines())
    blas = next(text for text in told.splitlines() if text.startswith("BLAS "))
    assert "oneDNN" not in blas  # what the server itself computes with


# ---- products in bfloat16 are refused at the submission where jobs cannot load the library ---------------------------

@pytest.fixture
def bfloat16_here(tmp_path):
    """Skips where the CPU, or this library, has no products in bfloat16: then they are refused before the library is called."""
    line = next(text for text in harness.run("doctor", "--data-dir", tmp_path).stdout.splitlines() if text.startswith("bfloat16 "))
    if "available, for jobs" not in line:
        pytest.skip("no products in bfloat16 on this machine: " + line[14:])


def library(folder, source):
    """A libdnnl.so.2 of that source, before the true one in the environment returned."""
    made = subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", folder / "libdnnl.so.2"], input=source, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return {"LD_LIBRARY_PATH": str(folder)}


def refusal(server):
    """A submission and a validation must report the same about bfloat16."""
    job = {"dataset": "breast_cancer", "target": "class", "precision": "bfloat16"}
    told = harness.pointers(server.post("/v1/jobs", {**job, "model": MODEL}))
    assert harness.pointers(server.post("/v1/models/validate", {**job, "definition": MODEL})) == told
    assert list(told) == ["/precision"] and 'use "float32" or "auto"' in told["/precision"]
    assert not server.children() and server.get("/v1/jobs").json["data"] == []
    assert "libdnnl" not in pathlib.Path("/proc/%d/maps" % server.process.pid).read_text()
    return told["/precision"]


def test_bfloat16_is_taken_with_the_library(fresh, bfloat16_here):
    server = fresh()
    server.upload("breast_cancer", harness.DATA / "breast_cancer.csv")
    job = {"dataset": "breast_cancer", "target": "class", "precision": "bfloat16"}
    assert server.post("/v1/models/validate", {**job, "definition": MODEL}).status == 200
    assert not server.children()
    assert len(losses(server, precision="bfloat16")) == 10
    assert not loads(server.process.pid)


def test_bfloat16_is_refused_with_a_library_that_is_none(fresh, bfloat16_here, tmp_path):
    server = fresh(env=library(tmp_path, "int nothing;"))
    server.upload("breast_cancer", harness.DATA / "breast_cancer.csv")
    assert "libdnnl.so.2 has no function dnnl_version" in refusal(server)
    assert server.log_text().count("bfloat16_unavailable") == 1  # the second request is answered by what the first found out
    assert losses(server, precision="auto") == losses(server)


def test_a_library_that_crashes_ends_the_probe_process_only(fresh, bfloat16_here, tmp_path):
    server = fresh(env=library(tmp_path, "#include <stdlib.h>\n__attribute__((constructor)) static void at_load(void) { abort(); }"))
    server.upload("breast_cancer", harness.DATA / "breast_cancer.csv")
    assert "signal 6" in refusal(server)
    assert len(losses(server)) == 10


def test_bfloat16_is_refused_where_jobs_do_without_the_library(fresh, bfloat16_here):
    for flags, env, words in (((), {"BACKPROPD_ONEDNN": "off"}, "is disabled"), (("--kernels", "base"), {}, "--kernels base")):
        server = fresh(*flags, env=env)
        server.upload("breast_cancer", harness.DATA / "breast_cancer.csv")
        assert words in refusal(server)
        assert losses(server, precision="auto") == losses(server)


def test_the_probe_process_is_not_for_users():
    told = harness.run("bfloat16")
    assert told.returncode == 2 and "by `backpropd serve` only" in told.stderr and "bfloat16" not in harness.run("help").stdout
