"""Goal: lists of different lengths as features and as targets: padding enters no mean, no loss and no metric, whatever it is written as, and each step
counts once, as NumPy, Keras 3 and PyTorch's ignore_index count."""
import math
import random

import pytest

from harness import unique

STILL = {"epochs": 1, "batch_size": 2, "seed": 1, "validation": {"fraction": 0}, "optimizer": {"type": "sgd", "learning_rate": 1e-12}}
LISTS = [[1, 2, 3], [4], [5, 6]]
STEPS = [[[7], [8], [9]], [[7]], [[8], [9]]]


def tensor(*shape):
    return {"type": "tensor", "shape": list(shape)}


def flat_network(units, *first, **layer):
    """All its outputs are 0 at first: it predicts the mean, or equal probabilities."""
    return {"layers": [*first, {"type": "dense", "units": units, "kernel_initializer": "zeros", **layer}]}


@pytest.mark.parametrize("first, steps", [(["masking"], STEPS), ([], [[[7], [8], [9]]] * 3)], ids=["masked", "whole features"])
def test_values_by_step(server, first, steps):
    """Of 1 to 6: mean 3.5, mean absolute deviation 1.5, deviation sqrt(35/12)."""
    data = {"types": {"s": tensor(3, 1), "y": tensor(3)}, "records": [{"s": s, "y": y} for s, y in zip(steps, LISTS)]}
    name = unique("ragged")
    job = server.train(model={"name": name, **flat_network(1, *first)}, dataset=data, target="y", **STILL)
    got = job["metrics"]
    assert math.isclose(got["loss"], 1, rel_tol=1e-5) and math.isclose(got["mae"], 1.5, rel_tol=1e-5)
    assert math.isclose(got["rmse"], math.sqrt(35 / 12), rel_tol=1e-5)
    target = server.get("/v1/models/%s/versions/1" % name).json["preprocessing"]["target"]
    assert target["ragged"] and target["mean"] == 3.5 and math.isclose(target["std"], math.sqrt(35 / 12))
    assert server.predict(name, [{"s": [[7], [8], [9]]}])[0]["values"] == [3.5, 3.5, 3.5]


def test_a_row_with_a_gap_is_left_out(server):
    data = {"types": {"s": tensor(3, 1), "y": tensor(3)},
            "records": [{"s": s, "y": y} for s, y in zip(STEPS * 2, LISTS + [[1, None, 3], None, [2]])]}
    job = server.train(model=flat_network(1, "masking"), dataset=data, target="y", **STILL)
    assert any("2 of 6 rows have no value in" in w for w in job["warnings"])


def test_classes_by_step(server):
    """ln 2 for each of six steps; of classes that are alike the first is taken, and 2 of 6 steps have it."""
    data = {"types": {"s": tensor(3, 1), "y": tensor(3)}, "records": [{"s": s, "y": y} for s, y in zip(STEPS, [[0, 1, 1], [1], [0, 1]])]}
    job = server.train(model=flat_network(2, "masking", activation="softmax"), dataset=data, target="y", task="classification", **STILL)
    assert math.isclose(job["metrics"]["loss"], math.log(2), rel_tol=1e-5) and math.isclose(job["metrics"]["accuracy"], 2 / 6, rel_tol=1e-5)


def test_ragged_lists_are_learned(server):
    """y is 3 x + 100 at each step; the lists of rows are one to six steps long."""
    draw, records, name = random.Random(3), [], unique("ragged")
    for _ in range(120):
        steps = [draw.uniform(-5, 20) for _ in range(draw.randint(1, 6))]
        records.append({"s": [[x] for x in steps], "y": [3 * x + 100 for x in steps]})
    job = server.train(model={"name": name, "layers": ["masking", {"type": "dense", "units": 1}]}, dataset={"types": {"s": tensor(6, 1), "y": tensor(6)}, "records": records},
                       target="y", epochs=150, seed=1, optimizer={"type": "adam", "learning_rate": 0.02})
    assert job["metrics"]["val_r2"] > 0.9999
    values = server.predict(name, [{"s": [[1], [10], [20]]}])[0]["values"]
    assert len(values) == 6 and [round(v) for v in values[:3]] == [103, 130, 160]


def test_zero_padding_is_padding(server):
    """The same sequences, padded with zeros, null or by being shorter, train the same network to the bit; a step that is the mean is no padding."""
    draw, told = random.Random(5), []
    rows = [[draw.choice([40, 50, 60]) for _ in range(draw.randint(1, 4))] for _ in range(60)]
    for padding in (0, None, "short"):
        records = [{"s": [[x] for x in r] + ([[padding]] * (4 - len(r)) if padding != "short" else []), "y": sum(r) / 10} for r in rows]
        name = unique("padding")
        job = server.train(model={"name": name, "layers": ["masking", {"type": "gru", "units": 8}, {"type": "dense", "units": 1}]},
                           dataset={"types": {"s": tensor(4, 1)}, "records": records}, target="y", task="regression", epochs=60, seed=1,
                           optimizer={"type": "adam", "learning_rate": 0.02})
        told.append((job["metrics"], server.predict(name, [{"s": [[50], [50]]}, {"s": [[50], [50], [50]]}])))
    assert told[0] == told[1] == told[2]
    assert told[0][0]["val_r2"] > 0.9
    assert abs(told[0][1][0]["value"] - 10) < 2 and abs(told[0][1][1]["value"] - 15) < 2


def test_channels_of_different_sizes(server):
    """The small channel determines the target, the large one is noise a thousand times as large; each has its own mean and deviation."""
    draw, name = random.Random(6), unique("channels")
    records = []
    for _ in range(300):
        steps = [[draw.gauss(0, 1), draw.gauss(0, 1000)] for _ in range(4)]
        records.append({"s": steps, "y": sum(s[0] for s in steps) + draw.gauss(0, 0.3)})
    job = server.train(model={"name": name, "layers": ["flatten", {"type": "dense", "units": 16, "activation": "tanh"}, {"type": "dense", "units": 1}]}, dataset={"records": records},
                       target="y", task="regression", epochs=60, seed=1)
    assert job["metrics"]["val_r2"] > 0.85


def test_tensor_targets_in_their_own_units(server):
    """A target of two numbers, of sizes 1 and 1000: each element is answered in its own unit, and no metric takes one for the other."""
    draw, name = random.Random(7), unique("elements")
    records = [{"a": a, "y": [a, 1000 * a + 5000]} for a in (draw.uniform(-1, 1) for _ in range(200))]
    server.train(model={"name": name, "layers": [{"type": "dense", "units": 2}]}, dataset={"records": records}, target="y", epochs=200, seed=1,
                 optimizer={"type": "adam", "learning_rate": 0.02})
    small, large = server.predict(name, [{"a": 0.5}])[0]["values"]
    assert abs(small - 0.5) < 0.01 and abs(large - 5500) < 5
