"""Goal: lists of labels and vectors of 0 and 1 are targets with several labels a row, as columns of false and true are: the same training, the same
answers, metrics per label that are scikit-learn's; thresholds decide which labels are predicted."""
import pytest

import harness
import labeled
from harness import pointers, unique
from labeled import LABELS, LAYERS, METRICS

VECTOR = {"target": "flags", "labels": LABELS}
LISTS = {"target": "tags"}
FORMS = {"lists": LISTS, "vector": VECTOR, "columns": {"target": LABELS}}


@pytest.fixture(scope="module")
def things(server):
    """Names of a dataset to train on and one that validates."""
    made = unique("things"), unique("held")
    for name, seed, n in zip(made, (1, 2), (300, 120)):
        answer = server.post("/v1/datasets", {"name": name, "columns": labeled.columns(labeled.rows(seed, n))})
        assert answer.status == 201, answer
    return made


@pytest.fixture(scope="module")
def held():
    return labeled.rows(2, 120)


def job(things, loss="binary_cross_entropy", layers=LAYERS, metrics=METRICS, **more):
    model = {"name": unique("net"), "layers": layers, "metrics": metrics}
    return {"dataset": things[0], "features": ["a", "b"], "model": {**model, "loss": loss} if loss else model, "validation": {"dataset": things[1]},
            "epochs": 15, "seed": 1, "optimizer": {"type": "adam", "learning_rate": 0.02}, **more}


def train(server, *arguments, **more):
    trained = server.train(**job(*arguments, **more))
    assert trained["status"] == "succeeded", trained
    return trained


def predicted(server, trained, made, **more):
    answer = server.post("/v1/models/%s/predict" % trained["model"], {"instances": labeled.features(made), **more})
    assert answer.status == 200, answer
    return answer.json["predictions"]


def agrees(trained, values, names=None):
    for name, value in values.items():
        if names is None or name in names:
            assert trained["metrics"]["val_" + name] == pytest.approx(value, abs=2e-6), name


@pytest.mark.parametrize("form", FORMS)
def test_scikit_learn_agrees(server, things, held, form):
    trained = train(server, things, **FORMS[form])
    said = predicted(server, trained, held)
    assert all(list(row["probabilities"]) == LABELS for row in said)
    assert any(len(row["labels"]) > 1 for row in said) and any(not row["labels"] for row in said)
    agrees(trained, labeled.expected(held, said))
    assert trained["task"] == "classification" and trained["loss_unit"] == "nats"
    assert trained["thresholds"] == {label: 0.5 for label in LABELS}


def test_all_forms_are_one_training(server, things, held):
    """Lists need no loss; the output layer may be there already, or have a name."""
    last = {"type": "dense", "units": 3, "activation": "sigmoid", "name": "out"}
    said, losses = [], []
    for more in (LISTS, {**LISTS, "loss": None}, VECTOR, {"target": LABELS}, {**LISTS, "layers": LAYERS + [last]}, {**VECTOR, "layers": LAYERS + [last]},
                 {"target": {"out": "tags"}, "layers": LAYERS + [last]}):
        trained = train(server, things, **more)
        assert trained["definition"]["layers"][-1]["units"] == 3 and trained["definition"]["loss"] == {"type": "binary_cross_entropy"}
        said.append(predicted(server, trained, held))
        losses.append(trained["metrics"]["loss"])
    assert losses == pytest.approx([losses[0]] * len(losses), rel=1e-6)
    for other in said[1:]:
        for one, two in zip(said[0], other):
            assert two["probabilities"] == pytest.approx(one["probabilities"], abs=1e-5)


def test_without_names_positions_are_the_labels(server, things, held):
    trained = train(server, things, target="flags")
    agrees(trained, labeled.expected(held, predicted(server, trained, held), ["0", "1", "2"]))
    by_column = train(server, things, target="flags", labels={"flags": LABELS})
    assert list(by_column["thresholds"]) == LABELS


def test_usual_metrics(server, things):
    trained = server.train(**{**job(things, target="tags"), "model": {"name": unique("net"), "layers": LAYERS}})
    assert set(trained["metrics"]) >= {"val_accuracy", "val_f1", "val_subset_accuracy", "val_red_f1", "val_red_accuracy", "subset_accuracy"}
    assert "val_red_subset_accuracy" not in trained["metrics"]


