"""publish "if_better". Goal: a version goes live only if it beats the served one on the same validation rows; what was compared is reported either way, and equals what the predictions of
both say when they are measured outside."""
import json
import math

import harness
import numpy
import pytest
from harness import unique

SOFT = {"layers": [{"type": "dense", "units": 8, "activation": "tanh"}]}


@pytest.fixture(scope="module")
def flowers(server):
    """iris in two halves: rows that train, rows that validate."""
    lines = (harness.DATA / "iris.csv").read_text().split()
    server.post_csv("flowers", "\n".join(lines[:1] + lines[1::2]))
    server.post_csv("flowers-held", "\n".join(lines[:1] + lines[2::2]))
    server.held = [line.split(",") for line in lines[2::2]]
    server.columns = lines[0].split(",")
    return server


def train(server, model, dataset="flowers", target="class", held="flowers-held", network=SOFT, **more):
    more.setdefault("validation", {"dataset": held})
    return server.train(model={"name": model, **network}, dataset=dataset, target=target, **more)


def served(server, model):
    return server.get("/v1/models/" + model).json["aliases"].get("default")


def predictions(server, model, version):
    rows = [dict(zip(server.columns, [float(v) for v in row[:-1]])) for row in server.held]
    answer = server.post("/v1/models/%s/versions/%s/predict" % (model, version), {"instances": rows})
    return answer.json["predictions"]


def log_loss(server, model, version):
    """By its definition, from the predictions: the mean of -log of the probability of the right class."""
    found = predictions(server, model, version)
    return numpy.mean([-math.log(max(p["probabilities"][row[-1]], 1e-30)) for p, row in zip(found, server.held)])


def accuracy(server, model, version):
    return numpy.mean([p["label"] == row[-1] for p, row in zip(predictions(server, model, version), server.held)])


def test_only_a_better_one_goes_live(flowers):
    server, m = flowers, unique("better")
    first = train(server, m, epochs=20, publish="if_better")
    assert first["publish"] == "if_better" and first["publication"] == {"requested": "if_better", "published": True, "served_version": None, "reason": "no version was served"}
    worse = train(server, m, epochs=1, publish="if_better")["publication"]
    assert worse["published"] is False and served(server, m) == 1 and worse["served_version"] == 1
    assert worse["metric"] == "val_loss" and worse["higher_is_better"] is False and worse["rows"] == len(server.held) and worse["seen_by_served"] is False
    assert worse["value"] == pytest.approx(log_loss(server, m, 2), rel=1e-5) and worse["served_value"] == pytest.approx(log_loss(server, m, 1), rel=1e-5)
    assert "is not lower than" in worse["reason"] and "of version 1, which is served" in worse["reason"]
    better = train(server, m, epochs=60, publish="if_better")
    assert better["publication"]["published"] is True and served(server, m) == 3 and better["publication"]["served_version"] == 1
    assert better["publication"]["served_value"] == worse["served_value"] and better["publication"]["value"] == better["metrics"]["val_loss"]
    log = [e["message"] for e in server.all_pages("/v1/jobs/%s/events" % better["id"]) if e["type"] == "log"]
    assert log[-1].startswith("version 3 of model %s is published: val_loss " % m)
    again = train(server, m, epochs=60, publish="if_better")["publication"]  # the same: not better
    assert again["published"] is False and again["value"] == again["served_value"]
    change = server.get("/v1/models/%s/aliases/default" % m).json
    assert change["action"] == "publish" and change["job"] == better["id"] and len(change["history"]) == 2


def test_the_metric_of_early_stopping_decides(flowers):
    server, m = flowers, unique("accuracy")
    train(server, m, epochs=1, optimizer={"type": "adam", "learning_rate": 1e-6})
    job = train(server, m, epochs=60, early_stopping={"metric": "val_accuracy", "patience": 60}, publish="if_better")["publication"]
    assert job["metric"] == "val_accuracy" and job["higher_is_better"] is True and job["published"] is True
    assert job["served_value"] == pytest.approx(accuracy(server, m, 1), rel=1e-6) and job["value"] == pytest.approx(accuracy(server, m, 2), rel=1e-6)
    # a network of another loss has the metric, too
    other = train(server, m, network={**SOFT, "loss": "focal"}, epochs=1, early_stopping={"metric": "val_accuracy", "patience": 1}, publish="if_better")["publication"]
    assert other["published"] is False and other["served_value"] == job["value"]


