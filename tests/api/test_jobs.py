"""Goal: jobs train as requested, refuse every detectable error at its pointer, and report the true state."""
import json
import math
import random

import pytest

import harness
from harness import DIGITS, ENDLESS, FINAL, pointers, problem, remarks, unique, xor

DENSE = {"type": "dense", "units": 4, "activation": "relu"}
IRIS = {"model": {"layers": [DENSE]}, "dataset": "iris", "target": "class"}


def cancel(server, job):
    answer = server.post("/v1/jobs/%s/cancel" % job)
    assert answer.status == 200, answer
    return answer.json


def running(server, **more):
    """A job that runs until it is cancelled and has finished an epoch."""
    job = server.submit(**{**ENDLESS, **more})["id"]
    server.wait(job, lambda j: j["status"] == "running" and j["progress"]["epoch"] >= 1)
    return job


# ---- parts of a job ----

def test_defaults_are_explicit_and_the_seed_is_selected(server):
    job = server.submit(**IRIS, seed=None)
    assert job["options"] == {"epochs": 200, "batch_size": 32, "seed": job["options"]["seed"], "threads": 1, "validation": {"fraction": 0.2},
                              "optimizer": {"type": "adam", "learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8, "amsgrad": False},
                              "schedule": None, "dropout_schedule": None, "weight_decay_schedule": None, "early_stopping": {"metric": "val_loss", "patience": 20, "min_delta": 0}, "l1": 0, "l2": 0, "max_norm": 0, "gradient_clip_norm": 0,
                              "gradient_clip_value": 0, "gradient_accumulation_steps": 1, "ema": 0, "max_seconds": 0, "mixup": 0, "precision": "float32", "processes": 1, "keep_optimizer_state": False, "checkpoint_every_epochs": 10, "window_rows": 0, "test": None}
    assert job["status"] == "queued" and job["attempt"] == 0 and job["task"] == "classification" and job["loss_unit"] == "nats"
    assert job["features"] == ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    assert job["definition"]["layers"][-1]["units"] == 3 and job["definition"]["layers"][-1]["activation"] == "softmax"
    assert job["progress"] == {"epoch": 0, "epochs": 200, "step": 0, "steps_per_epoch": 4, "fraction": 0, "samples_per_second": None, "eta_seconds": None}
    ended = server.wait(job["id"])
    assert ended["status"] == "succeeded" and 20 < ended["progress"]["epoch"] <= 200 and ended["progress"]["fraction"] == 1
    assert set(ended["metrics"]) == {"loss", "val_loss", "accuracy", "val_accuracy"}
    assert ended["created_at"] <= ended["started_at"] <= ended["finished_at"] and ended["attempt"] == 1
    other = server.submit(**IRIS, seed=None)
    assert other["options"]["seed"] != job["options"]["seed"]  # one in 4,294,967,296 fails here


def test_every_option_arrives(server):
    asked = {"epochs": 7, "batch_size": 16, "seed": 9007199254740991, "threads": 2, "validation": {"fraction": 0.3},
             "optimizer": {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True},
             "schedule": {"type": "step", "warmup_epochs": 0.5, "step_size": 3, "gamma": 0.5}, "dropout_schedule": None, "weight_decay_schedule": None,
             "early_stopping": {"metric": "val_accuracy", "patience": 3, "min_delta": 0.001}, "l1": 0.00001, "l2": 0.0001, "max_norm": 3,
             "gradient_clip_norm": 1, "gradient_clip_value": 0.5, "gradient_accumulation_steps": 2, "ema": 0.9, "max_seconds": 600.5, "mixup": 0.2, "precision": "float32", "processes": 1, "keep_optimizer_state": True, "checkpoint_every_epochs": 2, "window_rows": 64, "test": None}
    job = server.submit(**IRIS, **asked, features=["petal_width", "sepal_length"], task="classification", metadata={"who": "me", "ü": "🐧"})
    assert job["options"] == asked
    assert job["features"] == ["petal_width", "sepal_length"] and job["metadata"] == {"who": "me", "ü": "🐧"}
    ended = server.wait(job["id"])
    assert ended["status"] == "succeeded" and ended["progress"]["steps_per_epoch"] == math.ceil(105 / 16)
    version = server.get("/v1/models/%s/versions/1" % job["id"]).json
    assert version["options"] == asked and version["rows_trained"] == 105 and version["rows_validated"] == 45
    assert [f["name"] for f in version["preprocessing"]["features"]] == ["petal_width", "sepal_length"]


def test_same_seed_same_bits_other_seed_other_bits(server):
    names = [unique("seed") for _ in range(3)]
    for name, seed in zip(names, (5, 5, 6)):
        server.train(**{**IRIS, "model": {"name": name, "layers": [DENSE, {"type": "dropout", "rate": 0.2}]}, "seed": seed, "epochs": 5})
    first, second, third = (server.weights(name) for name in names)
    assert first == second and first != third


def test_named_inline_objects_are_stored_and_taken_again(server):
    name = unique("inline")
    body = xor(model={"name": name, "layers": [DENSE]}, dataset={"name": name, "x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": ["no", "yes", "yes", "no"]})
    first = server.train(**body)
    assert first["model"] == name and first["dataset"] == {"name": name, "version": 1}
    second = server.train(**body)
    assert second["dataset"]["version"] == 2 and second["model_version"] == 2
    assert server.get("/v1/datasets/" + name).json["version"] == 2 and server.get("/v1/models/" + name).json["definition"] == {"layers": [DENSE]}
    assert server.delete("/v1/jobs/" + first["id"]).status == 204
    assert server.get("/v1/models/%s/versions/1" % name).status == 200  # named ones stay
    third = server.train(**{**body, "dataset": name, "model": name})
    assert third["dataset"]["version"] == 2 and third["model_version"] == 3


def test_unnamed_inline_objects_belong_to_the_job(server):
    job = server.train(**xor())
    assert job["model"] == job["id"] and job["dataset"]["name"] == job["id"]
    assert server.get("/v1/models/" + job["id"]).json["latest_version"] == 1
    assert server.get("/v1/datasets/" + job["id"]).json["rows"] == 4
    assert job["id"] not in [m["name"] for m in server.all_pages("/v1/models")] + [d["name"] for d in server.all_pages("/v1/datasets")]
    assert server.predict(job["id"], [[0, 1]])[0]["label"] in ("yes", "no")
    assert server.delete("/v1/jobs/" + job["id"]).status == 204
    for path in ("/v1/jobs/%s", "/v1/models/%s", "/v1/models/%s/versions/1", "/v1/datasets/%s", "/v1/jobs/%s/events", "/v1/jobs/%s/metrics", "/v1/jobs/%s/checkpoints"):
        problem(server.get(path % job["id"]), 404, "not_found")
    problem(server.post("/v1/models/%s/predict" % job["id"], {"instances": [[0, 1]]}), 404, "not_found")


def test_two_inputs_named_layers_and_a_graph(server):
    """A tensor column and plain columns: two inputs, which the layers name; the branches are flat and reshaped on the way."""
    draw = random.Random(3)
    records = []
    for _ in range(120):
        image = [[draw.random() for _ in range(4)] for _ in range(2)]
        n = draw.random()
        records.append({"image": image, "n": n, "kind": draw.choice("ab"), "y": sum(map(sum, image)) + 3 * n})
    layers = [{"type": "flatten", "name": "flat", "inputs": ["image"]}, {"type": "reshape", "name": "grid", "inputs": "flat", "target_shape": [4, -1]},
              {"type": "dense", "name": "wide", "units": 6, "activation": "tanh", "inputs": ["grid"]}, {"type": "dropout", "rate": 0.1, "name": "dropped"},
              {"type": "flatten", "name": "end"}, {"type": "dense", "name": "out", "units": 1, "inputs": ["end"]}]
    refused = server.post("/v1/jobs", {"model": {"layers": [{"type": "dense", "units": 1}]}, "dataset": {"records": records}, "target": "y"})
    assert "inputs" in json.dumps(problem(refused, 422, "invalid"))
    job = server.submit(model={"layers": layers, "outputs": ["out"]}, dataset={"records": records}, target="y", epochs=3)
    assert {layer["name"]: layer["output_shape"] for layer in job["layers"]} == {
        "flat": [8], "grid": [4, 2], "wide": [4, 6], "dropped": [4, 6], "end": [24], "out": [1]}
    assert {layer["name"]: layer["inputs"] for layer in job["layers"]}["wide"] == ["grid"]
    assert server.wait(job["id"])["status"] == "succeeded"


# ---- results of training ----

def digits_as_images():
    lines = (harness.DATA / "digits.csv").read_text().split("\n")[1:-1]
    rows = [line.split(",") for line in lines]
    return [[[[float(row[8 * r + c])] for c in range(8)] for r in range(8)] for row in rows], [row[64] for row in rows]


def test_digits_as_tensors(server):
    """8x8x1 images by x and y: text labels, a flatten layer, and as good as it must be."""
    x, y = digits_as_images()
    name = unique("images")
    dataset = server.post_json(name, x=x, y=y)
    assert [(c["name"], c["type"]) for c in dataset["columns"]] == [("x", "tensor"), ("y", "numeric")] and dataset["columns"][0]["shape"] == [8, 8, 1]
    refused = pointers(server.post("/v1/jobs", {"model": {"layers": []}, "dataset": name, "target": "y"}))
    assert "flatten" in refused["/model"]
    job = server.train(model={"name": name, "layers": ["flatten", {"type": "dense", "units": 64, "activation": "relu"}]}, dataset=name, target="y", epochs=20, seed=1)
    assert job["layers"][0]["inputs"] == ["x"] and job["layers"][-1]["output_shape"] == [10]
    assert job["metrics"]["val_accuracy"] > 0.93
    flat = [v for row in x[7] for cell in row for v in cell]
    nested, flattened, keyed = (server.predict(name, [instance])[0] for instance in (x[7], flat, {"x": x[7]}))
    assert nested == flattened == keyed and nested["label"] == y[7]


def test_regression_metrics_are_in_the_targets_unit(server):
    """y = 1000 + 500 x: the network is linear, so that rmse and mae, r2 and the predictions can be computed here from the predictions themselves."""
    draw = random.Random(1)
    rows = [{"x": x, "y": 1000 + 500 * x + draw.gauss(0, 20)} for x in (draw.uniform(-1, 1) for _ in range(200))]
    name = unique("line")
    job = server.train(model={"name": name, "layers": []}, dataset={"records": rows}, target="y", epochs=60, validation={"fraction": 0}, seed=1,
                       optimizer={"type": "adam", "learning_rate": 0.05})
    assert job["task"] == "regression" and job["loss_unit"] == "standardised target" and "metadata" in job and set(job["metrics"]) == {"loss", "mae", "rmse", "r2"}
    values = [p["value"] for p in server.predict(name, [{"x": r["x"]} for r in rows])]
    errors = [v - r["y"] for v, r in zip(values, rows)]
    rmse, mae = math.sqrt(sum(e * e for e in errors) / 200), sum(map(abs, errors)) / 200
    mean = sum(r["y"] for r in rows) / 200
    variance = sum((r["y"] - mean) ** 2 for r in rows) / 200
    # the metrics are of the running epoch, the predictions of its end: near, not equal
    assert 15 < rmse < 30 and job["metrics"]["rmse"] == pytest.approx(rmse, rel=0.1) and job["metrics"]["mae"] == pytest.approx(mae, rel=0.1)
    assert job["metrics"]["loss"] == pytest.approx(rmse ** 2 / variance, rel=0.2) and job["metrics"]["r2"] == pytest.approx(1 - rmse ** 2 / variance, abs=0.01)
    target = server.get("/v1/models/%s/versions/1" % name).json["preprocessing"]["target"]
    assert target["mean"] == pytest.approx(mean) and target["std"] == pytest.approx(math.sqrt(variance))


def test_task_is_inferred_with_a_warning_that_names_it(server):
    def submit(target, **more):
        values = {"text": ["a", "b"] * 20, "flag": [True, False] * 20, "few": [1, 2, 3, 4] * 10, "many": list(range(40)), "halves": [0.5, 1.5] * 20}
        return server.submit(model={"layers": [DENSE]}, dataset={"columns": {"x": list(range(40)), "t": values[target]}}, target="t", epochs=1, **more)
    assert [submit(t)["task"] for t in ("text", "flag", "few", "many", "halves")] == ["classification"] * 3 + ["regression"] * 2
    assert any('"task"' in w for w in submit("few")["warnings"]) and remarks(submit("text")) == []
    forced = submit("few", task="regression")
    assert forced["task"] == "regression" and remarks(forced) == []
    assert submit("many", task="classification")["layers"][-1]["output_shape"] == [40]


def test_labels_are_strings_as_in_the_data_and_sorted(server):
    job = server.train(model={"layers": [DENSE]}, dataset={"columns": {"x": [1, 2, 3, 4] * 5, "y": [10, 9, 2, 1.0] * 5}}, target="y", epochs=1)
    version = server.get("/v1/models/%s@1" % job["id"]).json
    assert version["preprocessing"]["target"]["labels"] == ["1", "2", "9", "10"]
    assert set(server.predict(job["id"], [[1]])[0]["probabilities"]) == {"1", "2", "9", "10"}
    for values, types, labels in (([True, False, True, True], {}, ["false", "true"]), (["mule", "zebra", "Ant", "ant"], {}, ["Ant", "ant", "mule", "zebra"]),
                                  ([10, 9, 2, 9], {"y": "categorical"}, ["2", "9", "10"]), (["10", "9", "2", "02"], {}, ["02", "2", "9", "10"])):
        job = server.train(model={"layers": [DENSE]}, dataset={"columns": {"x": [1, 2, 3, 4] * 5, "y": values * 5}, "types": types}, target="y", epochs=1)
        assert server.get("/v1/models/%s@1" % job["id"]).json["preprocessing"]["target"]["labels"] == labels


def test_six_hundred_classes(server):
    rows = [{"x": i % 600, "z": i % 7, "y": "label %03d" % (i % 600)} for i in range(1800)]
    job = server.train(model={"layers": [DENSE]}, dataset={"records": rows}, target="y", epochs=1)
    assert job["layers"][-1]["output_shape"] == [600]
    prediction = server.predict(job["id"], [[5, 5]])[0]
    assert len(prediction["probabilities"]) == 600 and sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-4)


