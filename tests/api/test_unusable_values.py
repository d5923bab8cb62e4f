"""Goal: no value that cannot be used becomes a silent answer, and a regression answers with the precision of its data, with and without a server."""
import json

import pytest

import harness
from harness import unique

TENSORS = {"types": {"t": {"type": "tensor", "shape": [2]}},
           "records": [{"t": [0, 1], "y": "a"}, {"t": [2, 3], "y": "b"}, {"t": [4, 5], "y": "a"}, {"t": [1, 3], "y": "b"}]}


@pytest.fixture(scope="module")
def embedded(server):
    name = unique("embedded")
    server.train(model={"name": name, "layers": [{"type": "embedding", "input_dim": 6, "output_dim": 3}, {"type": "flatten"}]}, dataset=TENSORS,
                 target="y", validation={"fraction": 0}, epochs=2, seed=1)
    return name


@pytest.mark.parametrize("index", [6, -1, 2.5, 1e300])
def test_an_index_that_the_embedding_does_not_know(server, embedded, index):
    reply = server.post("/v1/models/%s/predict" % embedded, {"instances": [{"t": [1, 2]}, {"t": [1, index]}]})
    assert reply.status == 422
    assert [e["pointer"] for e in reply.json["errors"]] == ["/instances/1/t"]
    assert "accepts integers from 0 to 5" in reply.json["errors"][0]["detail"]


def test_a_missing_number_of_a_tensor_is_a_warning(server, embedded):
    reply = server.post("/v1/models/%s/predict" % embedded, {"instances": [{"t": [1, None]}]})
    assert reply.status == 200
    assert reply.json["warnings"] == ['column "t": 1 of 1 tensors have missing numbers: the index 0 is used']


CLOCK = [(i, 1577134800 + i) for i in range(200)]
LINE = {"layers": [{"type": "dense", "units": 1}]}
OPTIONS = {"epochs": 600, "batch_size": 200, "seed": 1, "validation": {"fraction": 0}, "optimizer": {"type": "adam", "learning_rate": 0.05}}


def local(folder, csv, target, definition, options, *more):
    """Trains without a server; what predicts with the model."""
    for name, text in (("rows.csv", csv), ("model.json", json.dumps(definition)), ("options.json", json.dumps(options))):
        (folder / name).write_text(text)
    done = harness.run("train", "--data", "rows.csv", "--target", target, "--definition", "model.json", "--options", "options.json", "--quiet", *more, cwd=folder)
    assert done.returncode == 0, done.stderr
    return lambda rows, format="csv": harness.run("predict", "--model", "model.bpd", "--data", "-", "--format", format, stdin=rows, cwd=folder)


def test_large_numbers_keep_their_digits(server):
    """200 seconds of a clock: 1577134857 is answered where it is 1577134857, not 1577134850."""
    name = unique("clock")
    job = server.train(model={"name": name, **LINE}, dataset={"records": [{"a": a, "y": y} for a, y in CLOCK]}, target="y", task="regression", **OPTIONS)
    assert job["metrics"]["mae"] < 1e-4
    for a in (57, 58, 119):
        assert abs(server.predict(name, [{"a": a}])[0]["value"] - (1577134800 + a)) < 1e-3


def test_large_numbers_without_a_server(tmp_path):
    predict = local(tmp_path, "a,y\n" + "".join("%d,%d\n" % row for row in CLOCK), "y", LINE, OPTIONS, "--task", "regression")
    rows = predict("a\n57\n58\n119\n")
    assert [round(float(line)) for line in rows.stdout.split()[1:]] == [1577134857, 1577134858, 1577134919]
    assert round(json.loads(predict("a\n57\n", "json").stdout)["value"]) == 1577134857


@pytest.mark.parametrize("format", ["csv", "json"])
def test_an_unknown_index_without_a_server(tmp_path, format):
    predict = local(tmp_path, "k,y\n" + "0,a\n1,b\n2,a\n" * 5, "y", {"layers": [{"type": "embedding", "input_dim": 3, "output_dim": 2}, {"type": "flatten"}]},
                    {"epochs": 1, "seed": 1, "validation": {"fraction": 0}})
    assert predict("k\n2\n", format).returncode == 0
    done = predict("k\n2\n3\n", format)
    assert done.returncode == 1
    assert 'row 2: column "k" holds 3, but an embedding reads it and accepts integers from 0 to 2' in done.stderr
