"""Goal: a numeric target may be learned through a transform, and clamped; its predictions and metrics are in its own unit, as NumPy and scikit-learn
compute them. Of two classes a job says which one is positive."""
import math
import random

import numpy
import pytest
from sklearn import metrics

from harness import pointers, unique

HIDDEN = {"layers": [{"type": "dense", "units": 16, "activation": "tanh"}], "metrics": ["mae", "rmse", "r2", "mape", "median_absolute_error"]}
ADAM = {"type": "adam", "learning_rate": 0.02}


def skewed(seed, n, scale=1.0):
    """y is lognormal given x."""
    draw = random.Random(seed)
    x = [draw.uniform(-1, 1) * scale for _ in range(n)]
    return {"x": x, "y": [math.exp(3 + 2 * v + draw.gauss(0, 0.3)) for v in x]}


@pytest.fixture(scope="module")
def data(server):
    """The rows that validate are farther out: some of their predictions would be beyond the training rows."""
    names = unique("skewed"), unique("held")
    held = skewed(2, 60, 1.6)
    for name, columns in zip(names, (skewed(1, 200), held)):
        server.post_json(name, columns=columns)
    return names, held


def train(server, data, **more):
    name = unique("value")
    (rows, held), _ = data
    definition = {**HIDDEN, **more.pop("definition", {})}
    return name, server.train(model={"name": name, **definition}, dataset=rows, target="y", validation={"dataset": held}, seed=4, epochs=40, optimizer=ADAM, **more)


def predicted(server, name, held, key="value"):
    return numpy.array([row[key] for row in server.predict(name, [{"x": v} for v in held["x"]])])


def in_its_own_unit(server, name, job, held):
    truth, guess = numpy.array(held["y"]), predicted(server, name, held)
    got = job["metrics"]
    assert got["val_mae"] == pytest.approx(metrics.mean_absolute_error(truth, guess), rel=1e-5)
    assert got["val_rmse"] == pytest.approx(metrics.mean_squared_error(truth, guess) ** 0.5, rel=1e-5)
    assert got["val_r2"] == pytest.approx(metrics.r2_score(truth, guess), abs=1e-5)
    assert got["val_mape"] == pytest.approx(100 * metrics.mean_absolute_percentage_error(truth, guess), rel=1e-4) or got["val_mape"] == pytest.approx(
        metrics.mean_absolute_percentage_error(truth, guess), rel=1e-4)
    assert got["val_median_absolute_error"] == pytest.approx(metrics.median_absolute_error(truth, guess), rel=1e-5)


@pytest.mark.parametrize("options", [{"transform": "log"}, {"transform": "sqrt", "clamp": True}, {"transform": {"y": "yeo-johnson"}}, {"transform": "box-cox"},
                                     {"clamp": True}, {"transform": "log1p", "definition": {"loss": "mae"}}])
def test_metrics_and_predictions(server, data, options):
    held = data[1]
    name, job = train(server, data, **options)
    in_its_own_unit(server, name, job, held)
    target = server.get("/v1/models/%s/versions/1" % name).json["preprocessing"]["target"]
    lowest, highest = target["range"]
    if options.get("clamp"):
        guess = predicted(server, name, held)
        assert guess.min() >= lowest * (1 - 1e-8) and guess.max() == pytest.approx(highest, rel=1e-8) and max(held["y"]) > highest
    assert job["loss_unit"] == ("standardised target after its transform" if "transform" in options else "standardised target")


def test_a_transform_helps_and_is_the_median(server, data):
    """The rows are spread as the logarithm says: what a log target predicts is the median, so that half of the rows are below."""
    held = data[1]
    plain, logs = train(server, data)[1], train(server, data, transform="log")
    assert logs[1]["metrics"]["val_mape"] < plain["metrics"]["val_mape"]
    below = (numpy.array(held["y"]) < predicted(server, logs[0], held)).mean()
    assert 0.3 < below < 0.7


def test_quantiles_of_a_transformed_target(server, data):
    held = data[1]
    name, job = train(server, data, transform="log", definition={"loss": {"type": "quantile", "quantiles": [0.1, 0.5, 0.9]}})
    in_its_own_unit(server, name, job, held)
    for row in server.predict(name, [{"x": 0.3}]):
        low, middle, high = row["values"]
        assert 0 < low < middle < high and row["value"] == middle and row["quantiles"]["0.1"] == low


