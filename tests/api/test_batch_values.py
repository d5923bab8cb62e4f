"""Goal: a batch reads whole blocks of a column at once and predicts several blocks side by side, and still every prediction is the one that its row alone would have: by a
calculation in numpy from the documented formulas (preprocessing.h), for every kind of column, at every boundary of a block, with any number of threads."""
import csv
import datetime
import io
import json
import random

import numpy
import pytest

from harness import unique

BLOCK, PIECE = 256, 16 * 256  # rows that a network predicts at once, rows that a thread takes at once
COLORS = ["red", "green", "blue"]


def columns(n, seed, odd):
    """n rows; odd: with holes in all columns, values outside of the training rows, far outside, and unknown categories."""
    draw = random.Random(seed)

    def some(value, other=None, share=0.1):
        return other if odd and draw.random() < share else value

    day = datetime.date(2024, 1, 1)
    return {"plain": [some(some(round(draw.gauss(10, 3), 4), draw.choice([-40.25, 31.5, 1e6, -1e9])), share=0.05) for _ in range(n)],
            "holes": [None if draw.random() < 0.15 else some(round(draw.gauss(0, 1), 3), 5.5) for _ in range(n)],
            "logged": [some(some(round(draw.expovariate(0.01), 2), -73.5)) for _ in range(n)],
            "flag": [some(draw.random() < 0.5) for _ in range(n)],
            "color": [some(some(draw.choice(COLORS), "pink")) for _ in range(n)],
            "kept": [some(draw.choice(["a, b", 'say "so"', "plain"])) for _ in range(n)],
            "when": [some((day + datetime.timedelta(days=draw.randrange(400 if odd else 300))).isoformat()) for _ in range(n)]}


def clipped(z, clip):
    half = clip / 2
    t = (numpy.abs(z) - half) / half
    return numpy.where(t > 0, numpy.copysign(half + half * t / numpy.sqrt(1 + numpy.maximum(t, 0) ** 2), z), z)


def scaled(feature, values):
    v = numpy.array([numpy.nan if x is None else x for x in values], dtype=float)
    v = numpy.where(numpy.isnan(v), feature.get("fill", feature["mean"]), v)
    if feature.get("scale") == "log":
        v = numpy.sign(v) * numpy.log1p(numpy.abs(v))
    return clipped((v - feature["mean"]) / feature["std"], feature["clip"]) if "clip" in feature else v


def seconds(texts):
    return [None if t is None else datetime.datetime.fromisoformat(t + "T00:00:00+00:00").timestamp() for t in texts]


def inputs(preprocessing, data):
    """(rows, width), by the formulas."""
    out = []
    for feature in preprocessing["features"]:
        values = data[feature["name"]]
        if feature["type"] == "categorical":
            place = [feature["categories"].index(v) if v in feature["categories"] else len(feature["categories"]) for v in values]
            out.append(numpy.eye(len(feature["categories"]) + 1)[place].T)
            continue
        out.append([scaled(feature, seconds(values) if feature["type"] == "datetime" else values)])
        if feature["missing"].endswith("indicator"):
            out.append([[float(v is None) for v in values]])
    return numpy.concatenate([numpy.asarray(o, dtype=numpy.float32) for o in out]).T.astype(float)


@pytest.fixture(scope="module")
def linear(server):
    """A linear model of every kind of column, and what is in it."""
    name = unique("values")
    rows = columns(500, 1, False)
    draw = random.Random(9)
    server.post_json(name, columns={**rows, "y": [round(draw.gauss(5, 2), 3) for _ in range(500)]})
    server.train(model={"name": name, "layers": []}, dataset=name, target="y", task="regression", epochs=2, validation={"fraction": 0},
                 features=[c for c in rows if c != "kept"], columns={"plain": {"clip": 3}, "logged": {"scale": "log"}, "when": {"parts": ["time"]}})
    return name, server.get("/v1/models/%s/versions/1/export?format=json" % name).json


def batch(server, **body):
    answer = server.post("/v1/batches", body)
    assert answer.status == 202, answer
    job = server.wait(answer.json["id"])
    assert job["status"] == "succeeded", job
    return job


def files(server, job):
    return [server.get("/v1/batches/%s/%s" % (job["id"], part)).body.decode() for part in ("result", "failures")]


@pytest.mark.parametrize("rows", [1, 7, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 9])
def test_every_kind_of_column_at_every_boundary(server, linear, rows):
    name, model = linear
    data = columns(rows, 100 + rows, True)
    server.post_json("%s-%d" % (name, rows), columns=data, types={"plain": "numeric", "holes": "numeric", "logged": "numeric", "flag": "boolean", "color": "categorical",
                                                                 "kept": "categorical", "when": "datetime"})
    kernel, bias = (numpy.array(model["weights"]["dense_1/" + k]) for k in ("kernel", "bias"))
    target = model["preprocessing"]["target"]
    expected = (inputs(model["preprocessing"], data) @ kernel[:, 0] + bias[0]) * target["std"] + target["mean"]
    job = batch(server, model=name, dataset="%s-%d" % (name, rows))
    got = list(csv.DictReader(io.StringIO(files(server, job)[0], newline="")))
    assert [r["row"] for r in got] == [str(i + 1) for i in range(rows)]
    assert [r["kept"] or None for r in got] == data["kept"]
    assert numpy.allclose([float(r["value"]) for r in got], expected, rtol=2e-5, atol=2e-5)