def test_losses_are_compared_in_one_unit(server):
    """The targets of the second training have another scale: its losses are in that unit, and the loss of the served version is brought to it."""
    m, truth, rng = unique("units"), lambda x: 3 * x + 1, numpy.random.default_rng(3)
    data = {"near": rng.uniform(-1, 1, 60), "far": rng.uniform(-4, 4, 60), "rows": rng.uniform(-2, 2, 30)}
    for name, x in data.items():
        if server.get("/v1/datasets/units-" + name).status == 404:
            server.post_json("units-" + name, records=[{"x": float(v), "y": float(truth(v))} for v in x])
    more = {"target": "y", "held": "units-rows", "epochs": 5, "publish": "if_better"}

    def errors(version):
        answer = server.post("/v1/models/%s/versions/%d/predict" % (m, version), {"instances": [{"x": float(v)} for v in data["rows"]]})
        return numpy.array([p["value"] for p in answer.json["predictions"]]) - truth(data["rows"])

    version = 0
    for loss, measure in (("mse", lambda e, std: numpy.mean((e / std) ** 2)), ("mae", lambda e, std: numpy.mean(numpy.abs(e / std)))):
        network = {**SOFT, "loss": loss}
        train(server, m, "units-near", network=network, **{**more, "publish": True})
        job = train(server, m, "units-far", network=network, **more)
        version += 2
        std = server.get("/v1/models/%s/versions/%d" % (m, version)).json["preprocessing"]["target"]["std"]
        assert std == pytest.approx(truth(data["far"]).std(), rel=1e-9)
        p = job["publication"]
        assert p["value"] == pytest.approx(measure(errors(version), std), rel=1e-4) and p["served_value"] == pytest.approx(measure(errors(version - 1), std), rel=1e-4)
        assert p["published"] == (p["value"] < p["served_value"])
    huber = {**SOFT, "loss": "huber"}
    train(server, m, "units-near", network=huber, **{**more, "publish": True})
    refused = train(server, m, "units-far", network=huber, **more)["publication"]
    assert refused["published"] is False and "different units" in refused["reason"] and "val_mae" in refused["reason"] and "served_value" not in refused
    asked = train(server, m, "units-far", network=huber, early_stopping={"metric": "val_mae", "patience": 5}, **more)["publication"]
    assert asked["served_value"] == pytest.approx(numpy.mean(numpy.abs(errors(version + 1))), rel=1e-4)


def test_what_cannot_be_compared_is_not_published(flowers):
    server, m = flowers, unique("other")
    train(server, m, epochs=1)
    lines = (harness.DATA / "iris.csv").read_text().split()
    if server.get("/v1/datasets/two-classes").status == 404:
        server.post_csv("two-classes", "\n".join(line for line in lines if "setosa" not in line))
        server.post_csv("narrow", "\n".join(",".join(line.split(",")[1:]) for line in lines))
        server.post_csv("renamed", "\n".join([lines[0].replace("class", "kind")] + lines[1:]))
    for words, more in (("knows 3 classes", {"dataset": "two-classes", "validation": {"fraction": 0.3}}),
                        ("cannot predict this data", {"dataset": "narrow", "validation": {"fraction": 0.3}}),
                        ("in place of", {"dataset": "renamed", "target": "kind", "validation": {"fraction": 0.3}}),
                        ("no validation rows", {"validation": {"fraction": 0}}),
                        ("another loss (cross_entropy, the new one focal)", {"network": {**SOFT, "loss": "focal"}}),
                        ("not of validation rows", {"early_stopping": {"metric": "loss", "patience": 1}})):
        publication = train(server, m, epochs=1, publish="if_better", **more)["publication"]
        assert publication["published"] is False and words in publication["reason"], publication
        assert publication["served_version"] == served(server, m) == 1


