"""Goal: a job begins with the weights of a version: what is copied is copied bit for bit, what is frozen stays, what is asked to go on goes on."""
import json

import numpy
import pytest

import harness

IRIS = harness.DATA / "iris.csv"
HIDDEN = [{"type": "dense", "name": "first", "units": 8, "activation": "tanh"}, {"type": "dense", "name": "second", "units": 6, "activation": "relu"}]
STILL = {"optimizer": {"type": "sgd", "learning_rate": 1e-30}, "epochs": 1}


def train(server, model, **more):
    job = {"dataset": "iris", "target": "class", "epochs": 5, "seed": 3, "early_stopping": False, **more}
    if model is not None:
        job["model"] = model
    return server.train(**job)


@pytest.fixture(scope="module")
def base(server):
    name = harness.unique("init-base")
    train(server, {"name": name, "layers": HIDDEN})
    return name


def arrays(server, model, version=None):
    return {name: numpy.frombuffer(data, "<f4") for name, data in server.weights(model, version).items()}


def test_without_a_model_it_is_the_same_network_and_predicts_the_same(server, base):
    job = train(server, None, init_from=base + "@1", **STILL)
    assert job["model"] == base and job["model_version"] > 1
    assert job["init"] == {"from": base + "@1", "copied": ["first", "second", "dense_1"], "new": [], "left_out": [], "keep_preprocessing": True}
    assert server.weights(base, job["model_version"]) == server.weights(base, 1)
    rows = [[5.1, 3.5, 1.4, 0.2], [6.2, 2.9, 4.3, 1.3], [7.7, 3.0, 6.1, 2.3]]
    both = [server.post("/v1/models/%s/versions/%d/predict" % (base, v), {"instances": rows}).json["predictions"] for v in (1, job["model_version"])]
    assert both[0] == both[1]


def test_an_alias_names_the_version(server, base):
    answer = server.request("PUT", "/v1/models/%s/aliases/stable" % base, {"version": 1})
    assert answer.status in (200, 201), answer
    assert train(server, None, init_from=base + "@stable", **STILL)["init"]["from"] == base + "@1"


def test_a_replaced_head_with_frozen_layers(server, base):
    """Two classes instead of three: the hidden layers are copied and stay, the output is new and learns."""
    rows = [line.split(",") for line in IRIS.read_text().splitlines()]
    header, rows = rows[0], [row for row in rows[1:] if row[-1] != "virginica"]
    data, name = harness.unique("init-two"), harness.unique("init-head")
    server.upload(data, "\n".join(",".join(row) for row in [header, *rows]) + "\n")
    job = train(server, {"name": name, "layers": HIDDEN}, dataset=data, init_from=base + "@1", frozen=["first", "second"], epochs=30, optimizer={"type": "adam", "learning_rate": 0.1})
    assert job["init"]["copied"] == ["first", "second"] and job["init"]["new"] == ["dense_1"] and job["init"]["left_out"] == ["dense_1"]
    before, after = server.weights(base, 1), server.weights(name)
    for tensor in ("first/kernel", "first/bias", "second/kernel", "second/bias"):
        assert before[tensor] == after[tensor], tensor
    assert job["trainable_parameters"] == 7 and job["metrics"]["val_accuracy"] >= 0.9
    version = server.get("/v1/models/%s/versions/1" % name).json
    assert [layer.get("trainable", True) for layer in version["definition"]["layers"]] == [False, False, True]


def test_labels_that_mean_something_else_are_a_new_head(server, base):
    """Three labels again, but others: the output has the same shape, and is not copied."""
    data = harness.unique("init-other")
    server.upload(data, IRIS.read_text().replace("setosa", "zebra"))
    job = train(server, {"name": data, "layers": HIDDEN}, dataset=data, init_from=base + "@1", **STILL)
    assert job["init"]["new"] == ["dense_1"] and server.weights(data)["dense_1/kernel"] != server.weights(base, 1)["dense_1/kernel"]