def test_validation_rows_are_a_share_of_each_class(server):
    """Classes of 10, 50, 140 and 800 rows: a stratified fifth holds exactly 2, 10, 28 and 160 of them back."""
    sizes = {"a": 10, "b": 50, "c": 140, "d": 800}
    labels = [label for label, size in sizes.items() for _ in range(size)]
    random.Random(1).shuffle(labels)
    name = unique("strata")
    server.post_json(name, columns={"x": list(range(1000)), "y": labels}, types={"x": "categorical"})
    seen = set()
    for seed in (4, 5):
        job = server.train(model={"layers": [DENSE]}, dataset=name, target="y", features=["x"], epochs=1, seed=seed)
        version = server.get("/v1/models/%s@1" % job["id"]).json
        trained = {int(c) for c in version["preprocessing"]["features"][0]["categories"]}  # the rows that were trained on, by their own number
        assert version["rows_trained"] == len(trained) == 800 and version["rows_validated"] == 200
        assert {label: sum(labels[i] == label for i in trained) for label in sizes} == {"a": 8, "b": 40, "c": 112, "d": 640}
        seen.add(frozenset(trained))
    assert len(seen) == 2  # the seed decides which


def test_missing_targets_are_left_out_with_a_warning(server):
    job = server.train(model={"layers": [DENSE]}, dataset={"columns": {"x": list(range(20)), "y": ["a", "b", None, "a"] * 5}}, target="y", epochs=1, validation={"fraction": 0})
    assert any("5 of 20" in w for w in job["warnings"])
    assert server.get("/v1/models/%s@1" % job["id"]).json["rows_trained"] == 15


