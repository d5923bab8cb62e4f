"""Goal: targets that are shares are learned as they are by losses that compare probabilities, and predictions answer shares."""
import math
import random

import pytest

from harness import pointers, unique

ROWS = 400


def softmax(scores):
    powers = [math.exp(s) for s in scores]
    return [p / sum(powers) for p in powers]


def drawn():
    draw = random.Random(3)
    points = [[draw.gauss(0, 1), draw.gauss(0, 1)] for _ in range(ROWS)]
    return points, [softmax([a, b - a, -b]) for a, b in points]


@pytest.fixture(scope="module")
def mixed(server):
    points, shares = drawn()
    columns = {"a": [p[0] for p in points], "b": [p[1] for p in points], "mix": shares}
    columns.update({"part_%d" % k: [s[k] for s in shares] for k in range(3)})
    columns["half"] = [[v / 2 for v in s] for s in shares]
    columns["far"] = [[2 * v for v in s] for s in shares]
    columns["below"] = [[v - (0.25 if i == 6 else 0) for v in s] for i, s in enumerate(shares)]
    name = unique("mixed")
    answer = server.post("/v1/datasets", {"name": name, "columns": columns})
    assert answer.status == 201, answer
    return name


def job(mixed, loss, target="mix", layers=({"type": "dense", "units": 16, "activation": "tanh"},), **more):
    return {"dataset": mixed, "target": target, "features": ["a", "b"], "model": {"name": unique("net"), "layers": list(layers), "loss": loss}, "epochs": 60,
            "seed": 1, "optimizer": {"type": "adam", "learning_rate": 0.02}, **more}


def entropy(rows):
    return -sum(v * math.log(v) for row in rows for v in row) / len(rows)


@pytest.mark.parametrize("loss", ["cross_entropy", "kl_divergence", "binary_cross_entropy"])
def test_a_list_of_shares(server, mixed, loss):
    trained = server.train(**job(mixed, loss))
    assert trained["status"] == "succeeded", trained
    assert trained["loss_unit"] == "nats"
    last = trained["definition"]["layers"][-1]
    assert last["units"] == 3 and last["activation"] == ("sigmoid" if loss == "binary_cross_entropy" else "softmax")
    points, shares = drawn()
    answer = server.post("/v1/models/%s/predict" % trained["model"], {"instances": [{"a": a, "b": b} for a, b in points[:50]]})
    assert answer.status == 200, answer
    for said, true in zip(answer.json["predictions"], shares):
        assert said["values"] == pytest.approx(true, abs=0.05)
        if loss != "binary_cross_entropy":
            assert sum(said["values"]) == pytest.approx(1, abs=1e-5)
    least = {"cross_entropy": entropy(shares), "kl_divergence": 0,
             "binary_cross_entropy": sum(-v * math.log(v) - (1 - v) * math.log(1 - v) for row in shares for v in row) / (3 * ROWS)}[loss]
    assert trained["metrics"]["loss"] == pytest.approx(least, abs=0.02)  # of all rows, and of the training rows
    assert trained["metrics"]["val_mae"] < 0.02


def test_columns_of_shares(server, mixed):
    """Three columns are one distribution: one softmax over them, as of the list. The layer is there already or added; its numbers are the same."""
    parts = ["part_0", "part_1", "part_2"]
    trained = server.train(**job(mixed, "cross_entropy", parts))
    assert trained["status"] == "succeeded", trained
    answer = server.post("/v1/models/%s/predict" % trained["model"], {"instances": [{"a": 1.0, "b": -0.5}]})
    outputs = answer.json["predictions"][0]["outputs"]
    assert [outputs[part]["value"] for part in parts] == pytest.approx(softmax([1.0, -1.5, 0.5]), abs=0.05)
    assert sum(outputs[part]["value"] for part in parts) == pytest.approx(1, abs=1e-5)
    assert server.train(**job(mixed, "cross_entropy"))["metrics"]["loss"] == pytest.approx(trained["metrics"]["loss"], rel=1e-4)
    one = server.train(**job(mixed, "binary_cross_entropy", "part_1"))
    answer = server.post("/v1/models/%s/predict" % one["model"], {"instances": [{"a": 1.0, "b": -0.5}]})
    assert answer.json["predictions"][0]["value"] == pytest.approx(softmax([1.0, -1.5, 0.5])[1], abs=0.05)


@pytest.mark.parametrize("loss, target, words", [
    ("cross_entropy", "half", ["row 1 add up to 0.5", "divide each by their sum"]),
    ("kl_divergence", "half", ["add up to 0.5"]),
    ("binary_cross_entropy", "far", ["from 0 to 1", "in row"]),
    ("cross_entropy", "below", ["holds -0.", "in row 7", "scale them to 0 to 1"]),
    ("binary_cross_entropy", "a", ["for shares from 0 to 1", "in row"]),
    ("cross_entropy", ["part_0", "part_1"], ["\"part_0\" and the columns with it", "add up to"]),
])
def test_invalid_shares(server, mixed, loss, target, words):
    if target == "a":
        answer = server.post("/v1/jobs", dict(job(mixed, loss, "a"), features=["b"]))
    else:
        answer = server.post("/v1/jobs", job(mixed, loss, target))
    assert answer.status == 422 and list(pointers(answer)) == ["/model/loss"], answer
    for word in words:
        assert word in answer.json["errors"][0]["detail"], answer


def test_rounded_shares_and_a_single_number(server, mixed):
    columns = {"x": [float(i) for i in range(40)], "y": [[0.33, 0.33, 0.33]] * 40}
    name = unique("thirds")
    assert server.post("/v1/datasets", {"name": name, "columns": columns}).status == 201
    trained = server.train(dataset=name, target="y", model={"name": unique("net"), "layers": [], "loss": "cross_entropy"}, epochs=2)
    assert trained["status"] == "succeeded", trained
    answer = server.post("/v1/jobs", job(mixed, "cross_entropy", "part_0"))
    assert answer.status == 422 and list(pointers(answer)) == ["/model/loss"], answer
    assert "is a regression" in answer.json["errors"][0]["detail"]
