"""Goal: an ensemble of members that share layers, with embedded numbers, is defined, trained, kept and asked over HTTP like any network; what cannot be is
refused in words."""
import math
import random

import pytest

from harness import pointers, unique

TRUNK = [{"type": "piecewise_linear_embedding", "bins": 8, "output_dim": 4}, {"type": "ensemble", "members": 4, "group_size": 4},
         {"type": "dense", "units": 32, "activation": "relu"}, {"type": "dropout", "rate": 0.1}]


INPUTS = "a", "b", "c", "constant"
ADAM = {"type": "adamw", "learning_rate": 0.005}


def rows(n, seed):
    draw = random.Random(seed)
    made = []
    for _ in range(n):
        a, b, c = draw.gauss(0, 1), draw.expovariate(1), draw.uniform(-2, 2)
        y = math.sin(2 * a) + math.log1p(b) * (c > 0)
        made.append({"a": a, "b": b, "c": c, "constant": 5, "y": y, "kind": "low" if y < 0 else "middle" if y < 0.8 else "high"})
    return made


def dataset(target, n=500, seed=1):
    return {"records": [{k: row[k] for k in (*INPUTS, target)} for row in rows(n, seed)]}


def inputs(asked):
    return [{k: row[k] for k in INPUTS} for row in asked]


@pytest.mark.parametrize("last", [[{"type": "ensemble_dense", "units": 3}], []], ids=["members", "derived"])
def test_classes(server, last):
    name, asked = unique("members"), rows(200, 2)
    server.train(model={"name": name, "layers": TRUNK + last}, dataset=dataset("kind"), target="kind", epochs=40, seed=3, optimizer=ADAM)
    got = server.predict(name, inputs(asked))
    assert sum(p["label"] == row["kind"] for p, row in zip(got, asked)) / len(asked) > 0.8
    assert all(abs(sum(p["probabilities"].values()) - 1) < 1e-5 for p in got)
    far = server.predict(name, [{"a": 1e6, "b": -1e6, "c": 0, "constant": 9}])[0]  # finite, whatever comes
    assert abs(sum(far["probabilities"].values()) - 1) < 1e-5


def test_numbers(server):
    name, asked = unique("members"), rows(200, 2)
    job = server.train(model={"name": name, "layers": TRUNK + [{"type": "ensemble_dense", "units": 1}], "metrics": ["r2"]}, dataset=dataset("y"), target="y",
                       epochs=40, seed=3, optimizer=ADAM)
    got, mean = [p["value"] for p in server.predict(name, inputs(asked))], sum(row["y"] for row in asked) / len(asked)
    r2 = 1 - sum((g - row["y"]) ** 2 for g, row in zip(got, asked)) / sum((row["y"] - mean) ** 2 for row in asked)
    assert r2 > 0.8 and abs(r2 - job["metrics"]["val_r2"]) < 0.2
    shapes = {layer["type"]: layer["output_shape"] for layer in server.get("/v1/models/%s/versions/1" % name).json["layers"]}
    assert shapes == {"piecewise_linear_embedding": [16], "ensemble": [4, 16], "dense": [4, 32], "dropout": [4, 32], "ensemble_dense": [4, 1]}


@pytest.mark.parametrize("layers, pointer, words", [
    (TRUNK[:2] + ["flatten"], "/model/layers/2", "which flatten would mix"),
    ([{"type": "dense", "units": 4}, {"type": "ensemble_dense", "units": 3}], "/model/layers/1", "put an ensemble layer before it"),
    (TRUNK[:2] + [{"type": "ensemble"}], "/model/layers/2", "already has 4 members"),
    (["ensemble", "piecewise_linear_embedding"], "/model/layers/1", "numbers side by side, a shape like (20), but got (8, ?)"),
])
def test_what_cannot_be(server, layers, pointer, words):
    answer = server.post("/v1/jobs", {"model": {"layers": layers}, "dataset": dataset("kind", 50), "target": "kind"})
    got = pointers(answer)
    assert answer.status == 422 and pointer in got and words in got[pointer], answer