def test_early_stopping_keeps_the_best_epoch(server):
    """Labels are noise: the validation loss soon rises. The version's weights are those of the best epoch, not of the last."""
    draw = random.Random(7)
    rows = [{"a": draw.random(), "b": draw.random(), "c": draw.random(), "y": draw.choice(["p", "q"])} for _ in range(80)]
    name, dataset = unique("stopped"), unique("noise")
    server.post_json(dataset, records=rows)
    common = {"dataset": dataset, "target": "y", "seed": 3, "optimizer": {"type": "adam", "learning_rate": 0.03}}
    layers = [{"type": "dense", "units": 32, "activation": "relu"}]
    job = server.train(model={"name": name, "layers": layers}, early_stopping={"patience": 5}, epochs=500, **common)
    history = server.get("/v1/jobs/%s/metrics?max_points=100000" % job["id"]).json["data"]
    best = min(history, key=lambda p: p["val_loss"])
    assert job["progress"]["epoch"] == len(history) == best["epoch"] + 5 < 500
    assert job["best"] == {"epoch": best["epoch"], "metric": "val_loss", "value": best["val_loss"]}
    version = server.get("/v1/models/%s@1" % name).json
    assert version["epoch"] == best["epoch"] and version["epochs_trained"] == len(history)
    assert version["metrics"] == job["metrics"] == {k: v for k, v in best.items() if k != "epoch"}
    # the same training cut at that epoch has the same weights; the one of all epochs has others
    cut, whole = unique("cut"), unique("whole")
    server.train(model={"name": cut, "layers": layers}, epochs=best["epoch"], **common)
    server.train(model={"name": whole, "layers": layers}, epochs=len(history), **common)
    assert server.weights(name) == server.weights(cut) != server.weights(whole)


