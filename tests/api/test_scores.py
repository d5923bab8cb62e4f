"""Goal: trained models score as well as scikit-learn's MLP of the same shape, optimizer, batch and epochs, on held-out rows."""
import csv
import random
import warnings

import numpy
import pytest
from sklearn.datasets import make_classification
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

import harness


SEEDS = (1, 2, 3)
# dataset: target, hidden units, epochs
SETS = {"iris": ("class", [16], 120), "wine": ("class", [32], 60), "breast_cancer": ("class", [32], 40), "digits": ("digit", [64], 30), "penguins": ("species", [32, 16], 60),
        "generated": ("y", [32, 32], 60)}


def friedman():
    """Friedman's first: ten columns, five of which matter, one regression with a bend and a product in it."""
    draw = random.Random(1)
    rows = []
    for _ in range(900):
        x = [draw.random() for _ in range(10)]
        y = 10 * numpy.sin(numpy.pi * x[0] * x[1]) + 20 * (x[2] - 0.5) ** 2 + 10 * x[3] + 5 * x[4] + draw.gauss(0, 1)
        rows.append({**{"x%d" % i: v for i, v in enumerate(x)}, "y": float(y)})
    return rows


def rows_of(name):
    """All rows as dicts, numbers as floats, empty cells as None."""
    if name == "generated":
        return friedman()
    rows = list(csv.DictReader((harness.DATA / (name + ".csv")).open()))
    target = SETS[name][0]

    def value(key, text):
        if key == target:
            return text
        try:
            return float(text) if text else None
        except ValueError:
            return text
    return [{k: value(k, v) for k, v in row.items()} for row in rows]


def matrix(train, test, target):
    """scikit-learn's inputs by the same rules: standardised, missing as the mean with an indicator, texts one-hot. Fitted on the training rows."""
    parts = [[], []]
    for key in (k for k in train[0] if k != target):
        column = [r[key] for r in train]
        both = (column, [r[key] for r in test])
        if any(isinstance(v, str) for v in column):
            seen = sorted({v for v in column if v})
            for part, values in zip(parts, both):
                part.append(numpy.array([[float(v == s) for s in seen] for v in values]))
            continue
        mean = numpy.mean([v for v in column if v is not None])
        scaler = StandardScaler().fit(numpy.array([[v] for v in column if v is not None]))
        for part, values in zip(parts, both):
            part.append(scaler.transform(numpy.array([[mean if v is None else v] for v in values])))
            if None in column:
                part.append(numpy.array([[float(v is None)] for v in values]))
    return [numpy.hstack(p) for p in parts]


def score_of_peer(train, test, target, hidden, epochs, seed):
    x_train, x_test = matrix(train, test, target)
    kind = MLPRegressor if isinstance(train[0][target], float) else MLPClassifier
    peer = kind(hidden_layer_sizes=hidden, activation="relu", solver="adam", alpha=0, batch_size=32, learning_rate_init=0.003, max_iter=epochs, n_iter_no_change=epochs, random_state=seed, tol=0)
    y = numpy.array([r[target] for r in train])
    scale = (y.mean(), y.std()) if kind is MLPRegressor else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer.fit(x_train, (y - scale[0]) / scale[1] if scale else y)
    got = peer.predict(x_test)
    return score([g * scale[1] + scale[0] for g in got] if scale else list(got), test, target)


def score(got, test, target):
    """Accuracy, or R2 of a regression."""
    truth = [r[target] for r in test]
    if isinstance(truth[0], str):
        return sum(g == t for g, t in zip(got, truth)) / len(truth)
    mean = sum(truth) / len(truth)
    return 1 - sum((g - t) ** 2 for g, t in zip(got, truth)) / sum((t - mean) ** 2 for t in truth)


def score_of_backpropd(server, train, test, target, hidden, epochs, seed):
    job = server.train(model={"layers": [{"type": "dense", "units": u, "activation": "relu"} for u in hidden]}, dataset={"records": train}, target=target, epochs=epochs, batch_size=32,
                       seed=seed, validation={"fraction": 0}, optimizer={"type": "adam", "learning_rate": 0.003})
    predictions = server.predict(job["id"], [{k: v for k, v in r.items() if k != target} for r in test])
    return score([p.get("label", p.get("value")) for p in predictions], test, target)


@pytest.mark.parametrize("name", sorted(SETS))
def test_as_good_as_scikit_learn(server, name):
    target, hidden, epochs = SETS[name]
    ours, theirs = [], []
    for seed in SEEDS:
        rows = rows_of(name)
        random.Random(seed).shuffle(rows)
        cut = len(rows) * 7 // 10
        train, test = rows[:cut], rows[cut:]
        ours.append(score_of_backpropd(server, train, test, target, hidden, epochs, seed))
        theirs.append(score_of_peer(train, test, target, hidden, epochs, seed))
    ours, theirs = sum(ours) / 3, sum(theirs) / 3
    assert theirs > 0.85, "the peer itself learns nothing: %.3f" % theirs
    assert ours >= theirs - 0.03, "backpropd %.3f, scikit-learn %.3f" % (ours, theirs)


def test_the_default_network_compares_with_scikit_learns(tmp_path):
    """Twenty classes, where a narrow network is much worse; both with their defaults."""
    x, y = make_classification(3000, 30, n_informative=15, n_classes=20, n_clusters_per_class=1, random_state=1)
    y = ["class %d" % v for v in y]
    with open(tmp_path / "train.csv", "w", newline="") as train, open(tmp_path / "test.csv", "w", newline="") as test:
        csv.writer(train).writerows([["x%d" % i for i in range(30)] + ["y"], *([*row, label] for row, label in zip(x[:2250], y))])
        csv.writer(test).writerows([["x%d" % i for i in range(30)], *x[2250:]])
    done = harness.run("train", "--data", tmp_path / "train.csv", "--target", "y", "--seed", "1", "--quiet", "--out", tmp_path / "model.bpd")
    assert done.returncode == 0, done
    lines = harness.run("predict", "--model", tmp_path / "model.bpd", "--data", tmp_path / "test.csv").stdout.splitlines()[1:]
    ours = sum(line.rsplit(",", 1)[0] == label for line, label in zip(lines, y[2250:], strict=True)) / 750
    scaler = StandardScaler().fit(x[:2250])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = MLPClassifier(random_state=1).fit(scaler.transform(x[:2250]), y[:2250]).score(scaler.transform(x[2250:]), y[2250:])
    assert theirs > 0.6 and ours >= theirs - 0.05, "backpropd %.3f, scikit-learn %.3f" % (ours, theirs)


def test_labels_torn_off_are_not_learned(server):
    """The comparison above can fail: with shuffled labels nothing is left of the score."""
    rows = rows_of("wine")
    labels = [r["class"] for r in rows]
    random.Random(1).shuffle(labels)
    rows = [{**r, "class": label} for r, label in zip(rows, labels)]
    assert score_of_backpropd(server, rows[:124], rows[124:], "class", [32], 60, 1) < 0.7
