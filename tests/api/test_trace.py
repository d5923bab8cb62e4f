"""Goal: a trace of a 2-2-1 network is the calculation by hand, its update the formula of the optimizer; every kind of layer can be traced, and each gradient equals its
central difference; wrong requests are refused with the place that is wrong."""
import json
import math
import subprocess

import numpy
import pytest

import harness
from harness import pointers, unique

W1, B1 = numpy.array([[0.15, 0.25], [0.2, 0.3]]), numpy.array([0.35, -0.1])
W2, B2 = numpy.array([[0.4], [-0.45]]), numpy.array([0.6])
X, Y = numpy.array([[0.05, 0.1], [1.0, -2.0], [0.5, 3.0]]), numpy.array([[0.01], [0.99], [-0.5]])
WEIGHTS = {"hidden/kernel": W1.tolist(), "hidden/bias": B1.tolist(), "out/kernel": W2.tolist(), "out/bias": B2.tolist()}
LAYERS = [{"type": "dense", "units": 2, "activation": "tanh", "name": "hidden"}, {"type": "dense", "units": 1, "name": "out"}]


def defined(server, layers, **more):
    name = unique("traced")
    answer = server.post("/v1/models", {"name": name, "layers": layers, **more})
    assert answer.status == 201, answer
    return name


def trace(server, model, **body):
    answer = server.post("/v1/models/%s/trace" % model, body)
    assert answer.status == 200, answer
    return answer.json


def by_name(report):
    return {layer["name"]: layer for layer in report["layers"]}


def parameters(layer):
    return {p["name"]: p for p in layer["parameters"]}


def test_a_network_by_hand(server):
    report = trace(server, defined(server, LAYERS, loss="mse"), x=X.tolist(), y=Y.tolist(), weights=WEIGHTS, optimizer={"type": "sgd", "learning_rate": 0.5})
    z1 = X @ W1 + B1
    a1 = numpy.tanh(z1)
    z2 = a1 @ W2 + B2
    loss = ((z2 - Y) ** 2).mean()
    d2 = 2 * (z2 - Y) / len(X)
    d1 = (d2 @ W2.T) * (1 - a1 ** 2)
    layers = by_name(report)
    hidden, out = layers["hidden"], layers["out"]
    assert report["batch"] == 3 and report["parameters"] == 9 and report["losses"] == ["mse"] and math.isclose(report["loss"], loss, rel_tol=1e-12)
    for got, expected in ((hidden["z"], z1), (hidden["a"], a1), (hidden["delta"], d1), (out["a"], z2), (out["delta"], d2)):
        assert numpy.allclose(got, expected, rtol=1e-12, atol=1e-14)
    for layer, name, value, gradient in ((hidden, "kernel", W1, X.T @ d1), (hidden, "bias", B1, d1.sum(0)), (out, "kernel", W2, a1.T @ d2), (out, "bias", B2, d2.sum(0))):
        p = parameters(layer)[name]
        assert numpy.array_equal(p["value"], value) and numpy.allclose(p["gradient"], gradient, rtol=1e-12, atol=1e-14)
        assert numpy.allclose(p["numeric_gradient"], gradient, atol=1e-8) and p["largest_difference"] < 1e-8
        assert numpy.allclose(p["update"]["step"], -0.5 * gradient) and numpy.allclose(p["update"]["value"], value - 0.5 * gradient)
    assert hidden["activation"] == "tanh" and "z" not in out and hidden["formulas"][0].startswith("z [3, 2] = x W [2, 2] + b [2]")
    assert any("dW [2, 2] = x^T delta" == f for f in hidden["formulas"]) and any("tanh'(z)" in f for f in hidden["formulas"])