def test_early_stopping_on_a_metric_that_rises(server):
    job = server.train(**IRIS, epochs=400, seed=2, early_stopping={"metric": "val_accuracy", "patience": 4})
    history = server.get("/v1/jobs/%s/metrics" % job["id"]).json["data"]
    assert job["best"]["metric"] == "val_accuracy" and job["best"]["value"] == max(p["val_accuracy"] for p in history)
    assert job["metrics"]["val_accuracy"] == job["best"]["value"]


def test_diverged(server):
    rows = [{"x": i, "y": i * 0.5 + 0.25} for i in range(64)]
    name = unique("diverged")
    job = server.submit(model={"name": name, "layers": [{"type": "dense", "units": 8, "activation": "relu"}]}, dataset={"records": rows}, target="y", seed=1,
                        optimizer={"type": "sgd", "learning_rate": 1e6, "momentum": 0.9}, epochs=1000)
    ended = server.wait(job["id"])
    assert (ended["status"], ended["error"]["code"], ended["attempt"]) == ("failed", "diverged", 1)
    assert "learning_rate" in ended["error"]["message"] and ended["model_version"] is None
    problem(server.post("/v1/models/%s/predict" % name, {"instances": [[1]]}), 409, "conflict")
    end = list(server.stream("/v1/jobs/%s/events" % job["id"]))[-1]
    assert end[1] == "end" and end[2]["data"]["error"]["code"] == "diverged" and end[2]["level"] == "error"


# y = i mod 5 + 0.5 by a = i mod 7: with this rate each epoch, one step, is worse than the one before, until it is no number.
DIVERGES = {"dataset": {"records": [{"a": i % 7, "y": i % 5 + 0.5} for i in range(50)]}, "target": "y", "task": "regression", "epochs": 200, "batch_size": 50, "seed": 1,
            "optimizer": {"type": "sgd", "learning_rate": 3}}


@pytest.mark.parametrize("stopping", [{}, {"early_stopping": {"patience": 1000}}])
def test_a_diverged_job_leaves_its_last_good_epoch(server, stopping):
    """As a model named by the job's id, which serves predictions; a model of the same definition keeps the version that it has."""
    name = unique("kept")
    good = server.train(model={"name": name, "layers": []}, **{**DIVERGES, "epochs": 3, "optimizer": "adam"})
    job = server.submit(model=name, **DIVERGES, **stopping)
    error = server.wait(job["id"])["error"]
    assert error["code"] == "diverged" and error["model"] == job["id"] and "version 1 of the model \"%s\"" % job["id"] in error["message"]
    history = server.get("/v1/jobs/%s/metrics" % job["id"]).json["data"]
    assert error["epoch"] == (1 if stopping else len(history))
    version = server.get("/v1/models/%s/versions/1" % job["id"]).json
    kept = history[error["epoch"] - 1]
    assert version["epoch"] == error["epoch"] and version["metrics"]["loss"] == kept["loss"] and version["metrics"]["val_loss"] == kept["val_loss"]
    (prediction,) = server.predict(job["id"], [{"a": 3}])
    assert math.isfinite(prediction["value"])
    assert good["model_version"] == 1 and [v["version"] for v in server.get("/v1/models/%s/versions" % name).json["data"]] == [1]
    assert server.delete("/v1/jobs/" + job["id"]).status == 204
    problem(server.post("/v1/models/%s/predict" % job["id"], {"instances": [{"a": 3}]}), 404, "not_found")