def test_a_number_in_between_makes_shares(server, held):
    """One 0.5 in the rows that train, or in those that validate, and the vector is one of shares; so is one that the request regresses."""
    made = labeled.columns(labeled.rows(1, 100))
    spoiled = {**made, "flags": [[0.5, 1, 0]] + made["flags"][1:]}
    good, bad = unique("good"), unique("bad")
    for name, data in ((good, made), (bad, spoiled)):
        assert server.post("/v1/datasets", {"name": name, "columns": data}).status == 201
    for data, more in (((bad, good), {}), ((good, bad), {}), ((good, good + "@1"), {"task": "regression", "validation": {"fraction": 0.2}})):
        trained = train(server, data, target="flags", metrics=["mae"], **more)
        assert set(predicted(server, trained, held[:1])[0]) == {"values"} and trained["task"] == "regression"
        assert "thresholds" not in trained


# ---- thresholds ----

@pytest.mark.parametrize("form", FORMS)
def test_thresholds(server, things, held, form):
    """Of the job, for all labels or by label: in the version, in the labels that are predicted, in the metrics. Of a request: for that request."""
    for asked, each in ((0.2, (0.2, 0.2, 0.2)), ({"red": 0.7, "round": 0.05}, (0.5, 0.7, 0.05))):
        trained = train(server, things, thresholds=asked, **FORMS[form])
        said = predicted(server, trained, held)
        values = labeled.expected(held, said, thresholds=each)
        agrees(trained, values)
        assert trained["thresholds"] == dict(zip(LABELS, each))
        version = server.get("/v1/models/%s/versions/1" % trained["model"]).json
        assert version["thresholds"] == trained["thresholds"]
    usual = labeled.expected(held, predicted(server, trained, held, thresholds=0.5))
    assert usual["recall"] != pytest.approx(values["recall"], abs=0.01) and usual["roc_auc"] == values["roc_auc"]
    labeled.expected(held, predicted(server, trained, held, thresholds={"round": 0.6}), thresholds=(0.5, 0.7, 0.6))
    labeled.expected(held, predicted(server, trained, held), thresholds=each)  # those of the version again


@pytest.mark.parametrize("last", [[], [{"type": "dense", "units": 2, "activation": "softmax"}]])
def test_threshold_of_two_classes(server, things, held, last):
    """The second class is predicted from its threshold on: with one output or two."""
    from sklearn.metrics import accuracy_score, recall_score
    model = {"name": unique("net"), "layers": LAYERS + last, "metrics": ["accuracy", "recall"]}
    trained = server.train(**{**job(things), "model": model, "target": "red", "thresholds": {"true": 0.2}})
    assert trained["status"] == "succeeded" and trained["thresholds"] == {"true": 0.2}, trained
    said, truth = predicted(server, trained, held), [r["has"][1] for r in held]
    guess = [row["probabilities"]["true"] >= 0.2 for row in said]
    assert [row["label"] for row in said] == ["true" if g else "false" for g in guess]
    assert trained["metrics"]["val_accuracy"] == pytest.approx(accuracy_score(truth, guess), abs=1e-6)
    assert trained["metrics"]["val_recall"] == pytest.approx(recall_score(truth, guess), abs=1e-6)
    assert {row["label"] for row in predicted(server, trained, held, thresholds=0.999999)} == {"false"}
    plain = server.train(**{**job(things), "model": {**model, "name": unique("net")}, "target": "red"})
    assert "thresholds" not in plain and plain["metrics"]["val_recall"] < trained["metrics"]["val_recall"]


# ---- beside other outputs ----

def test_labels_beside_other_outputs(server, things, held):
    """Labels in each of their forms, a number and a class from one network: answers and metrics by output, thresholds by output."""
    loss = {"tags": "binary_cross_entropy", "flags": "binary_cross_entropy"}
    for target, name, labels, form in ((["tags", "size", "kind"], "tags", LABELS, None), (["size", "flags", "kind"], "flags", ["0", "1", "2"], {"flags": "binary_cross_entropy"}),
                                       ({"size": "size", "all": LABELS, "kind": "kind"}, "all", LABELS, {"all": "binary_cross_entropy"})):
        model = {"name": unique("net"), "layers": LAYERS}
        trained = server.train(**{**job(things), "model": {**model, "loss": form} if form else model, "target": target, "thresholds": {name: {labels[1]: 0.3}}})
        assert trained["status"] == "succeeded", trained
        assert trained["thresholds"] == {name: dict(zip(labels, (0.5, 0.3, 0.5)))}
        said = predicted(server, trained, held)
        assert set(said[0]["outputs"]) == {name, "size", "kind"}
        values = labeled.expected(held, [row["outputs"][name] for row in said], labels, (0.5, 0.3, 0.5))
        for metric in ("accuracy", "f1", "subset_accuracy"):
            assert trained["metrics"]["val_%s_%s" % (name, metric)] == pytest.approx(values[metric], abs=2e-6)
        assert trained["metrics"]["val_%s_f1" % labels[1]] == pytest.approx(values[labels[1] + "_f1"], abs=2e-6)
        assert set(said[0]["outputs"]["kind"]) == {"label", "probabilities"} and 90 < said[0]["outputs"]["size"]["value"] < 110
        again = predicted(server, trained, held, thresholds={name: 0.9, "kind": 0.9})
        assert sum(row["outputs"]["kind"]["label"] == "up" for row in again) < sum(row["outputs"]["kind"]["label"] == "up" for row in said)
        labeled.expected(held, [row["outputs"][name] for row in again], labels, (0.9, 0.9, 0.9))