def test_rows_that_the_served_version_has_seen(flowers):
    server, m = flowers, unique("seen")
    train(server, m, epochs=3, validation={"fraction": 0.2}, seed=1)
    same = train(server, m, epochs=3, validation={"fraction": 0.2}, seed=1, publish="if_better")["publication"]
    assert same["seen_by_served"] is False and same["value"] == same["served_value"]
    other = train(server, m, epochs=3, validation={"fraction": 0.2}, seed=2, publish="if_better")["publication"]
    assert other["seen_by_served"] is True and "may have been trained on some of the rows" in other["reason"]


def test_ensembles_and_folds(flowers):
    server, m = flowers, unique("ensemble")
    auto = {"model": {"name": m}, "dataset": "flowers", "target": "class", "epochs": 2, "effort": "fast"}
    first = server.train(**auto)
    assert first["model_version"] == 1
    # held-out predictions of all rows by both: those of the trainings are compared
    again = server.train(**auto, publish="if_better")["publication"]
    assert again["published"] is False and again["seen_by_served"] is False and again["value"] == again["served_value"] and again["rows"] == 75
    assert again["metric"] == "val_log_loss" and again["value"] == pytest.approx(first["metrics"]["cross_validated_log_loss"], rel=1e-8)
    folds = train(server, m, epochs=60, validation={"folds": 3}, publish="if_better")
    p = folds["publication"]  # the ensemble has no loss of held-out rows, and is measured on all rows, which it was trained on
    assert p["metric"] == "val_loss" and p["value"] == folds["metrics"]["cross_validated_loss"] and p["seen_by_served"] is True and p["rows"] == 75
    again = train(server, m, epochs=60, validation={"folds": 3}, publish="if_better", seed=9)["publication"]
    assert again["published"] == (again["value"] < again["served_value"])
    # the averaged networks are measured on rows of their own
    server.request("PUT", "/v1/models/%s/aliases/default" % m, {"version": 1})
    p = train(server, m, epochs=1, optimizer={"type": "adam", "learning_rate": 1e-6}, publish="if_better")["publication"]
    assert p["served_version"] == 1 and p["served_value"] == pytest.approx(log_loss(server, m, 1), rel=1e-4)
    held = server.train(**auto, validation={"dataset": "flowers-held"}, publish="if_better")
    assert held["publication"]["rows"] == 75 and held["publication"]["served_value"] == pytest.approx(log_loss(server, m, held["publication"]["served_version"]), rel=1e-4)
    assert held["publication"]["value"] == pytest.approx(log_loss(server, m, held["model_version"]), rel=1e-4)


@harness.again_if_too_late
def test_a_resumed_job_decides_the_same(fresh):
    """The server is killed while the job trains, and its process is killed at the end: the comparison is made again, the decision is the same."""
    outcomes = []
    for kill in (False, True):
        server = fresh("--workers", "1")
        server.upload("digits", harness.DATA / "digits.csv")
        network = {"name": "m", "layers": [{"type": "dense", "units": 16, "activation": "relu"}]}
        server.train(model=network, dataset="digits", target="digit", epochs=1, validation={"fraction": 0.2}, seed=5)
        job = server.submit(model=network, dataset="digits", target="digit", epochs=40, validation={"fraction": 0.2}, seed=5, publish="if_better", checkpoint_every_epochs=1)["id"]
        if kill:
            server.wait(job, until=lambda j: j["progress"]["epoch"] >= 3)
            server.restart(kill=True)
            server.wait(job, lambda j: j["attempt"] > 1)
        ended = server.wait(job)
        assert ended["status"] == "succeeded" and ended["publication"]["published"] is True and served(server, "m") == 2
        outcomes.append(json.dumps(ended["publication"]))
    assert outcomes[0] == outcomes[1]