def test_a_job_that_diverges_at_once_stores_nothing(server):
    error = server.wait(server.submit(model={"layers": []}, **{**DIVERGES, "optimizer": {"type": "sgd", "learning_rate": 1e6}, "batch_size": 5})["id"])["error"]
    assert error["code"] == "diverged" and "model" not in error and error["message"].endswith("No weights are kept: no epoch ended with a finite loss")


def test_early_stopping_on_an_undefined_metric_does_not_stop(server):
    """One class among the validation rows: there is no area under its curve."""
    name = unique("one_class")
    server.post_json(name, records=[{"a": i, "y": "x"} for i in (1, 2, 5)])
    job = server.train(model={"layers": [], "metrics": ["roc_auc"]}, dataset={"records": [{"a": i, "y": "xy"[i % 2]} for i in range(40)]}, target="y",
                       validation={"dataset": name}, early_stopping={"metric": "val_roc_auc", "patience": 3}, epochs=20, seed=1)
    assert job["progress"]["epoch"] == 20 and job["best"] is None and job["metrics"]["val_roc_auc"] is None
    assert any(w.startswith("early stopping watches val_roc_auc, which is undefined in epoch 1") for w in job["warnings"])


# ---- what is refused ----

@pytest.mark.parametrize("more, pointer, words", [
    ({"epochs": 0}, "/epochs", "at least 1"), ({"epochs": -1}, "/epochs", "at least 1"), ({"epochs": 1.5}, "/epochs", "1.5"), ({"epochs": "5"}, "/epochs", "string"),
    ({"epochs": None}, "/epochs", "null"), ({"epochs": 1e300}, "/epochs", "1000000"), ({"epochs": 10000000000000000000}, None, ""), ({"batch_size": 0}, "/batch_size", "at least 1"),
    ({"batch_size": 65537}, "/batch_size", "65536"), ({"batch_size": []}, "/batch_size", "array"), ({"seed": -1}, "/seed", "0"), ({"seed": 9007199254740992}, "/seed", ""),
    ({"seed": True}, "/seed", "true"), ({"threads": 0}, "/threads", "1"), ({"threads": 65}, "/threads", "64"), ({"l2": -0.1}, "/l2", "0"), ({"l2": "0.1"}, "/l2", "string"),
    ({"gradient_clip_norm": -1}, "/gradient_clip_norm", "0"), ({"gradient_clip_norm": {}}, "/gradient_clip_norm", "object"),
    ({"checkpoint_every_epochs": 0}, "/checkpoint_every_epochs", "1"), ({"validation": 0.2}, "/validation", "fraction"), ({"validation": {"fraction": 1}}, "/validation/fraction", "below 1"),
    ({"validation": {"fraction": -0.1}}, "/validation/fraction", "0"), ({"validation": {"fracton": 0.1}}, "/validation/fracton", "fraction"), ({"validation": None}, "/validation", "null"),
    ({"optimizer": "adm"}, "/optimizer", "adam"), ({"optimizer": {"type": "adm"}}, "/optimizer/type", "adam"), ({"optimizer": {"learning_rate": 1}}, "/optimizer", "type"),
    ({"optimizer": {"type": "adam", "learning_rate": -1}}, "/optimizer/learning_rate", "0"), ({"optimizer": {"type": "adam", "beta_1": 1}}, "/optimizer/beta_1", "below 1"),
    ({"optimizer": {"type": "adam", "momentum": 0.9}}, "/optimizer/momentum", "unknown"), ({"optimizer": {"type": "sgd", "nesterov": 1}}, "/optimizer/nesterov", "1"),
    ({"optimizer": 5}, "/optimizer", "5"), ({"optimizer": None}, "/optimizer", "null"), ({"early_stopping": 5}, "/early_stopping", "object"), ({"early_stopping": "yes"}, "/early_stopping", "object"),
    ({"early_stopping": {"patience": -1}}, "/early_stopping/patience", "0"), ({"early_stopping": {"patinece": 1}}, "/early_stopping/patinece", "patience"),
    ({"early_stopping": {"metric": "val_los"}}, "/early_stopping/metric", "val_loss"), ({"early_stopping": {"metric": 5}}, "/early_stopping/metric", "5"),
    ({"early_stopping": {"metric": "val_loss"}, "validation": {"fraction": 0}}, "/early_stopping/metric", "validation"),
    ({"early_stopping": {"min_delta": -1}}, "/early_stopping/min_delta", "0"), ({"task": "clasification"}, "/task", "classification"), ({"task": 1}, "/task", "1"),
    ({"task": "regression"}, "/task", "labels"), ({"target": "clas"}, "/target", '"class"'), ({"target": 5}, "/target", "5"), ({"target": []}, "/target", "at least one"), ({"target": ["class", "class"]}, "/target/1", "twice"), ({"target": ["class", 5]}, "/target/1", "5"),
    ({"target": {}}, "/target", "output layers"), ({"target": {"out": "clas"}}, "/target/out", '"class"'),
    ({"features": []}, "/features", "at least one"), ({"features": ["nope"]}, "/features/0", "sepal_length"), ({"features": ["class"]}, "/features/0", "target"),
    ({"features": ["petal_width", "petal_width"]}, "/features/1", "twice"), ({"features": [5]}, "/features/0", "5"), ({"features": "petal_width"}, "/features", "list"),
    ({"metadata": []}, "/metadata", "object"), ({"metadata": {"a": 1}}, "/metadata/a", "1"), ({"metadata": {"a/b~": None}}, "/metadata/a~1b~0", "null"),
    ({"metadata": {str(i): "x" for i in range(33)}}, "/metadata", "32"), ({"epoch": 5}, "/epoch", '"epochs"'), ({"model": 5}, "/model", "5"), ({"model": "nope-nothing"}, "/model", "nope-nothing"),
    ({"model": "Bad Name"}, "/model", "Bad Name"), ({"model": "iris@x"}, "/model", "iris@x"), ({"model": {"name": "Bad", "layers": []}}, "/model/name", "Bad"),
    ({"model": {"layers": [{"type": "dense"}]}}, "/model/layers/0", "units"),
    ({"model": {"layers": [{"type": "dense", "units": 65536}] * 4}}, "/model", ""),
    ({"dataset": 5}, "/dataset", "5"), ({"dataset": "nothing"}, "/dataset", "nothing"), ({"dataset": "iris@2"}, "/dataset", "iris@2"), ({"dataset": {"name": "Bad", "records": [{"a": 1}]}}, "/dataset/name", "Bad"),
    ({"dataset": {"records": []}}, "/dataset/records", "rows"), ({"dataset": {"records": [{"class": "a", "x": [1, "b"]}]}}, "/dataset/records/0/x", "number"), ({"dataset": {"recrods": []}}, "/dataset/recrods", "records"),
    ({"dataset": {"columns": {"x": [1, 2], "class": ["a", "a"]}}}, "/target", "one value"), ({"dataset": {"columns": {"x": [1, 2], "class": [None, None]}}}, "/target", "no values"),
    ({"dataset": {"columns": {"class": ["a", "b"]}}}, "/features", "no column besides"), ({"dataset": {"columns": {"x": [1, 2], "class": [[1], [2]]}}, "task": "classification"}, "/model/layers/0", "positions"),
], ids=lambda v: json.dumps(v)[:70] if isinstance(v, dict) else "")
def test_detectable_errors_are_refused(server, more, pointer, words):
    before = server.get("/v1/jobs?limit=1").json["first_id"]
    answer = server.post("/v1/jobs", {**IRIS, **more})
    if pointer is None:  # larger than any integer that the reader takes
        problem(answer, 400, "bad_request")
    else:
        got = pointers(answer)
        found = [d for p, d in got.items() if p == pointer or (words == "" and p.startswith(pointer))]
        assert found and words in " ".join(found), got
    assert server.get("/v1/jobs?limit=1").json["first_id"] == before


