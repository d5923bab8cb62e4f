"""Goal: a job that says nothing of it stops early when rows validate, keeps its best epoch and is done when it ends; a job that says how, does that. No
warning recommends what the job does already."""
import pytest

import harness
from harness import unique

LAYERS = [{"type": "dense", "units": 32, "activation": "relu"}]
ADAM = {"type": "adam", "learning_rate": 0.05}
DEFAULT = {"metric": "val_loss", "patience": 20, "min_delta": 0}


def submit(server, **more):
    """Not through harness.submit, which asks for all epochs."""
    answer = server.post("/v1/jobs", {"model": {"name": unique("stop"), "layers": LAYERS}, "dataset": "wine", "target": "class", "seed": 3, "optimizer": ADAM, **more})
    assert answer.status == 202, answer
    return answer.json


def train(server, **more):
    job = server.wait(submit(server, **more)["id"])
    assert job["status"] == "succeeded", job
    return job, server.get("/v1/models/%s/versions/1" % job["model"]).json


def test_a_job_stops_early_by_default(server):
    job, version = train(server)
    history = server.get("/v1/jobs/%s/metrics?names=val_loss" % job["id"]).json["data"]
    assert job["options"]["early_stopping"] == DEFAULT and job["options"]["epochs"] == 200
    assert job["stopped_early"] and job["stop_reason"] == "early_stopping" and len(history) < 200
    best = min(history, key=lambda point: point["val_loss"])["epoch"]
    assert version["epoch"] == job["best"]["epoch"] == best == len(history) - 20 and version["metrics"]["val_loss"] == history[best - 1]["val_loss"]
    assert (job["progress"]["epoch"], job["progress"]["epochs"]) == (len(history), 200)
    assert job["progress"]["fraction"] == 1


@pytest.mark.parametrize("asked, epochs, stopping", [
    ({"early_stopping": False}, 100, None), ({"early_stopping": None}, 100, None), ({"validation": {"fraction": 0}}, 100, None), ({"epochs": 30}, 30, DEFAULT),
    ({"early_stopping": True}, 200, DEFAULT), ({"early_stopping": {"patience": 3}}, 200, {**DEFAULT, "patience": 3}),
    ({"early_stopping": {"metric": "val_accuracy", "min_delta": 0.1}, "epochs": 50}, 50, {"metric": "val_accuracy", "patience": 10, "min_delta": 0.1}),
    ({"early_stopping": True, "validation": {"fraction": 0}}, 200, {**DEFAULT, "metric": "loss"}),
    ({"schedule": {"type": "reduce_on_plateau", "patience": 25}}, 200, {**DEFAULT, "patience": 52}), ({"validation": {"folds": 3}, "epochs": 3}, 3, DEFAULT)])
def test_what_is_asked_is_in_force(server, asked, epochs, stopping):
    body = {"model": {"layers": LAYERS}, "dataset": "wine", "target": "class", "seed": 3, **asked}
    checked = server.post("/v1/models/validate", body).json
    assert checked["valid"] and not any("early stopping" in text for text in checked["warnings"])
    job = submit(server, **asked)
    assert (job["options"]["epochs"], job["options"]["early_stopping"]) == (epochs, stopping)
    server.post("/v1/jobs/%s/cancel" % job["id"])


def test_all_epochs_are_trained_on_request(server):
    job, version = train(server, early_stopping=False, epochs=40)
    assert (job["stopped_early"], job["stop_reason"], version["epoch"], version["epochs_trained"], job["progress"]["fraction"]) == (False, None, 40, 40, 1)
    again = train(server, **{k: v for k, v in version["options"].items() if k in ("epochs", "early_stopping", "validation")})[1]  # its options mean the same
    assert server.weights(again["model"]) == server.weights(version["model"])


def test_no_row_validates(server):
    """Two rows, one of each class: nothing can be held back, so nothing can be watched."""
    job = submit(server, dataset={"x": [[1], [2]], "y": ["a", "b"]}, target="y")
    assert job["options"]["early_stopping"] is None and job["options"]["epochs"] == 100
    server.post("/v1/jobs/%s/cancel" % job["id"])


def test_progress_ends_at_one(server):
    cut = train(server, dataset="digits", target="digit", max_seconds=0.3, epochs=100000, early_stopping=False)[0]
    assert cut["stop_reason"] == "max_seconds" and cut["progress"]["fraction"] == 1
    folds = train(server, validation={"folds": 3})[0]
    assert folds["progress"]["fraction"] == 1 and all(f["stop_reason"] == "early_stopping" and f["epoch"] == f["epochs"] - 20 for f in folds["cross_validation"]["folds"])


def test_advice_is_not_what_is_done_already(server):
    """Few rows of noise: the validation loss rises."""
    import random
    draw, name = random.Random(1), unique("noise")
    server.post_json(name, columns={**{c: [draw.gauss(0, 1) for _ in range(60)] for c in "abcdef"}, "y": [draw.gauss(0, 1) for _ in range(60)]})
    common = {"dataset": name, "target": "y", "model": {"layers": [{"type": "dense", "units": 64, "activation": "relu"}, {"type": "dropout", "rate": 0.01}]}, "epochs": 120}
    found = {}
    for stopping in (False, True):
        job = server.wait(submit(server, **common, early_stopping=stopping)["id"])
        found[stopping], = [text for text in job["warnings"] if text.startswith("overfitting: ")]
    assert found[False].endswith("; try early_stopping, l2, fewer units or more rows")
    assert found[True].endswith(" (early stopping keeps the best epoch); try l2, fewer units or more rows")
