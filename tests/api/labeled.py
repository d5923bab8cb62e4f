"""Rows with several labels, in every form in which they can be a target, and what scikit-learn says of predictions for them."""
import random

import numpy
from sklearn import metrics

LABELS = ["large", "red", "round"]  # sorted, which is their order everywhere
LAYERS = [{"type": "dense", "units": 8, "activation": "tanh"}]
METRICS = ["accuracy", "f1", "precision", "recall", "roc_auc", "log_loss", "subset_accuracy", "hamming_loss"]


def rows(seed, n):
    """Each with its features, and whether it has each of the labels."""
    draw = random.Random(seed)
    made = []
    for _ in range(n):
        a, b = draw.gauss(0, 1), draw.gauss(0, 1)
        made.append({"a": a, "b": b, "has": [a - b + draw.gauss(0, 1) > 0, a + 0.8 * draw.gauss(0, 1) > 0, b > 0.8]})
    return made


def names(has):
    return [label for label, there in zip(LABELS, has) if there]


def columns(made):
    """The same labels as lists, as a vector, and as a column each; a number and a class beside them."""
    return {"a": [r["a"] for r in made], "b": [r["b"] for r in made], "tags": [names(r["has"]) for r in made],
            "flags": [[int(there) for there in r["has"]] for r in made], "size": [2 * r["a"] + r["b"] + 100 for r in made],
            "kind": ["up" if r["b"] > 0 else "down" for r in made], **{label: [r["has"][k] for r in made] for k, label in enumerate(LABELS)}}


def features(made):
    return [{"a": r["a"], "b": r["b"]} for r in made]


def expected(made, said, labels=LABELS, thresholds=(0.5, 0.5, 0.5)):
    """What scikit-learn makes of predictions: {"f1": the mean, "red_f1": of one label, ...}."""
    truth = numpy.array([r["has"] for r in made])
    shares = numpy.array([[row["probabilities"][label] for label in labels] for row in said])
    guess = shares >= numpy.array(thresholds)
    assert [row["labels"] for row in said] == [[label for label, there in zip(labels, has) if there] for has in guess.tolist()]
    values = {"subset_accuracy": metrics.accuracy_score(truth, guess), "hamming_loss": metrics.hamming_loss(truth, guess)}
    functions = {"accuracy": metrics.accuracy_score, "f1": metrics.f1_score, "precision": metrics.precision_score, "recall": metrics.recall_score}
    for k, label in enumerate(labels):
        for name, function in functions.items():
            values["%s_%s" % (label, name)] = function(truth[:, k], guess[:, k])
        values[label + "_roc_auc"] = metrics.roc_auc_score(truth[:, k], shares[:, k])
        values[label + "_log_loss"] = metrics.log_loss(truth[:, k], shares[:, k])
    values["accuracy"] = 1 - values["hamming_loss"]
    for name in ("f1", "precision", "recall"):
        values[name] = functions[name](truth, guess, average="macro")
    values["roc_auc"] = metrics.roc_auc_score(truth, shares, average="macro")
    values["log_loss"] = numpy.mean([values[label + "_log_loss"] for label in labels])
    return values