def test_the_preprocessing_is_kept_unless_asked_otherwise(server, base):
    """On a tenth of the rows: the scaling of the version, of those rows, and of those rows for one column."""
    data = harness.unique("init-some")
    lines = IRIS.read_text().splitlines()
    server.upload(data, "\n".join([lines[0], *lines[1::10]]) + "\n")

    def means(**more):
        job = train(server, None, dataset=data, init_from=base + "@1", **STILL, **more)
        preprocessing = server.get("/v1/models/%s/versions/%d" % (base, job["model_version"])).json["preprocessing"]
        return [f["mean"] for f in preprocessing["features"]], job["init"]["keep_preprocessing"]

    own = [f["mean"] for f in server.get("/v1/models/%s/versions/1" % base).json["preprocessing"]["features"]]
    kept, fitted, one = means(), means(keep_preprocessing=False), means(columns={"sepal_length": {"scale": "standard"}})
    assert kept == (own, True) and fitted[1] is False and all(a != b for a, b in zip(fitted[0], own))
    assert one[0][0] == fitted[0][0] and one[0][1:] == own[1:]


def test_features_come_in_the_order_of_the_version(server, base):
    """The columns of the new data are in another order, and there is one more: predictions stay."""
    lines = [line.split(",") for line in IRIS.read_text().splitlines()]
    data = harness.unique("init-order")
    server.upload(data, "\n".join(",".join([r[4], r[2], "extra" if i == 0 else str(i), r[0], r[3], r[1]]) for i, r in enumerate(lines)) + "\n")
    job = train(server, None, dataset=data, init_from=base + "@1", **STILL)
    assert job["features"] == ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    assert server.weights(base, job["model_version"]) == server.weights(base, 1)


FULL = {"batch_size": 150, "validation": {"fraction": 0}, "early_stopping": False}


@pytest.mark.parametrize("optimizer", [{"type": "adam", "learning_rate": 0.05}, {"type": "sgd", "learning_rate": 0.1, "momentum": 0.9}])
def test_a_kept_optimizer_goes_on_where_it_was(server, optimizer):
    """20 full-batch epochs are 8 and then 12 with the state; without it they are something else. The order of the rows differs, so sums round differently."""
    names = {}
    for what, steps in (("whole", [(20, {})]), ("kept", [(8, {"keep_optimizer_state": True}), (12, {"keep_optimizer_state": True})]), ("new", [(8, {}), (12, {})])):
        names[what] = name = harness.unique("init-state")
        for i, (epochs, more) in enumerate(steps):
            job = train(server, {"name": name, "layers": HIDDEN}, epochs=epochs, optimizer=optimizer, **FULL, **more, **({"init_from": name + "@1"} if i else {}))
    got = {what: arrays(server, name) for what, name in names.items()}
    assert job["model_version"] == 2 and server.get("/v1/models/%s/versions/2" % names["kept"]).json["optimizer_state"] == optimizer["type"]

    def distance(what):
        return max(float(abs(got[what][t] - got["whole"][t]).max()) for t in got["whole"] if not t.startswith("optimizer"))

    assert distance("kept") < 2e-3 < 10 * distance("kept") + 2e-3 and distance("new") > 20 * distance("kept"), (distance("kept"), distance("new"))


def test_a_state_that_is_not_there_is_refused_in_words(server, base):
    body = {"dataset": "iris", "target": "class", "init_from": base + "@1", "keep_optimizer_state": True}
    assert "keeps no state" in harness.pointers(server.post("/v1/jobs", body))["/keep_optimizer_state"]
    name = harness.unique("init-kept")
    train(server, {"name": name, "layers": HIDDEN}, keep_optimizer_state=True)
    body = {**body, "init_from": name, "optimizer": "sgd"}
    assert "adam" in harness.pointers(server.post("/v1/jobs", body))["/keep_optimizer_state"]
    body = {**body, "optimizer": "adam", "schedule": {"type": "cosine"}}
    assert "schedule" in harness.pointers(server.post("/v1/jobs", body))["/keep_optimizer_state"]