def test_the_first_step_of_adam(server):
    report = trace(server, defined(server, LAYERS, loss="mse"), x=X.tolist(), y=Y.tolist(), weights=WEIGHTS,
                   optimizer={"type": "adam", "learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3})
    p = parameters(by_name(report)["hidden"])["kernel"]
    g = numpy.array(p["gradient"])
    assert numpy.allclose(p["update"]["m"], 0.2 * g) and numpy.allclose(p["update"]["v"], 0.1 * g ** 2)
    assert numpy.allclose(p["update"]["step"], -0.1 * g / (numpy.sqrt(g ** 2) + 1e-3), rtol=1e-6)
    assert report["optimizer"]["type"] == "adam" and report["optimizer"]["beta_1"] == 0.8


def test_a_fused_head(server):
    """Softmax with cross-entropy: delta is p - onehot, over the samples."""
    model = defined(server, [{"type": "dense", "units": 3, "activation": "softmax", "name": "out"}], loss="cross_entropy")
    x, y = numpy.array([[1.0, 2.0], [0.5, -1.0]]), [2, 0]
    weights = numpy.array([[0.1, -0.2, 0.3], [0.4, 0.5, -0.6]])
    report = trace(server, model, x=x.tolist(), y=y, weights={"out/kernel": weights.tolist(), "out/bias": [0, 0.1, 0.2]})
    z = x @ weights + [0, 0.1, 0.2]
    p = numpy.exp(z) / numpy.exp(z).sum(1, keepdims=True)
    out = by_name(report)["out"]
    assert numpy.allclose(out["z"], z) and numpy.allclose(out["a"], p) and numpy.allclose(out["delta"], (p - numpy.eye(3)[y]) / 2)
    assert math.isclose(report["loss"], -numpy.log(p[[0, 1], y]).mean(), rel_tol=1e-12) and report["largest_difference"] < 1e-8


def test_a_version_on_rows(server):
    name = unique("traced")
    server.train(model={"name": name, "layers": [{"type": "dense", "units": 6, "activation": "selu"}]}, dataset="penguins", target="species", epochs=5,
                 optimizer={"type": "adamw", "learning_rate": 0.01})
    report = trace(server, name, dataset="penguins", rows=5)
    assert report["version"] == 1 and report["batch"] == 5 and report["optimizer"]["type"] == "adamw" and report["largest_difference"] < 1e-7
    rows = server.rows("penguins", limit=5)
    loss = server.post("/v1/models/%s/evaluate" % name, {"dataset": {"records": rows}, "bootstrap": 0}).json["metrics"]["loss"]["value"]
    assert math.isclose(report["loss"], loss, rel_tol=1e-5)
    version = server.post("/v1/models/%s/versions/1/trace" % name, {"dataset": {"records": rows}, "rows": 5})
    assert version.status == 200 and math.isclose(version.json["loss"], report["loss"], rel_tol=1e-9)


@pytest.mark.parametrize("layers, x", [
    ([{"type": "conv1d", "filters": 3, "kernel_size": 2, "activation": "gelu"}, {"type": "max_pool1d", "pool_size": 2}, {"type": "flatten"}, {"type": "dense", "units": 1}], (2, 6, 2)),
    ([{"type": "conv2d", "filters": 2, "kernel_size": 3, "activation": "silu"}, {"type": "batch_norm"}, {"type": "global_average_pool"}, {"type": "dense", "units": 1}], (3, 5, 5, 1)),
    ([{"type": "lstm", "units": 3}, {"type": "layer_norm"}, {"type": "dense", "units": 1}], (2, 4, 2)), ([{"type": "gru", "units": 2}, {"type": "dense", "units": 1}], (2, 3, 2)),
    ([{"type": "dense", "units": 4, "activation": "prelu"}, {"type": "dropout", "rate": 0.5}, {"type": "dense", "units": 1}], (4, 3)),
])
def test_other_layers(server, layers, x):
    draw = numpy.random.default_rng(3)
    report = trace(server, defined(server, layers, loss="mse"), x=draw.normal(size=x).tolist(), y=draw.normal(size=x[0]).tolist(), seed=7)
    assert report["largest_difference"] < 1e-6 and [layer["type"] for layer in report["layers"]][1:] == [layer["type"] for layer in layers]
    for layer in report["layers"]:
        for p in layer["parameters"]:
            assert p.get("trained") is False or numpy.isfinite(p["gradient"]).all()
    assert trace(server, report["model"], x=draw.normal(size=x).tolist(), y=draw.normal(size=x[0]).tolist(), seed=8)["loss"] != report["loss"]


@pytest.mark.parametrize("body, pointer, words", [
    ({}, "/dataset", "required"), ({"x": 7, "y": [1]}, "/x", "array"), ({"x": [[1, 2]]}, "/y", "target"), ({"x": [[1, 2]], "y": [[1], [2]]}, "/y", "1 samples"), ({"x": [[1, 2], [3]], "y": [1, 2]}, "/x/1", "2"),
    ({"x": [[1, "a"]], "y": [1]}, "/x/0/1", "number"), ({"x": [[1, 2]], "y": [1], "weights": {"nope": []}}, "/weights", "nope"), ({"x": [[1, 2]], "y": [1], "weights": {"out/bias": [1, 2]}}, "/weights/out~1bias", "1"),
    ({"x": [[1, 2]], "y": [1], "weights": 3}, "/weights", "object"), ({"x": [[1, 2]] * 257, "y": [1] * 257}, "/x", "256"), ({"x": [[1, 2]], "y": [1], "optimizer": {"type": "adm"}}, "/optimizer/type", "adam"),
    ({"x": [[1, 2]], "y": [1], "optimizer": {"type": "lbfgs"}}, "/optimizer", "whole"), ({"x": [[1, 2]], "y": [1], "more": 1}, "/more", "more"), ({"x": [[1] * 9000], "y": [1]}, "", "10000"), ({"x": [], "y": []}, "/x", "1 to 256"),
    ({"x": [[[[[[[[1]]]]]]]], "y": [1]}, "", ""),
])
def test_refusals(server, body, pointer, words):
    if not hasattr(test_refusals, "model"):
        test_refusals.model = defined(server, LAYERS, loss="mse")
        test_refusals.trained = unique("traced")
        server.train(model={"name": test_refusals.trained, "layers": LAYERS}, dataset="iris", target="sepal_length", epochs=1)
    answer = server.post("/v1/models/%s/trace" % (test_refusals.model if "x" in body else test_refusals.trained), body)
    assert answer.status == 422, answer
    found = pointers(answer)
    assert any(p.startswith(pointer) and words in d for p, d in found.items()), found


def test_what_cannot_be_traced(server):
    assert server.post("/v1/models/nothing/trace", {"x": [[1]], "y": [1]}).status == 404
    assert server.post("/v1/models/%s/trace" % defined(server, LAYERS), {"x": [[1, 2]], "y": [1]}).status == 422
    name = unique("traced")
    server.train(model={"name": name}, dataset="iris", target="class", effort="fast", epochs=2)
    answer = server.post("/v1/models/%s/trace" % name, {"dataset": "iris"})
    assert answer.status == 422 and ("ensemble" in str(pointers(answer)) or "10000" in str(pointers(answer)))


def test_the_command_says_the_same(tmp_path):
    def run(*arguments):
        return subprocess.run([harness.BACKPROPD, *arguments], capture_output=True, text=True, timeout=120, cwd=tmp_path)

    (tmp_path / "net.json").write_text(json.dumps({"layers": LAYERS, "loss": "mse"}))
    (tmp_path / "batch.json").write_text(json.dumps({"x": X.tolist(), "y": Y.tolist(), "weights": WEIGHTS}))
    done = run("trace", "--definition", "net.json", "--batch", "batch.json", "--json", "--optimizer", '{"type":"sgd","learning_rate":0.5}')
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    loss = ((numpy.tanh(X @ W1 + B1) @ W2 + B2 - Y) ** 2).mean()
    assert math.isclose(report["loss"], loss, rel_tol=1e-12) and report["largest_difference"] < 1e-8
    text = run("trace", "--definition", "net.json", "--batch", "batch.json", "--optimizer", "adam").stdout
    assert "dW [2, 2] = x^T delta" in text and "numeric_gradient" in text and "update m" in text and "%.10g" % loss in text
    data = harness.ROOT / "clients/examples/penguins.csv"
    (tmp_path / "plain.json").write_text(json.dumps({"layers": LAYERS[:1]}))
    assert run("train", "--data", data, "--target", "species", "--definition", "plain.json", "--epochs", "2", "--out", "m.bpd").returncode == 0
    done = run("trace", "--model", "m.bpd", "--data", data, "--rows", "3", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["batch"] == 3, done.stderr
    for arguments, status, words in ((("--rows", "0"), 2, "1 to 256"), (("--optimizer", "adm"), 1, "adam"), (("--optimizer", "{"), 1, "JSON"), (("--data", "none.csv"), 1, "none.csv")):
        done = run("trace", "--model", "m.bpd", *(() if arguments[0] == "--data" else ("--data", data)), *arguments)
        assert done.returncode == status and words in done.stderr and not done.stdout, done
    assert run("trace", "--model", "m.bpd").returncode == 2


def test_steps_are_those_of_a_calculation(server):
    """Gradient descent with momentum and Adam on a linear model, in numpy."""
    rng = numpy.random.default_rng(5)
    x, y = rng.normal(size=(8, 3)), rng.normal(size=8)
    definition = {"loss": "mse", "layers": [{"type": "dense", "units": 1, "name": "out"}]}
    start = rng.normal(size=4)
    given = {"out/kernel": start[:3, None].tolist(), "out/bias": [start[3]]}
    ones = numpy.hstack([x, numpy.ones((8, 1))])

    def numpy_steps(optimizer, steps):
        w, m, v, losses = start.copy(), numpy.zeros(4), numpy.zeros(4), []
        for t in range(1, steps + 2):
            error = ones @ w - y
            losses.append(numpy.mean(error ** 2))
            if t > steps:
                return w, losses
            g = 2 * ones.T @ error / 8
            if optimizer["type"] == "adam":
                m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
                w = w - optimizer["learning_rate"] * (m / (1 - 0.9 ** t)) / (numpy.sqrt(v / (1 - 0.999 ** t)) + 1e-8)
            else:
                w = w - optimizer["learning_rate"] * g

    for optimizer in ({"type": "sgd", "learning_rate": 0.1}, {"type": "adam", "learning_rate": 0.05}):
        for steps in (0, 1, 7, 40):
            probe = rng.normal(size=(5, 3))
            body = {"definition": definition, "x": x.tolist(), "y": y.tolist(), "weights": given, "optimizer": optimizer, "steps": steps, "probe": probe.tolist()}
            full = server.post("/v1/trace", body).json
            w, losses = numpy_steps(optimizer, steps)
            assert numpy.allclose(full["history"], losses, rtol=1e-9, atol=0) and numpy.isclose(full["loss"], losses[-1], rtol=1e-12)
            values = {p["name"]: numpy.array(p["value"]).ravel() for p in full["layers"][1]["parameters"]}
            assert numpy.allclose(numpy.concatenate([values["kernel"], values["bias"]]), w, rtol=1e-9)
            assert numpy.allclose(numpy.array(full["probe"][0]).ravel(), probe @ w[:3] + w[3], rtol=1e-9)
            after, _ = numpy_steps(optimizer, steps + 1)
            updated = numpy.concatenate([numpy.array(p["update"]["value"]).ravel() for p in sorted(full["layers"][1]["parameters"], key=lambda p: p["name"] != "kernel")])
            assert numpy.allclose(updated, after, rtol=1e-9)
            brief = server.post("/v1/trace", {**body, "brief": True}).json
            assert brief["layers"] == [] and brief["history"] == full["history"] and brief["probe"] == full["probe"]


def test_steps_of_a_version_lower_its_loss(server):
    data = unique("points")
    server.post_csv(data, "x,y\n" + "".join("%d,%d\n" % (i, i * i) for i in range(20)))
    job = server.train(dataset=data, target="y", model={"name": data, "layers": [{"type": "dense", "units": 8, "activation": "tanh"}]}, epochs=2)
    history = trace(server, job["model"], dataset=data, rows=16, optimizer={"type": "adam", "learning_rate": 0.01}, steps=30, brief=True)["history"]
    assert len(history) == 31 and history[-1] < history[0]


@pytest.mark.parametrize("change, pointer, words", [
    ({"steps": -1}, "/steps", "at least 0"), ({"steps": 20001}, "/steps", "20000"), ({"steps": "x"}, "/steps", "integer"), ({"brief": 1}, "/brief", "true or false"), ({"probe": []}, "/probe", "1 to 10000"),
    ({"probe": [[1]]}, "/probe/0", "array of 2"), ({"probe": [[1, "x"]]}, "/probe/0/1", "number"), ({"definition": {}}, "/definition", "layers"), ({"definition": 3}, "/definition", "definition"),
    ({"x": [[1, 2]] * 200, "y": [1] * 200, "steps": 20000, "definition": {"loss": "mse", "layers": [{"type": "dense", "units": 60}, {"type": "dense", "units": 60}, {"type": "dense", "units": 1}]}}, "/steps", "too long"),
])
def test_refused_steps(server, change, pointer, words):
    body = {"definition": {"loss": "mse", "layers": [{"type": "dense", "units": 1}]}, "x": [[1, 2]], "y": [1], **change}
    answer = server.post("/v1/trace", body)
    assert answer.status == 422, answer
    assert any(one["pointer"] == pointer and words in one["detail"] for one in answer.json["errors"]), answer