def test_everything_wrong_at_once(server):
    got = pointers(server.post("/v1/jobs", {"model": {"layers": [{"type": "dens"}], "loss": "x"}, "dataset": "iris", "target": "clas", "features": ["petal_with"], "epochs": 0,
                                            "optimizer": "adm", "early_stopping": {"patience": -1}, "metadata": {"a": 1}, "bath_size": 3}))
    assert set(got) == {"/model/layers/0/type", "/model/loss", "/target", "/features/0", "/epochs", "/optimizer", "/early_stopping/patience", "/metadata/a", "/bath_size"}
    assert set(pointers(server.post("/v1/jobs", {}))) == {""}
    assert len(problem(server.post("/v1/jobs", {}), 422, "invalid")["errors"]) == 2  # dataset, target
    many = problem(server.post("/v1/jobs", {**IRIS, **{"wrong%d" % i: 1 for i in range(50)}}), 422, "invalid")
    assert len(many["errors"]) == 20 and many["detail"].startswith("50 problems")


def test_refused_jobs_leave_nothing(server):
    name = unique("refused")
    body = xor(model={"name": name, "layers": [DENSE]}, dataset={"name": name, "x": [[0], [1]], "y": ["a", "b"]}, target="nope")
    problem(server.post("/v1/jobs", body), 422, "invalid")
    assert server.get("/v1/models/" + name).status == server.get("/v1/datasets/" + name).status == 404


def test_too_much_memory_is_refused(fresh):
    server = fresh("--job-memory-max", "64M")
    answer = server.post("/v1/jobs", xor(model={"layers": [{"type": "dense", "units": 20000}, {"type": "dense", "units": 2000}]}))
    assert "job_memory_max" in pointers(answer)["/model"]


# ---- states ----