@pytest.mark.parametrize("more, place, words", [
    ({"init_from": "nothing@1"}, "/init_from", "no version"), ({"init_from": 5}, "/init_from", "must be the name"), ({"init_from": "A B"}, "/init_from", "names a version"),
    ({"frozen": ["frist"]}, "/frozen/0", 'did you mean "first"'), ({"frozen": "first"}, "/frozen", "list"), ({"frozen": [5]}, "/frozen/0", "name"),
    ({"keep_preprocessing": "no"}, "/keep_preprocessing", "true or false"), ({"validation": {"folds": 3}}, "/init_from", "cross-validation"), ({"model": "auto"}, "/init_from", "one network"),
    ({"model": {"layers": [{"type": "dense", "name": "else", "units": 3}]}}, "/init_from", "no layer"), ({"frozen": ["first", "second", "dense_1"]}, "/layers", "nothing can be trained"),
    ({"init_from": None, "keep_preprocessing": True, "model": {"layers": HIDDEN}}, "/keep_preprocessing", "init_from"),
])
def test_wrong_requests(server, base, more, place, words):
    answer = server.post("/v1/jobs", {"dataset": "iris", "target": "class", "init_from": base + "@1", **more})
    problems = harness.pointers(answer)
    assert place in problems and words in problems[place], problems


@harness.again_if_too_late
def test_what_it_begins_with_outlives_the_version_and_a_kill(fresh):
    """The version is deleted while the job waits, the server is killed while it runs: it ends with the same bits as one that was left alone."""
    ends = []
    for disturbed in (False, True):
        server = fresh("--workers", "1")
        server.upload("iris", IRIS)
        train(server, {"name": "base", "layers": HIDDEN})
        blocker = server.submit(model={"layers": harness.SLOW}, dataset="iris", target="class", epochs=1000000) if disturbed else None
        job = server.submit(model={"name": "fine", "layers": HIDDEN}, dataset="iris", target="class", init_from="base@1", frozen=["first"], epochs=4000, checkpoint_every_epochs=50, seed=9)
        if disturbed:
            assert server.delete("/v1/models/base").status == 204
            server.post("/v1/jobs/%s/cancel" % blocker["id"])
            server.wait(job["id"], until=lambda j: j["progress"]["epoch"] >= 100)
            server.restart(kill=True)
            server.wait(job["id"], lambda j: j["attempt"] > 1)
        ended = server.wait(job["id"])
        assert ended["status"] == "succeeded", ended
        ends.append(server.weights("fine"))
    assert ends[0] == ends[1]


def test_layers_that_are_fitted_to_data_are_fitted_only_if_new(server):
    """Edges of a piecewise linear embedding stay those of the version, whatever rows the job has."""
    layers = [{"type": "piecewise_linear_embedding", "name": "ple", "bins": 5, "output_dim": 3}, {"type": "dense", "name": "d", "units": 4, "data_dependent": True, "parametrization": "ntk"}]
    name, other = harness.unique("init-ple"), harness.unique("init-ple-other")
    train(server, {"name": name, "layers": layers})
    lines = IRIS.read_text().splitlines()
    server.upload(other, "\n".join([lines[0], *lines[1::7]]) + "\n")
    job = train(server, None, dataset=other, init_from=name + "@1", **STILL)
    assert job["init"]["new"] == [] and server.weights(name, 2) == server.weights(name, 1)


def test_the_command_begins_with_a_file(tmp_path):
    (tmp_path / "net.json").write_text(json.dumps({"layers": HIDDEN}))
    options = tmp_path / "still.json"
    options.write_text(json.dumps({"optimizer": {"type": "sgd", "learning_rate": 1e-30}, "epochs": 1, "early_stopping": False}))
    common = ["train", "--data", IRIS, "--target", "class", "--quiet", "--seed", 1]
    first = harness.run(*common, "--definition", tmp_path / "net.json", "--epochs", 5, "--out", tmp_path / "a.bpd")
    assert first.returncode == 0, first.stderr
    second = harness.run(*common, "--init-from", tmp_path / "a.bpd", "--options", options, "--out", tmp_path / "b.bpd")
    assert second.returncode == 0 and "copied: first second dense_1" in second.stderr, second.stderr
    rows = [harness.run("predict", "--model", tmp_path / name, "--data", IRIS, "--format", "json").stdout for name in ("a.bpd", "b.bpd")]
    assert rows[0] == rows[1] and rows[0].count("setosa") > 100
    none = harness.run(*common, "--init-from", tmp_path / "nothing.bpd", "--out", tmp_path / "c.bpd")
    assert none.returncode != 0 and "nothing.bpd" in none.stderr