def test_folds_and_several_targets(server, data):
    name, (rows, _) = unique("folds"), data[0]
    folds = server.train(model={"name": name, **HIDDEN}, dataset=rows, target="y", transform="log", validation={"folds": 3}, seed=4, epochs=10, optimizer=ADAM)
    assert folds["cross_validation"]["mean"]["val_r2"] > 0.5
    both, columns = unique("both"), skewed(5, 100)
    columns["z"] = [3 - v for v in columns["x"]]
    server.post_json(both, columns=columns)
    job = server.train(model={"name": both, "layers": [{"type": "dense", "units": 8, "activation": "tanh"}, {"type": "dense", "units": 2}], "metrics": ["rmse"]}, dataset=both,
                       target=["y", "z"], features=["x"], transform={"y": "log"}, clamp=True, validation={"fraction": 0}, seed=1, epochs=30, optimizer=ADAM)
    rows = server.predict(both, [{"x": v} for v in columns["x"]])
    for column in "yz":
        guess = numpy.array([row["outputs"][column]["value"] for row in rows])
        assert guess.max() <= max(columns[column]) * (1 + 1e-9) and numpy.corrcoef(guess, columns[column])[0, 1] > 0.8
    assert set(job["metrics"]) == {"loss", "rmse", "y_rmse", "z_rmse"}


def test_what_is_refused(server, data):
    (rows, held), _ = data
    other = unique("negative")
    server.post_json(other, columns={"x": [1, 2, 3], "y": [1.5, -2, 3]})
    answer = server.post("/v1/jobs", {"model": {"layers": []}, "dataset": rows, "target": "y", "transform": "log", "validation": {"dataset": other}})
    assert '"y" holds -2 in row 2' in pointers(answer)["/transform"]
    answer = server.post("/v1/models/validate", {"model": {"layers": []}, "dataset": rows, "target": "y", "positive_class": "yes"})
    assert "this job has none" in pointers(answer)["/positive_class"]


def test_the_positive_class(server):
    draw, name = random.Random(3), unique("churn")
    x = [draw.gauss(0, 1) for _ in range(200)]
    labels = ["gone" if v + draw.gauss(0, 1) > 1 else "stays" for v in x]
    server.post_json(name, columns={"x": x, "y": labels})
    server.post_json(name + "-held", columns={"x": x, "y": labels})
    found = {}
    for positive in ("stays", "gone"):
        job = server.train(model={"name": unique(positive), "layers": [], "metrics": ["precision", "recall", "f1", "roc_auc"]}, dataset=name, target="y", positive_class=positive,
                           validation={"dataset": name + "-held"}, seed=1, epochs=30, optimizer=ADAM, thresholds={positive: 0.4})
        rows = server.predict(job["model"], [{"x": v} for v in x])
        guess, shares = [row["label"] for row in rows], [row["probabilities"][positive] for row in rows]
        assert all((row["label"] == positive) == (share >= 0.4) for row, share in zip(rows, shares)) and job["thresholds"] == {positive: 0.4}
        expected = {"precision": metrics.precision_score(labels, guess, pos_label=positive), "recall": metrics.recall_score(labels, guess, pos_label=positive),
                    "f1": metrics.f1_score(labels, guess, pos_label=positive), "roc_auc": metrics.roc_auc_score([label == positive for label in labels], shares)}
        found[positive] = {k: job["metrics"]["val_" + k] for k in expected}
        assert found[positive] == pytest.approx(expected, abs=1e-6)
    assert found["gone"]["recall"] != found["stays"]["recall"]


def test_ensembles_measure_in_the_unit_of_the_target(server, data):
    """The out-of-fold error of an ensemble is that of values, not of logarithms: about the spread that the rows have around their median."""
    rows = data[0][0]
    job = server.wait(server.post("/v1/jobs", {"dataset": rows, "target": "y", "transform": "log", "clamp": True, "effort": "fast", "seed": 1, "features": ["x"]}).json["id"])
    assert job["status"] == "succeeded", job
    found = server.get("/v1/models/%s/versions/1" % job["model"]).json["metrics"]
    held = skewed(1, 200)
    spread = numpy.std(numpy.array(held["y"]) - numpy.exp(3 + 2 * numpy.array(held["x"])))
    rmse = [value for name, value in found.items() if name.endswith("rmse")]
    assert rmse and all(0.5 * spread < value < 3 * spread for value in rmse), (found, spread)
