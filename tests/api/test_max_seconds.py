"""Goal: max_seconds ends a training in time with its best epoch, says so everywhere, counts all attempts but no pause, and changes no bit of a run that it does
not end."""
import pytest

import harness
from harness import pointers
from test_kills import result, submit

LONG = {**harness.DIGITS, "epochs": 1000000, "seed": 3}


def version_of(server, job):
    return server.get("/v1/models/%s/versions/%d" % (job["model"], job["model_version"])).json


def history(server, job):
    return {p["epoch"]: p for p in server.get("/v1/jobs/%s/metrics?max_points=100000" % job["id"]).json["data"]}


def logged(server, job, text):
    return [e["message"] for e in server.all_pages("/v1/jobs/%s/events?type=log" % job["id"]) if text in e["message"]]


def test_the_best_epoch_is_kept(fresh):
    """A learning rate that makes the validation loss rise soon: the best epoch is not the last."""
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.train(**LONG, optimizer={"type": "adam", "learning_rate": 0.02}, max_seconds=1.5)
    assert (job["stop_reason"], job["stopped_early"]) == ("max_seconds", True) and 1.5 <= job["training_seconds"] < 60
    version, points = version_of(server, job), history(server, job)
    best = min(points, key=lambda e: points[e]["val_loss"])
    assert version["stop_reason"] == "max_seconds" and version["epoch"] == best == job["best"]["epoch"] < version["epochs_trained"] == max(points)
    assert job["metrics"] == version["metrics"] and version["metrics"]["val_loss"] == points[best]["val_loss"]
    (said,) = logged(server, job, "max_seconds")
    assert said.startswith("stopped by max_seconds after epoch %d of 1000000, " % max(points)) and said.endswith("the weights of epoch %d are stored, the best by val_loss" % best)
    # the same weights as a training of that many epochs
    again = server.train(**{**LONG, "epochs": best}, optimizer={"type": "adam", "learning_rate": 0.02})
    assert (again["stop_reason"], again["stopped_early"]) == (None, False) and "stop_reason" not in version_of(server, again)
    assert server.weights(job["model"]) == server.weights(again["model"])


def test_early_stopping_says_so_too(server):
    job = server.train(**LONG, early_stopping={"patience": 2, "min_delta": 0.5})
    assert (job["stop_reason"], job["stopped_early"]) == ("early_stopping", True) and version_of(server, job)["stop_reason"] == "early_stopping"


def test_a_run_that_is_not_cut_has_the_same_bits(fresh):
    server = fresh("--workers", "2")
    runs = [submit(server, "threads", **more) for more in ({}, {"max_seconds": 10000})]
    (expected, _), (got, _) = (result(server, *run) for run in runs)
    assert expected["version"]["options"].pop("max_seconds") == 0 and got["version"]["options"].pop("max_seconds") == 10000
    assert got == expected


@harness.again_if_too_late
def test_all_attempts_count_and_pauses_do_not(fresh):
    server = fresh("--workers", "1", "--retry-seconds", "0")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**LONG, checkpoint_every_epochs=20, max_seconds=5)["id"]
    server.wait(job, lambda j: j["training_seconds"] > 0.5)
    spent = server.pause(job)["training_seconds"]
    harness.until(lambda: not server.children(), what="the end of the process")
    server.train(**harness.xor())
    assert 0.5 < spent < 5 and server.get("/v1/jobs/" + job).json["training_seconds"] == spent
    server.post("/v1/jobs/%s/resume" % job)
    more = server.wait(job, lambda j: j["attempt"] == 2 and j["training_seconds"] > spent + 0.3)["training_seconds"]
    server.kill_process_of(job)
    ended = server.wait(job)
    assert (ended["status"], ended["stop_reason"], ended["attempt"]) == ("succeeded", "max_seconds", 3) and ended["training_seconds"] >= max(5, more)
    assert version_of(server, ended)["epoch"] == min(history(server, ended).values(), key=lambda p: p["val_loss"])["epoch"]


def test_an_epoch_is_always_trained(fresh):
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.train(**LONG, max_seconds=1e-6)
    assert version_of(server, job)["epochs_trained"] == version_of(server, job)["epoch"] == 1 and job["stop_reason"] == "max_seconds"


def test_folds_share_the_time(fresh):
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.train(**LONG, validation={"folds": 3}, max_seconds=3)
    folds = job["cross_validation"]["folds"]
    assert [f["stop_reason"] for f in folds] == ["max_seconds"] * 3 and all(1 <= f["epoch"] <= f["epochs"] for f in folds)
    points = [p for p in server.get("/v1/jobs/%s/metrics?max_points=100000" % job["id"]).json["data"] if p["fold"] == 2]
    assert min(points, key=lambda p: p["val_loss"])["fold_epoch"] == folds[1]["epoch"]
    mean = round(sum(f["epoch"] for f in folds) / 3 + 1e-9)
    assert job["stop_reason"] == "max_seconds" and version_of(server, job)["epochs_trained"] <= max(mean, 1)
    assert any("the fit on all rows runs for %d epoch" % max(mean, 1) in w for w in job["warnings"]) and len(logged(server, job, "stopped by max_seconds")) >= 3


@pytest.mark.parametrize("value, words", [(-1, "0"), ("long", "number"), (2e9, "1000000000")])
def test_wrong_values(server, value, words):
    assert words in pointers(server.post("/v1/jobs", {**LONG, "max_seconds": value}))["/max_seconds"]


def test_the_command(tmp_path):
    done = harness.run("train", "--data", harness.DATA / "digits.csv", "--target", "digit", "--max-seconds", 0.5, "--epochs", 1000000, "--patience", 100000, "--out", tmp_path / "m.bpd")
    assert done.returncode == 0 and "stopped by max_seconds: " in done.stderr, done.stderr
    (tmp_path / "model.json").write_text('{"layers":[{"type":"dense","units":8}]}')
    done = harness.run("train", "--data", harness.DATA / "digits.csv", "--target", "digit", "--max-seconds", 0.5, "--epochs", 1000000, "--patience", 100000, "--out", tmp_path / "m.bpd", "--definition",
                       tmp_path / "model.json")
    assert done.returncode == 0 and "stopped by max_seconds after epoch " in done.stderr and "the best by val_loss" in done.stderr, done.stderr
