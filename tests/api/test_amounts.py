"""Goal: losses of amounts, of overlaps and of ordered classes learn what they are for, predict in the unit of the target, and refuse other targets."""
import math
import random

import pytest

from harness import unique

DRAW = random.Random(7)
POINTS = [(DRAW.uniform(-1, 1), DRAW.uniform(-1, 1)) for _ in range(400)]
FAST = {"epochs": 60, "seed": 1, "batch_size": 32, "optimizer": {"type": "adam", "learning_rate": 0.02}}
HIDDEN = [{"type": "dense", "units": 16, "activation": "tanh"}]


def mean(a, b):
    return math.exp(1.5 * a + b)


def train(server, loss, rows, **more):
    name = unique("amounts")
    job = server.train(model={"name": name, "layers": HIDDEN, "loss": loss}, dataset={"records": rows}, target="y", **{**FAST, **more})
    return name, job


@pytest.mark.parametrize("scale", [1, 500])
@pytest.mark.parametrize("loss", ["gamma", "msle", {"type": "tweedie", "power": 1.5}])
def test_amounts_are_predicted_in_their_unit(server, loss, scale):
    rows = [{"a": a, "b": b, "y": scale * mean(a, b)} for a, b in POINTS]
    name, job = train(server, loss, rows, task="regression", epochs=120 if scale > 1 and loss == "msle" else 60)
    assert job["loss_unit"] == ("squared logarithms" if loss == "msle" else "nats") and job["metrics"]["val_r2"] > 0.9
    assert server.predict(name, [{"a": 0, "b": 0}])[0] == {"value": pytest.approx(scale, rel=0.15)}


def test_amounts_that_are_often_zero(server):
    draw = random.Random(1)
    rows = [{"a": a, "b": b, "y": draw.choice([0, 3]) * mean(a, b)} for a, b in POINTS]
    name, _ = train(server, "tweedie", rows, task="regression")
    assert server.predict(name, [{"a": 0, "b": 0}])[0]["value"] == pytest.approx(1.5, rel=0.35)


@pytest.mark.parametrize("loss, least, words", [("tweedie", -1, "not negative"), ("msle", -0.5, "not negative"), ("gamma", 0, "positive numbers")])
def test_amounts_out_of_range(server, loss, least, words):
    good = [{"a": i, "y": i + 0.5} for i in range(12)]
    job = {"model": {"layers": [], "loss": loss}, "target": "y", "task": "regression", "epochs": 1}
    answer = server.post("/v1/jobs", {**job, "dataset": {"records": good + [{"a": 1, "y": least}]}})
    problem = answer.json["errors"][0]
    assert answer.status == 422 and problem["pointer"] == "/model/loss" and words in problem["detail"] and "is %g in row 13" % least in problem["detail"], answer
    name = unique("amounts")
    server.post("/v1/datasets?name=" + name, body="a,y\n1,2.5\n2,3.5\n3,%g\n" % least, headers={"Content-Type": "text/csv"})
    answer = server.post("/v1/jobs", {**job, "dataset": {"records": good}, "validation": {"dataset": name}})
    problem = answer.json["errors"][0]
    assert answer.status == 422 and problem["pointer"] == "/validation/dataset" and "in the validation dataset is %g in row 3" % least in problem["detail"], answer


def grade(a, b):
    return min(4, max(0, int(2.5 + 2 * a + b)))


def test_classes_in_their_order(server):
    rows = [{"a": a, "b": b, "y": grade(a, b)} for a, b in POINTS]
    name, job = train(server, "ordinal", rows, task="classification", validation={"fraction": 0.25})
    assert job["metrics"]["val_accuracy"] > 0.85 and job["layers"][-1]["output_shape"] == [5] and not [w for w in job["warnings"] if "order" in w]
    got = server.predict(name, [{"a": -1, "b": -1}, {"a": 0, "b": 0}, {"a": 1, "b": 1}])
    assert [p["label"] for p in got] == [0, 2, 4] or [p["label"] for p in got] == ["0", "2", "4"]
    for p in got:
        shares = [p["probabilities"][str(k)] for k in range(5)]
        assert sum(shares) == pytest.approx(1, abs=1e-5) and min(shares) >= 0


def test_the_order_of_texts_is_reported(server):
    rows = [{"a": a, "y": ["low", "medium", "high"][grade(a, 0) // 2]} for a, _ in POINTS[:60]]
    _, job = train(server, "ordinal", rows, epochs=1)
    assert any('in the order of their texts: "high" < "low" < "medium"' in w for w in job["warnings"]), job["warnings"]


def test_masks_by_their_overlap(server):
    """A bright square on a dark ground is found by its cells; the target is a mask of 0 and 1."""
    draw, rows = random.Random(3), []
    for _ in range(60):
        top, left = draw.randrange(4), draw.randrange(4)
        mask = [[[int(top <= i < top + 3 and left <= j < left + 3)] for j in range(6)] for i in range(6)]
        rows.append({"x": [[[cell[0] * 2 + draw.random()] for cell in line] for line in mask], "y": mask})
    layers = [{"type": "conv2d", "filters": 4, "kernel_size": 3, "padding": "same", "activation": "relu"}, {"type": "conv2d", "filters": 1, "kernel_size": 1}]
    name = unique("masks")
    job = server.train(model={"name": name, "layers": layers, "loss": "dice"}, dataset={"records": rows, "types": {"x": {"type": "tensor", "shape": [6, 6, 1]}, "y": {"type": "tensor", "shape": [6, 6, 1]}}},
                       target="y", **{**FAST, "epochs": 40})
    assert job["metrics"]["loss"] < 0.1 and job["loss_unit"] == "1 minus the overlap"


def test_labels_by_their_overlap(server):
    rows = [{"a": a, "b": b, "y": (["warm"] if a > 0 else []) + (["wet"] if b > 0 else [])} for a, b in POINTS]
    name, job = train(server, {"type": "dice", "smooth": 1}, rows)
    got = server.predict(name, [{"a": 0.9, "b": -0.9}, {"a": -0.9, "b": 0.9}, {"a": 0.9, "b": 0.9}])
    assert [p["labels"] for p in got] == [["warm"], ["wet"], ["warm", "wet"]], got