def test_cancel_queued_running_ended(fresh):
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    first = running(server)
    second, third = (server.submit(**ENDLESS) for _ in range(2))
    assert (second["queue_position"], third["queue_position"]) == (1, 2)
    gone = cancel(server, second["id"])
    assert (gone["status"], gone["attempt"], gone["started_at"]) == ("cancelled", 0, None)
    assert cancel(server, second["id"]) == gone  # again: nothing changes
    assert server.get("/v1/jobs/" + third["id"]).json["queue_position"] == 1
    assert cancel(server, first)["status"] in ("cancelling", "cancelled")
    assert cancel(server, first)["status"] in ("cancelling", "cancelled")
    ended = server.wait(first)
    assert ended["status"] == "cancelled" and ended["progress"]["epoch"] >= 1 and ended["model_version"] is None and ended["error"] is None
    assert cancel(server, first) == ended
    server.wait(third["id"], ("running",))
    cancel(server, third["id"])
    done = server.train(**xor())
    assert cancel(server, done["id"]) == done  # a success stays one
    failed = server.wait(server.submit(**xor(optimizer={"type": "sgd", "learning_rate": 1e6}, l2=1000, epochs=1000))["id"])
    assert failed["status"] == "failed" and cancel(server, failed["id"]) == failed
    problem(server.post("/v1/jobs/job_00000000000000000000000000/cancel"), 404, "not_found")
    problem(server.post("/v1/jobs/nonsense/cancel"), 404, "not_found")
    assert harness.until(lambda: not server.children(), what="the end of all job processes")


def test_unfinished_jobs_are_not_deleted(fresh):
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    first, second = running(server), server.submit(**ENDLESS)["id"]
    for job in (first, second):
        assert "cancel it first" in problem(server.delete("/v1/jobs/" + job), 409, "conflict")["detail"]
    for job in (second, first):
        cancel(server, job)
        server.wait(job)
        assert server.delete("/v1/jobs/" + job).status == 204
        problem(server.delete("/v1/jobs/" + job), 404, "not_found")
        problem(server.get("/v1/jobs/" + job), 404, "not_found")
    assert server.get("/v1/jobs").json["data"] == []
    assert server.get("/v1/events").json["data"] == []


def test_progress_while_running(server):
    job = running(server)
    seen = [server.get("/v1/jobs/" + job).json]
    server.wait(job, lambda j: seen.append(j) or j["progress"]["epoch"] >= seen[0]["progress"]["epoch"] + 3)
    cancel(server, job)
    epochs = [j["progress"]["epoch"] for j in seen]
    assert epochs == sorted(epochs) and all(j["status"] == "running" and j["attempt"] == 1 for j in seen)
    assert all(j["progress"]["samples_per_second"] > 0 and j["progress"]["eta_seconds"] > 0 and set(j["metrics"]) >= {"loss", "val_loss"} for j in seen)
    assert all(j["progress"]["steps_per_epoch"] == 45 and 0 < j["progress"]["fraction"] < 0.01 for j in seen)
    ended = server.wait(job)
    assert ended["status"] == "cancelled" and ended["progress"]["eta_seconds"] is None and ended["progress"]["epoch"] >= epochs[-1]


def test_long_poll(fresh):
    """`Prefer: wait` answers at the change of status, and at its own end without one."""
    import threading
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    job = running(server)
    queued = server.submit(**ENDLESS)["id"]
    waited = {}

    def wait(name, path):
        waited[name] = server.get(path, headers={"Prefer": "respond-async, wait=60"}, timeout=90).json
    threads = [threading.Thread(target=wait, args=a) for a in (("running", "/v1/jobs/" + job), ("queued", "/v1/jobs/" + queued))]
    for thread in threads:
        thread.start()
    assert server.get("/v1/jobs/" + job, headers={"Prefer": "wait=1"}).json["status"] == "running"  # nothing changed: answered after a second
    assert not waited
    cancel(server, job)
    for thread in threads:
        thread.join(60)
    assert waited["running"]["status"] in ("cancelling", "cancelled") and waited["queued"]["status"] == "running"
    cancel(server, queued)
    server.wait(queued)
    assert server.get("/v1/jobs/" + queued, headers={"Prefer": "wait=60"}).json["status"] == "cancelled"  # ended: at once
    for odd in ("wait=0", "wait=-5", "wait=x", "return=minimal", "wait", ",,;", "wait=99999999999999999999"):
        assert server.get("/v1/jobs/" + queued, headers={"Prefer": odd}).status == 200


# ---- lists ----

def test_list_filters_and_paging(fresh):
    server = fresh("--workers", "2")
    name = "listed"
    server.post("/v1/models", {"name": name, "layers": [DENSE]})
    jobs = [server.submit(**xor(metadata={"who": "me" if i % 2 else "you", "n": str(i)}, **({"model": name} if i < 3 else {})))["id"] for i in range(7)]
    for job in jobs:
        server.wait(job)
    newest_first = jobs[::-1]
    assert jobs == sorted(jobs)  # ids sort by time
    assert [j["id"] for j in server.all_pages("/v1/jobs", limit=2)] == newest_first
    assert [j["id"] for j in server.all_pages("/v1/jobs?model=" + name, limit=2)] == jobs[2::-1]
    assert [j["id"] for j in server.all_pages("/v1/jobs?metadata.who=me", limit=1)] == newest_first[1::2]
    assert [j["id"] for j in server.all_pages("/v1/jobs?status=succeeded", limit=3)] == newest_first
    assert [j["id"] for j in server.get("/v1/jobs?status=succeeded&model=%s&metadata.n=1" % name).json["data"]] == [jobs[1]]
    assert [j["kind"] for j in server.get("/v1/jobs?kind=train&limit=2").json["data"]] == ["train", "train"]
    for nothing in ("status=failed", "kind=predict", "kind=evaluate&status=succeeded", "model=other", "metadata.who=nobody", "metadata.nothing=me", "metadata.who="):
        assert server.get("/v1/jobs?" + nothing).json == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    for wrong in ("status=done", "status=", "kind=training", "kind=", "limit=0", "after=nothing", "metadata=me", "metdata.who=me"):
        problem(server.get("/v1/jobs?" + wrong), 422, "invalid")
    shown = server.get("/v1/server").json["jobs"]
    assert shown["succeeded"] == 7 and sum(shown.values()) == 7


