"""Goal: the numbers that a job reports are those of scikit-learn on the predictions that its version gives, each target in its own unit; class weights do not enter
them, sample weights do."""
import random

import numpy
import pytest
from sklearn import metrics

from harness import unique

LINEAR = {"layers": [{"type": "dense", "units": 3}], "metrics": ["mae", "mape", "median_absolute_error", "r2", "rmse"]}
PEERS = {"mae": metrics.mean_absolute_error, "mape": metrics.mean_absolute_percentage_error, "median_absolute_error": metrics.median_absolute_error, "r2": metrics.r2_score,
         "rmse": lambda y, p, sample_weight=None: metrics.mean_squared_error(y, p, sample_weight=sample_weight) ** 0.5}


def rows(n, seed):
    draw = random.Random(seed)
    made = []
    for _ in range(n):
        a, b = draw.gauss(0, 1), draw.gauss(0, 1)
        made.append({"a": a, "b": b, "w": draw.choice([0.5, 1, 3]), "small": 0.01 * a + draw.gauss(0, 0.003) + 0.5, "large": 5e4 * b + draw.gauss(0, 9e3), "bent": a * b + 3})
    return made


@pytest.mark.parametrize("weighted", [False, True])
def test_several_targets_side_by_side(server, weighted):
    targets = ["small", "large", "bent"]
    train, held, model = rows(120, 1), rows(40, 2), unique("metrics")
    name = unique("held")
    server.post_json(name, records=held)
    job = server.train(model={"name": model, **LINEAR}, dataset={"records": train}, target=targets, features=["a", "b"], validation={"dataset": name}, epochs=30, seed=1,
                       **({"sample_weight": "w"} if weighted else {}))
    predicted = [p["outputs"] for p in server.predict(model, [{"a": r["a"], "b": r["b"]} for r in held])]
    weights = [r["w"] for r in held] if weighted else None
    for metric, peer in PEERS.items():
        each = [peer([r[t] for r in held], [p[t]["value"] for p in predicted], sample_weight=weights) for t in targets]
        for target, value in zip(targets, each):
            assert job["metrics"]["val_%s_%s" % (target, metric)] == pytest.approx(value, rel=1e-4), (metric, target)
        assert job["metrics"]["val_" + metric] == pytest.approx(numpy.mean(each), rel=1e-4), metric
    assert {"small_mae", "large_rmse", "bent_r2"} <= set(job["metrics"]) and "small_median_absolute_error" not in job["metrics"]


def test_a_target_can_be_watched(server):
    job = server.train(model=LINEAR, dataset={"records": rows(80, 3)}, target=["small", "large", "bent"], features=["a", "b"], epochs=5, seed=1,
                       early_stopping={"metric": "val_large_rmse", "patience": 3})
    assert job["best"]["metric"] == "val_large_rmse" and job["best"]["value"] > 0


def test_names_of_targets_never_hide_a_number(server):
    """A target that is called val: its mean absolute error of training would be called as the mean of validation."""
    records = [{"x": r["a"], "val": r["small"], "other": r["large"]} for r in rows(60, 4)]
    job = server.train(model={"layers": [{"type": "dense", "units": 2}], "metrics": ["mae"]}, dataset={"records": records}, target=["val", "other"], epochs=1, seed=1)
    assert {"mae", "val_mae", "val_mae_2", "val_val_mae", "other_mae", "val_other_mae"} <= set(job["metrics"])


def classes(n=100):
    return [{"a": i, "k": "x" if i <= 70 else "y" if i <= 95 else "z"} for i in range(1, n + 1)]


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_class_weights_do_not_enter_metrics(server, loss):
    """A learning rate of 1e-30 leaves the weights as they are: the same network, the same rows, the same numbers."""
    wanted = ["accuracy", "balanced_accuracy", "f1"]
    plain, weighted, named = (server.train(model={"layers": [], "loss": loss, "metrics": wanted}, dataset={"records": classes()}, target="k", epochs=1, batch_size=30, seed=4,
                                           validation={"fraction": 0}, optimizer={"type": "sgd", "learning_rate": 1e-30}, **more)["metrics"]
                              for more in ({}, {"class_weights": "balanced"}, {"class_weights": {"x": 0, "z": 9}}))
    for metric in wanted:
        assert plain[metric] == weighted[metric] == named[metric], metric
    assert plain["loss"] == pytest.approx(weighted["loss"], rel=1e-6) and plain["loss"] == pytest.approx(named["loss"], rel=1e-6)