def test_what_is_outside_is_counted(server, linear):
    """Each warning has the number of cells, and the first three of them with their rows."""
    name, model = linear
    n = 2 * PIECE + BLOCK + 3
    data = columns(n, 3, True)
    server.post_json(name + "-counts", columns=data)
    ranges = {f["name"]: (f["min"], f["max"]) for f in model["preprocessing"]["features"] if f["type"] == "numeric"}
    warnings = [batch(server, model=name, dataset=name + "-counts", threads=t)["warnings"] for t in (1, 2, 3)]
    assert warnings[0] == warnings[1] == warnings[2]
    said = "\n".join(warnings[0])
    for column, (low, high) in ranges.items():
        reach = (high - low) / 2
        for far in (False, True):
            beyond = [(i + 1, v) for i, v in enumerate(data[column]) if v is not None and (v < low or v > high) and far == (v < low - reach or v > high + reach)]
            if beyond:
                first = ", ".join("row %d: %s" % (i, "%.9g" % v) for i, v in beyond[:3])
                assert 'column "%s": %d of %d values are %soutside' % (column, len(beyond), n, "far " if far else "") in said and first in said, (column, far, said)
    for column in ("plain", "holes", "logged", "flag", "color", "when"):
        assert 'column "%s": %d of %d values missing' % (column, sum(v is None for v in data[column]), n) in said
    assert '"color": %d of %d values were not in the training rows (the first: "pink")' % (data["color"].count("pink"), n) in said


def test_threads_change_no_byte(server):
    """Failed rows apart, kept columns, both forms, more threads than pieces, and a piece that is not whole."""
    name = unique("threads")
    rows = columns(300, 5, False)
    server.post_json(name, columns={**rows, "y": ["yes" if f else "no" for f in rows["flag"]]})
    server.train(model={"name": name, "layers": [{"type": "dense", "units": 8, "activation": "tanh"}]}, dataset=name, target="y", epochs=2,
                 features=["plain", "flag", "color"], columns={"flag": {"missing": "error"}, "color": {"unseen": "error"}})
    for n in (PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + BLOCK + 5):
        server.post_json("%s-%d" % (name, n), columns=columns(n, n, True))
    for n, form in ((PIECE - 1, "csv"), (PIECE, "csv"), (PIECE + 1, "ndjson"), (3 * PIECE + BLOCK + 5, "csv"), (3 * PIECE + BLOCK + 5, "ndjson")):
        jobs = [batch(server, model=name, dataset="%s-%d" % (name, n), format=form, threads=t) for t in (1, 2, 5)]
        results = [files(server, job) for job in jobs]
        assert results[0] == results[1] == results[2]
        assert [j["threads"] for j in jobs] == [1, 2, 5] and jobs[0]["warnings"] == jobs[1]["warnings"] == jobs[2]["warnings"]
        assert len({json.dumps([j["progress"]["rows"], j["progress"]["failed_rows"]]) for j in jobs}) == 1 and jobs[0]["progress"]["failed_rows"] > n / 10
    refused = server.post("/v1/batches", {"model": name, "dataset": name, "threads": 65})
    assert refused.json["errors"][0] == {"pointer": "/threads", "detail": "threads must be an integer of at least 1 and at most 64, got 65"}
    for wrong in (0, -1, 2.5, "2", [2], True):
        assert server.post("/v1/batches", {"model": name, "dataset": name, "threads": wrong}).json["errors"][0]["pointer"] == "/threads"
    assert batch(server, model=name, dataset=name, threads=None)["threads"] >= 1


def test_tensors(server):
    """Vectors with holes, and lists of different lengths that a mask follows."""
    name = unique("tensors")
    draw = random.Random(8)
    vectors = [[round(draw.gauss(i, 1), 3) for i in range(3)] for _ in range(200)]
    server.post_json(name, columns={"v": vectors, "y": [round(draw.gauss(0, 1), 3) for _ in range(200)]})
    server.train(model={"name": name, "layers": [{"type": "flatten"}]}, dataset=name, target="y", task="regression", epochs=1)
    model = server.get("/v1/models/%s/versions/1/export?format=json" % name).json
    kernel, bias = (numpy.array(model["weights"]["dense_1/" + k]) for k in ("kernel", "bias"))
    feature, target = model["preprocessing"]["features"][0], model["preprocessing"]["target"]
    data = [None if i % 11 == 0 else [round(draw.gauss(k, 40 if i % 7 == 0 else 1), 3) if (i + k) % 13 else None for k in range(3)] for i in range(BLOCK + 30)]
    server.post_json(name + "-new", columns={"v": data})
    v = numpy.array([[numpy.nan if x is None else x for x in (row or [None] * 3)] for row in data], dtype=numpy.float32).astype(float)
    z = clipped((v - feature["mean"]) / feature["std"], feature["clip"])
    expected = (numpy.where(numpy.isnan(v), 0, z) @ kernel[:, 0] + bias[0]) * target["std"] + target["mean"]
    got = csv.DictReader(io.StringIO(files(server, batch(server, model=name, dataset=name + "-new"))[0]))
    assert numpy.allclose([float(r["value"]) for r in got], expected, rtol=2e-5, atol=2e-5)
