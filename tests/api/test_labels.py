"""Goal: several columns of false and true, learned with binary_cross_entropy, are the labels of a row: predictions name those it has, metrics are per label."""
import random

import pytest

from harness import pointers, unique

LABELS = ["red", "round", "large"]


def rows(seed, n):
    draw = random.Random(seed)
    made = []
    for _ in range(n):
        a, b = draw.gauss(0, 1), draw.gauss(0, 1)
        made.append({"a": a, "b": b, "red": a + 0.8 * draw.gauss(0, 1) > 0, "round": b > 0.8, "large": a - b + draw.gauss(0, 1) > 0})
    return made


def upload(server, records, as_numbers=False):
    columns = {name: [int(r[name]) if as_numbers and name in LABELS else r[name] for r in records] for name in records[0]}
    name = unique("things")
    answer = server.post("/v1/datasets", {"name": name, "columns": columns})
    assert answer.status == 201, answer
    return name


@pytest.fixture(scope="module")
def things(server):
    return upload(server, rows(1, 300)), upload(server, rows(2, 120))


def job(things, layers=({"type": "dense", "units": 8, "activation": "tanh"},), loss="binary_cross_entropy", **more):
    model = {"name": unique("net"), "layers": list(layers), "loss": loss, "metrics": ["accuracy", "f1", "precision", "roc_auc", "log_loss"]}
    return {"dataset": things[0], "target": LABELS, "features": ["a", "b"], "model": model, "validation": {"dataset": things[1]}, "epochs": 15, "seed": 1,
            "optimizer": {"type": "adam", "learning_rate": 0.02}, **more}


def predicted(server, trained, records):
    answer = server.post("/v1/models/%s/predict" % trained["model"], {"instances": [{"a": r["a"], "b": r["b"]} for r in records]})
    assert answer.status == 200, answer
    return answer.json["predictions"]


def f1(pairs):
    both = sum(t and p for t, p in pairs)
    return 2 * both / (sum(t for t, _ in pairs) + sum(p for _, p in pairs))


def roc_auc(pairs):
    """The share of pairs of a row with and one without the label that are ranked right."""
    yes, no = [p for t, p in pairs if t], [p for t, p in pairs if not t]
    return sum((y > n) + (y == n) / 2 for y in yes for n in no) / (len(yes) * len(no))


def test_labels_of_a_row(server, things):
    trained = server.train(**job(things))
    assert trained["status"] == "succeeded", trained
    last = trained["definition"]["layers"][-1]
    assert (last["units"], last["activation"], trained["loss_unit"]) == (3, "sigmoid", "nats")
    held, metrics = rows(2, 120), trained["metrics"]
    said = predicted(server, trained, held)
    values = {"accuracy": [], "f1": [], "roc_auc": []}
    for row in said:
        assert set(row) == {"labels", "probabilities"} and list(row["probabilities"]) == LABELS
        assert row["labels"] == [label for label in LABELS if row["probabilities"][label] >= 0.5]
    assert any(len(row["labels"]) > 1 for row in said) and any(not row["labels"] for row in said)
    for label in LABELS:
        has = [(r[label], label in row["labels"]) for r, row in zip(held, said)]
        values["accuracy"].append(sum(t == p for t, p in has) / len(has))
        values["f1"].append(f1(has))
        values["roc_auc"].append(roc_auc([(r[label], row["probabilities"][label]) for r, row in zip(held, said)]))
        for name, value in values.items():
            assert metrics["val_%s_%s" % (label, name)] == pytest.approx(value[-1], abs=1e-6)
    for name, value in values.items():
        assert metrics["val_" + name] == pytest.approx(sum(value) / 3, abs=1e-6)
    assert metrics["val_log_loss"] == pytest.approx(metrics["val_loss"], rel=1e-4)
    assert metrics["val_red_f1"] > 0.7 and metrics["val_round_f1"] > 0.8


def test_scikit_learn_agrees(server, things):
    metrics = pytest.importorskip("sklearn.metrics")
    trained = server.train(**job(things))
    held = rows(2, 120)
    said = predicted(server, trained, held)
    true = [[r[label] for label in LABELS] for r in held]
    has = [[label in row["labels"] for label in LABELS] for row in said]
    shares = [[row["probabilities"][label] for label in LABELS] for row in said]
    assert trained["metrics"]["val_f1"] == pytest.approx(metrics.f1_score(true, has, average="macro"), abs=1e-6)
    assert trained["metrics"]["val_precision"] == pytest.approx(metrics.precision_score(true, has, average="macro"), abs=1e-6)
    assert trained["metrics"]["val_roc_auc"] == pytest.approx(metrics.roc_auc_score(true, shares, average="macro"), abs=1e-6)
    assert trained["metrics"]["val_accuracy"] == pytest.approx(1 - metrics.hamming_loss(true, has), abs=1e-6)


def test_zeros_and_ones_and_an_output_of_ones_own(server, things):
    """The columns are 0 and 1, the output layer is there, or the loss and the columns are given by its name: the same training."""
    numbers = upload(server, rows(1, 300), True), upload(server, rows(2, 120), True)
    hidden, last = {"type": "dense", "units": 8, "activation": "tanh"}, {"type": "dense", "units": 3, "activation": "sigmoid", "name": "tags"}
    loss = server.train(**job(things))["metrics"]["loss"]
    for more in (job(numbers), job(numbers, [hidden, last]), job(things, [hidden, last], target={"tags": LABELS})):
        trained = server.train(**more)
        assert trained["status"] == "succeeded", trained
        assert trained["metrics"]["loss"] == pytest.approx(loss, rel=1e-6)
        assert list(predicted(server, trained, rows(2, 1))[0]["probabilities"]) == LABELS


def test_refusals(server, things):
    answer = server.post("/v1/jobs", job(things, class_weights="balanced"))
    assert answer.status == 422 and list(pointers(answer)) == ["/class_weights"], answer
    answer = server.post("/v1/jobs", job(things, [{"type": "dense", "units": 3, "activation": "sigmoid", "name": "tags"}], "cross_entropy", target={"tags": LABELS}))
    assert answer.status == 422 and "binary_cross_entropy" in str(pointers(answer)), answer