def test_class_weights_of_positions_do_not_enter_metrics(server):
    records = [{"t": [[i / 9.0], [(i % 5) / 5.0], [1.0]], "p": [i % 3, (i // 2) % 3, -1 if i % 4 else 2]} for i in range(40)]
    body = {"model": {"layers": [{"type": "dense", "units": 3}], "metrics": ["accuracy", "log_loss"]}, "dataset": {"records": records}, "target": "p", "task": "classification",
            "epochs": 1, "batch_size": 40, "seed": 4, "validation": {"fraction": 0}, "optimizer": {"type": "sgd", "learning_rate": 1e-30}}
    plain, weighted = (server.train(**body, **more)["metrics"] for more in ({}, {"class_weights": {"0": 5, "1": 0}}))
    assert plain["accuracy"] == weighted["accuracy"] and plain["log_loss"] == weighted["log_loss"]
    assert plain["loss"] == pytest.approx(weighted["loss"], rel=1e-6)
    assert plain["loss"] == pytest.approx(plain["log_loss"], rel=1e-6)


@pytest.mark.parametrize("weights", [None, "balanced", {"x": 0, "y": 3, "z": 9}], ids=str)
@pytest.mark.parametrize("loss, kinds", [("cross_entropy", "xyz"), ("binary_cross_entropy", "xy"), ("focal", "xyz"), ("mse", "xyz")])
def test_the_reported_loss_is_scikit_learns(server, loss, kinds, weights):
    """The mean over the rows by their sample weights alone, in training as in validation: a learning rate of 1e-30 leaves the network as it is."""
    from sklearn.metrics import log_loss
    records = [{**r, "w": 1 + i % 4} for i, r in enumerate(classes()) if r["k"] in kinds]
    name, model = unique("held"), unique("net")
    server.post_json(name, records=records)
    class_weights = {k: v for k, v in weights.items() if k in kinds} if isinstance(weights, dict) else weights
    job = server.train(model={"name": model, "layers": [{"type": "dense", "units": 5, "activation": "tanh"}], "loss": {"type": "focal", "gamma": 0} if loss == "focal" else loss},
                       dataset={"records": records}, target="k", features=["a"], sample_weight="w", class_weights=class_weights, epochs=1, batch_size=30, seed=4,
                       validation={"dataset": name}, optimizer={"type": "sgd", "learning_rate": 1e-30})
    p = [[row["probabilities"][k] for k in kinds] for row in server.predict(model, [{"a": r["a"]} for r in records])]
    truth, w = [r["k"] for r in records], [r["w"] for r in records]
    if loss == "mse":
        expected = numpy.average(((numpy.array(p) - [[float(k == t) for k in kinds] for t in truth]) ** 2).mean(axis=1), weights=w)
    else:
        expected = log_loss(truth, p, sample_weight=w, labels=list(kinds))
    assert job["metrics"]["loss"] == pytest.approx(expected, rel=2e-5)
    assert job["metrics"]["val_loss"] == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("more", [{}, {"mixup": 0.4}, {"optimizer": {"type": "sgd", "learning_rate": 1e-30}, "gradient_accumulation_steps": 3}, {"optimizer": "lbfgs"}, {"threads": 3}], ids=str)
def test_class_weights_change_what_is_minimised_alone(server, more):
    """Two outputs, with every way to make an update. Weights of 1 are none: the same loss, and with others the same one before anything is learned."""
    body = {"model": {"layers": [{"type": "dense", "units": 3, "activation": "tanh"}], "loss_weights": {"a": 0.5}}, "dataset": {"records": [{**r, "b": r["a"] / 7} for r in classes()]},
            "target": ["k", "a"], "features": ["b"], "epochs": 1, "batch_size": 100, "seed": 4, "validation": {"fraction": 0}, "optimizer": {"type": "sgd", "learning_rate": 1e-30}, **more}
    if "gradient_accumulation_steps" in more:
        body["batch_size"] = 30
    plain, ones, balanced = (server.train(**body, class_weights=w)["metrics"] for w in (None, {"x": 1, "y": 1, "z": 1}, "balanced"))
    assert ones == pytest.approx(plain, rel=1e-6)
    if more.get("optimizer") != "lbfgs":
        assert balanced == pytest.approx(plain, rel=1e-6) and {"loss", "k_loss", "a_loss"} <= set(plain)


def test_sample_weights_enter_training_and_validation(server):
    """One weight of 1 among zeros: only that row is measured."""
    records = [{**r, "w": 1.0 if i == 0 else 0.0} for i, r in enumerate(classes())]
    name = unique("weighted")
    server.post_json(name, records=records)
    job = server.train(model={"layers": [], "metrics": ["accuracy", "log_loss"]}, dataset={"records": [{**r, "w": 1.0} for r in classes()]}, target="k", features=["a"], sample_weight="w",
                       epochs=3, seed=4, validation={"dataset": name})
    (first,) = server.predict(job["id"], [{"a": 1}])
    assert job["metrics"]["val_accuracy"] == (first["label"] == "x")
    assert job["metrics"]["val_log_loss"] == pytest.approx(-numpy.log(first["probabilities"]["x"]), rel=1e-4)


def test_batch_norm_of_one_row_is_refused(server):
    body = {"model": {"layers": [{"type": "dense", "units": 4}, {"type": "batch_norm"}]}, "dataset": {"records": classes()}, "target": "k"}
    answer = server.post("/v1/jobs", {**body, "batch_size": 1})
    (problem,) = answer.json["errors"]
    assert answer.status == 422 and problem["pointer"] == "/batch_size" and "batch_norm" in problem["detail"] and "layer_norm" in problem["detail"]
    assert server.train(**body, batch_size=33, epochs=2)["status"] == "succeeded"


def test_a_last_batch_of_one_gives_no_advice(server):
    """65 rows in batches of 32: batch_norm gives 0 for the last row, whose gradient vanishes; this is not a property of the network."""
    draw = random.Random(3)
    records = [{"a": a, "b": b, "y": "p" if a + b > 0 else "q"} for a, b in ((draw.random() - 0.5, draw.random() - 0.5) for _ in range(65))]
    job = server.train(model={"layers": [{"type": "dense", "units": 8}, {"type": "batch_norm"}, {"type": "activation", "activation": "relu"}, {"type": "dense", "units": 1}]},
                       dataset={"records": records}, target="y", epochs=60, batch_size=32, seed=2, validation={"fraction": 0}, optimizer={"type": "adam", "learning_rate": 0.01})
    assert not any("vanishing" in w or "dead units" in w for w in job["warnings"]), job["warnings"]