# ---- refusals ----

REFUSALS = {
    "loss": ({**LISTS, "loss": "cross_entropy"}, "/model/loss", "binary_cross_entropy"),
    "units": ({**LISTS, "layers": [{"type": "dense", "units": 2, "activation": "sigmoid", "name": "out"}], "target": {"out": "tags"}}, "/model/layers/0", "needs 3, a unit for each label"),
    "task": ({**LISTS, "task": "regression"}, "/task", "leave task out"),
    "class weights": ({**LISTS, "class_weights": "balanced"}, "/class_weights", "sample_weight"),
    "class weights of a vector": ({**VECTOR, "class_weights": {"red": 2}}, "/class_weights", "class_weights are for classes"),
    "feature": ({"target": "red", "features": ["tags", "a"]}, "/features/0", "column of false and true"),
    "metric": ({"target": "kind", "metrics": ["subset_accuracy"]}, "/model/metrics/0", "use accuracy"),
    "metric of numbers": ({**LISTS, "metrics": ["mae"]}, "/model/metrics/0", "regression"),
    "threshold 0": ({**LISTS, "thresholds": 0}, "/thresholds", "between 0 and 1, got 0"),
    "threshold text": ({**LISTS, "thresholds": {"red": "low"}}, "/thresholds/red", 'got the string "low"'),
    "threshold of none": ({**LISTS, "thresholds": {"rde": 0.3}}, "/thresholds/rde", 'did you mean "red"'),
    "threshold of the first class": ({"target": "kind", "thresholds": {"down": 0.3}}, "/thresholds/down", '"up"'),
    "threshold of a number": ({"target": "size", "loss": "mse", "metrics": ["mae"], "thresholds": 0.3}, "/thresholds", "leave thresholds out"),
    "threshold of scores": ({"target": "kind", "loss": "hinge", "metrics": ["accuracy"], "thresholds": 0.3}, "/thresholds", "probabilities"),
    "too few names": ({**VECTOR, "labels": ["red", "round"]}, "/labels", "got 2"),
    "the same names": ({**VECTOR, "labels": ["red", "round", "red"]}, "/labels/2", "differ"),
    "names that are none": ({**VECTOR, "labels": ["red", "", 3]}, "/labels/2", "got 3"),
    "names of lists": ({**LISTS, "labels": LABELS}, "/labels", "leave labels out"),
    "names of another column": ({**VECTOR, "labels": {"flags": LABELS, "tags": LABELS}}, "/labels/tags", "is not"),
    "split": ({**LISTS, "target": "red", "validation": {"group": "tags"}}, "/validation/group", "lists of labels"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(server, things, case):
    more, pointer, words = REFUSALS[case]
    for path in ("/v1/jobs", "/v1/models/validate"):
        answer = server.post(path, job(things, **more))
        assert answer.status == 422 and words in pointers(answer)[pointer], answer


def test_thresholds_of_a_request_are_checked(server, things):
    trained = train(server, things, **LISTS)
    for asked, pointer, words in ((2, "/thresholds", "got 2"), ({"blue": 0.2}, "/thresholds/blue", "no label"), ([0.1], "/thresholds", "got an array of 1")):
        answer = server.post("/v1/models/%s/predict" % trained["model"], {"instances": [[0, 0]], "thresholds": asked})
        assert answer.status == 422 and words in pointers(answer)[pointer], answer
    assert server.post("/v1/models/%s/predict" % trained["model"], {"instances": [[0, 0]], "thresholds": None}).status == 200