def test_two_hundred_jobs_at_once(fresh):
    """From eight clients; every one is accepted, runs once and succeeds."""
    import concurrent.futures
    server = fresh("--workers", "2")
    server.upload("iris", harness.DATA / "iris.csv")
    server.post("/v1/models", {"name": "many", "layers": [DENSE]})
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: server.post("/v1/jobs", {**IRIS, "model": "many", "epochs": 2, "metadata": {"i": str(i)}}), range(200)))
    assert {a.status for a in answers} == {202}
    ids = {a.json["id"] for a in answers}
    assert len(ids) == 200
    harness.until(lambda: server.get("/v1/server").json["jobs"]["succeeded"] == 200, seconds=120, what="the success of 200 jobs")
    jobs = server.all_pages("/v1/jobs")
    assert {j["id"] for j in jobs} == ids and all(j["status"] == "succeeded" and j["attempt"] == 1 for j in jobs)
    assert sorted(j["model_version"] for j in jobs) == list(range(1, 201))
    by_end = sorted(server.all_pages("/v1/models/many/versions"), key=lambda v: v["version"])
    assert len(by_end) == 200 and {v["job"] for v in by_end} == ids


def test_full_queue(fresh):
    server = fresh("--workers", "1", "--queue-max", "2")
    server.upload("digits", harness.DATA / "digits.csv")
    first = running(server)
    waiting = [server.submit(**ENDLESS)["id"] for _ in range(2)]
    answer = server.post("/v1/jobs", xor(dataset={"name": "kept-out", "x": [0, 1], "y": ["a", "b"]}))
    assert problem(answer, 429, "queue_full") and int(answer.headers["Retry-After"]) >= 1
    assert server.get("/v1/datasets/kept-out").status == 404
    cancel(server, waiting[0])
    last = server.submit(**ENDLESS)
    assert last["queue_position"] == 2
    for job in (last["id"], waiting[1], first):
        cancel(server, job)
    assert {server.wait(j)["status"] for j in (first, *waiting, last["id"])} == {"cancelled"}


def test_an_unknown_field_lists_all_fields_of_a_job(server):
    answer = server.post("/v1/jobs", {**IRIS, "qwertyz": 1})
    assert answer.status == 422, answer
    detail = [e["detail"] for e in answer.json["errors"] if e["pointer"] == "/qwertyz"][0]
    assert set(detail.split("knows: ")[1].split(", ")) >= {*server.submit(**IRIS)["options"], "model", "dataset", "target", "features", "sample_weight", "class_weights", "columns"}


def test_unknown_jobs(server):
    for path in ("/v1/jobs/%s", "/v1/jobs/%s/metrics", "/v1/jobs/%s/events", "/v1/jobs/%s/checkpoints"):
        for job in ("job_00000000000000000000000000", "nonsense", "job_", "%C3%BC", "x" * 300):
            problem(server.get(path % job), 404, "not_found")


def test_metrics_of_the_whole_and_with_parameters(server):
    metrics = ["roc_auc", {"type": "top_k_accuracy", "k": 2}, "pr_auc"]
    job = server.train(model={"name": unique("whole"), "layers": [DENSE], "metrics": metrics}, dataset="iris", target="class", epochs=30, seed=1,
                       optimizer={"type": "nadam", "learning_rate": 0.02}, early_stopping={"metric": "val_roc_auc", "patience": 30})
    assert set(job["metrics"]) == {"loss", "val_loss", "val_roc_auc", "val_pr_auc", "top_k_accuracy", "val_top_k_accuracy"}
    assert 0.9 < job["metrics"]["val_roc_auc"] <= 1 and job["metrics"]["val_top_k_accuracy"] > 0.95 and job["best"]["metric"] == "val_roc_auc"
    assert job["definition"]["metrics"] == metrics
    alone = server.train(model={"name": unique("whole"), "layers": [DENSE], "metrics": ["roc_auc"]}, dataset="iris", target="class", epochs=2, seed=1,
                         validation={"fraction": 0})
    assert set(alone["metrics"]) == {"loss", "roc_auc"}
    wrong = server.post("/v1/jobs", {**IRIS, "model": {"layers": [DENSE], "metrics": [{"type": "top_k_accuracy", "k": 0}]}})
    assert "at least 1" in pointers(wrong)["/model/metrics/0/k"]
    unseen = server.post("/v1/jobs", {**IRIS, "model": {"layers": [DENSE], "metrics": ["roc_auc"]}, "early_stopping": {"metric": "roc_auc"}})
    assert "val_roc_auc" in pointers(unseen)["/early_stopping/metric"]
