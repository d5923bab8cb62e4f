"""Goal: what an evaluation reports is what scikit-learn and numpy say about the same predictions; wrong requests are refused with the place that is wrong."""
import json
import math
import subprocess

import numpy
import pytest
from sklearn import calibration, metrics

import harness
from harness import pointers, problem, unique

DENSE = {"type": "dense", "units": 12, "activation": "relu"}


def trained(server, dataset, target, layers=(DENSE,), **job):
    name = unique("evaluated")
    server.train(model={"name": name, "layers": list(layers)}, dataset=dataset, target=target, **{"epochs": 30, "seed": 4, **job})
    return name


def predicted(server, model, rows, targets):
    instances = [{k: v for k, v in row.items() if k not in targets} for row in rows]
    return server.post("/v1/models/%s/predict" % model, {"instances": instances}).json["predictions"]


def evaluate(server, model, **body):
    answer = server.post("/v1/models/%s/evaluate" % model, body)
    assert answer.status == 200, answer
    return answer.json


def close(a, b, tolerance=1e-6):
    return math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)


def check_curves(curve, truth, scores):
    """Against the curves of scikit-learn; truth: whether the row is of the class."""
    fpr, tpr, thresholds = metrics.roc_curve(truth, scores)
    got = numpy.array([[p["false_positive_rate"], p["true_positive_rate"]] for p in curve["roc"]])
    assert got.shape == (len(fpr), 2) and numpy.allclose(got, numpy.c_[fpr, tpr]) and curve["roc"][0]["threshold"] is None
    assert numpy.allclose([p["threshold"] for p in curve["roc"][1:]], thresholds[1:], atol=1e-6)
    precision, recall, thresholds = metrics.precision_recall_curve(truth, scores)
    order = numpy.argsort(-thresholds, kind="stable")
    expected = numpy.c_[thresholds, precision[:-1], recall[:-1]][order]
    got = numpy.array([[p["threshold"], p["precision"], p["recall"]] for p in curve["precision_recall"]])
    assert numpy.allclose(got[:len(expected)], expected, atol=1e-6)
    assert close(curve["roc_auc"], metrics.roc_auc_score(truth, scores)) and close(curve["average_precision"], metrics.average_precision_score(truth, scores))
    assert close(curve["brier_score"], metrics.brier_score_loss(truth, scores))
    seen, said = calibration.calibration_curve(truth, scores, n_bins=10)
    assert numpy.allclose([b["observed"] for b in curve["calibration"]], seen) and numpy.allclose([b["predicted"] for b in curve["calibration"]], said)


@pytest.mark.parametrize("dataset, target", [("penguins", "sex"), ("wine", "class"), ("breast_cancer", "diagnosis")])
def test_classes_are_scored_as_scikit_learn_does(server, dataset, target):
    columns = [c["name"] for c in server.get("/v1/datasets/" + dataset).json["columns"]]
    target = target if target in columns else columns[-1]
    model = trained(server, dataset, target, epochs=4)
    rows = [row for row in server.rows(dataset) if row[target] is not None]
    found = predicted(server, model, rows, [target])
    labels = sorted(found[0]["probabilities"])
    truth = numpy.array([labels.index(str(row[target])) for row in rows])
    shares = numpy.array([[p["probabilities"][label] for label in labels] for p in found])
    guess = shares.argmax(1)
    report = evaluate(server, model, dataset=dataset, max_points=10000)
    assert report["rows"] == len(rows) and report["rows"] + report["skipped_rows"] == server.get("/v1/datasets/" + dataset).json["rows"]
    two = len(labels) == 2
    average = {"average": "binary" if two else "macro", "zero_division": 0}
    expected = {"loss": metrics.log_loss(truth, shares), "log_loss": metrics.log_loss(truth, shares), "accuracy": metrics.accuracy_score(truth, guess),
                "balanced_accuracy": metrics.balanced_accuracy_score(truth, guess), "f1": metrics.f1_score(truth, guess, **average),
                "precision": metrics.precision_score(truth, guess, **average), "recall": metrics.recall_score(truth, guess, **average),
                "matthews_correlation": metrics.matthews_corrcoef(truth, guess),
                "roc_auc": metrics.roc_auc_score(truth, shares[:, 1] if two else shares, multi_class="ovr"),
                "pr_auc": metrics.average_precision_score(truth, shares[:, 1]) if two else
                          numpy.mean([metrics.average_precision_score(truth == c, shares[:, c]) for c in range(len(labels))])}
    assert set(expected) == set(report["metrics"])
    for name, value in expected.items():
        got = report["metrics"][name]
        assert close(got["value"], value, 1e-5), (name, got, value)
        assert got["low"] <= got["value"] + 1e-9 and got["value"] - 1e-9 <= got["high"], (name, got)
    (one,) = report["targets"]
    assert one["confusion_matrix"] == {"labels": labels, "rows": metrics.confusion_matrix(truth, guess).tolist()}
    per_class = metrics.classification_report(truth, guess, output_dict=True, zero_division=0)
    for c, row in enumerate(one["classes"]):
        theirs = per_class[str(c)]
        assert row["label"] == labels[c] and all(close(row[k], theirs[t]) for k, t in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score"), ("support", "support")))
    for curve in one["curves"]:
        c = labels.index(curve["label"])
        check_curves(curve, truth == c, shares[:, c])
    assert [c["label"] for c in one["curves"]] == (labels[1:] if two else labels)
    if two:
        for row in one["thresholds"]["table"] + [one["thresholds"]["best_f1"]]:
            tn, fp, fn, tp = metrics.confusion_matrix(truth, shares[:, 1] >= row["threshold"] - 1e-7).ravel()
            assert [row[k] for k in ("true_negatives", "false_positives", "false_negatives", "true_positives")] == [tn, fp, fn, tp]
        best = max(metrics.f1_score(truth, shares[:, 1] >= t) for t in set(shares[:, 1]))
        assert close(one["thresholds"]["best_f1"]["f1"], best)


def test_numbers_are_scored_as_scikit_learn_does(server):
    model = trained(server, "penguins", "body_mass_g")
    rows = [row for row in server.rows("penguins") if row["body_mass_g"] is not None]
    truth = numpy.array([row["body_mass_g"] for row in rows])
    guess = numpy.array([p["value"] for p in predicted(server, model, rows, ["body_mass_g"])])
    report = evaluate(server, model, dataset="penguins", slices=["island", "flipper_length_mm", "sex"])
    expected = {"mae": metrics.mean_absolute_error(truth, guess), "rmse": metrics.mean_squared_error(truth, guess, squared=False), "r2": metrics.r2_score(truth, guess),
                "mape": metrics.mean_absolute_percentage_error(truth, guess), "median_absolute_error": metrics.median_absolute_error(truth, guess)}
    assert set(report["metrics"]) == {"loss", *expected}
    assert all(close(report["metrics"][k]["value"], v, 1e-5) for k, v in expected.items())
    residuals = report["targets"][0]["residuals"]
    assert numpy.allclose([q["value"] for q in residuals["quantiles"]], numpy.quantile(truth - guess, [q["quantile"] for q in residuals["quantiles"]]), atol=0.01)
    assert close(residuals["mean"], (truth - guess).mean(), 1e-4) and close(residuals["std"], (truth - guess).std(), 1e-4)
    # an interval of the mean absolute error, by numpy's own resamples
    draw = numpy.random.default_rng(1)
    means = [numpy.abs(truth - guess)[draw.integers(0, len(rows), len(rows))].mean() for _ in range(2000)]
    low, high = numpy.quantile(means, [0.025, 0.975])
    got = report["metrics"]["mae"]
    assert abs(got["low"] - low) < 0.15 * (high - low) and abs(got["high"] - high) < 0.15 * (high - low)
    # slices
    islands = {s["value"]: s for s in report["slices"] if s["column"] == "island"}
    for island in ("Biscoe", "Dream", "Torgersen"):
        chosen = numpy.array([row["island"] == island for row in rows])
        assert islands[island]["rows"] == chosen.sum() and close(islands[island]["metrics"]["mae"], metrics.mean_absolute_error(truth[chosen], guess[chosen]), 1e-5)
    quarters = [s for s in report["slices"] if s["column"] == "flipper_length_mm"]
    assert len(quarters) == 4 and sum(s["rows"] for s in quarters) == len(rows)
    for s in quarters:
        low, high = s["range"]
        top = max(q["range"][1] for q in quarters) == high
        chosen = numpy.array([low <= row["flipper_length_mm"] and (row["flipper_length_mm"] < high or top) for row in rows])
        assert s["rows"] == chosen.sum() and close(s["metrics"]["rmse"], metrics.mean_squared_error(truth[chosen], guess[chosen], squared=False), 1e-5)
    assert [s["missing"] for s in report["slices"] if s["column"] == "sex" and "missing" in s] == [True]
    assert [s["loss"] for s in report["slices"]] == sorted((s["loss"] for s in report["slices"]), reverse=True)


def test_two_versions_on_the_same_rows(server):
    model = trained(server, "penguins", "sex", epochs=3)
    server.train(model=model, dataset="penguins", target="sex", epochs=60, seed=4)
    rows = [row for row in server.rows("penguins") if row["sex"] is not None]
    right = []
    for version in (2, 1):
        found = server.post("/v1/models/%s/versions/%d/predict" % (model, version), {"instances": [{k: v for k, v in row.items() if k != "sex"} for row in rows]}).json["predictions"]
        right.append(numpy.array([p["label"] == row["sex"] for p, row in zip(found, rows)]))
    report = evaluate(server, model, dataset="penguins", compare=1)
    assert report["version"] == 2 and report["compared_with"] == 1
    comparison = report["comparison"]
    (test,) = comparison["mcnemar"]
    b, c = (right[0] & ~right[1]).sum(), (~right[0] & right[1]).sum()
    assert [test[k] for k in ("both_right", "only_this_right", "only_other_right", "both_wrong")] == [(right[0] & right[1]).sum(), b, c, (~right[0] & ~right[1]).sum()]
    exact = min(1, 2 * sum(math.comb(int(b + c), k) for k in range(min(b, c) + 1)) / 2 ** int(b + c))
    assert close(test["p_value"], exact, 1e-9)
    accuracy = comparison["metrics"]["accuracy"]
    assert close(accuracy["difference"], right[0].mean() - right[1].mean()) and accuracy["low"] <= accuracy["difference"] <= accuracy["high"]
    # the paired interval, by numpy's own resamples
    difference = right[0].astype(float) - right[1]
    draw = numpy.random.default_rng(2)
    low, high = numpy.quantile([difference[draw.integers(0, len(rows), len(rows))].mean() for _ in range(4000)], [0.025, 0.975])
    assert abs(accuracy["low"] - low) < 0.2 * (high - low) and abs(accuracy["high"] - high) < 0.2 * (high - low)
    assert evaluate(server, model, dataset="penguins", compare="%s@1" % model)["comparison"] == comparison
    same = evaluate(server, model, dataset="penguins", compare="latest")["comparison"]
    assert all(m["difference"] == 0 and m["p_value"] == 1 for m in same["metrics"].values()) and same["mcnemar"][0]["p_value"] == 1


def test_sample_weights_count(server):
    name = unique("weighted")
    rows = "".join("%r,%s,%d\n" % (i / 10, "a" if i % 3 else "b", 1 + i % 4) for i in range(60))
    server.upload(name, "x,y,w\n" + rows)
    model = trained(server, name, "y", features=["x"], sample_weight="w", epochs=5)
    found = predicted(server, model, [{"x": i / 10} for i in range(60)], [])
    truth, weights = [int(i % 3 == 0) for i in range(60)], [1 + i % 4 for i in range(60)]
    shares = [p["probabilities"]["b"] for p in found]
    report = evaluate(server, model, dataset=name, bootstrap=0)
    assert close(report["metrics"]["roc_auc"]["value"], metrics.roc_auc_score(truth, shares, sample_weight=weights))
    assert close(report["metrics"]["loss"]["value"], metrics.log_loss(truth, shares, sample_weight=weights), 1e-5) and "low" not in report["metrics"]["loss"]
    assert sum(map(sum, report["targets"][0]["confusion_matrix"]["rows"])) == sum(weights)


def test_several_targets_labels_and_tensors(server):
    name = unique("several")
    columns = {"x": [i / 40 for i in range(40)], "p": [i % 2 == 0 for i in range(40)], "q": [i % 5 == 0 for i in range(40)], "n": [3 * i for i in range(40)], "m": [100 - i for i in range(40)]}
    server.post_json(name, columns=columns)
    model = trained(server, name, ["n", "m"], features=["x"])
    report = evaluate(server, model, dataset=name, bootstrap=10)
    guess = predicted(server, model, [{"x": x} for x in columns["x"]], [])
    for target in ("n", "m"):
        assert close(report["metrics"][target + "_mae"]["value"], metrics.mean_absolute_error(columns[target], [g["outputs"][target]["value"] for g in guess]), 1e-5)
    model = trained(server, name, ["p", "q"], features=["x"])
    report = evaluate(server, model, dataset=name, bootstrap=0)
    assert {t["target"]: t["task"] for t in report["targets"]} == {"p": "classification", "q": "classification"}
    name, tags = unique("tags"), [[t for t, there in (("a", i % 2), ("b", i > 20)) if there] for i in range(40)]
    server.post_json(name, columns={"x": columns["x"], "tags": tags})
    model = trained(server, name, "tags", features=["x"])
    report = evaluate(server, model, dataset=name, bootstrap=5)
    assert {t["target"]: t["task"] for t in report["targets"]} == {"tags": "labels", "a": "label", "b": "label"}
    guess = predicted(server, model, [{"x": x} for x in columns["x"]], [])
    assert close(report["metrics"]["b_roc_auc"]["value"], metrics.roc_auc_score(["b" in t for t in tags], [g["probabilities"]["b"] for g in guess]))
    truth, said = ([[label in t for label in "ab"] for t in lists] for lists in (tags, [g["labels"] for g in guess]))
    assert close(report["metrics"]["tags_subset_accuracy"]["value"], metrics.accuracy_score(truth, said))
    name = unique("vectors")
    x = [[i / 9, 1 - i / 9] for i in range(10)]
    server.post_json(name, records=[{"x": v, "y": [2 * v[0], v[1], v[0] - v[1]]} for v in x])
    model = trained(server, name, "y")
    report = evaluate(server, model, dataset=name, bootstrap=5)
    guess = numpy.array([p["values"] for p in predicted(server, model, [{"x": v} for v in x], [])])
    assert close(report["metrics"]["mae"]["value"], numpy.abs(guess - numpy.array([[2 * a, b, a - b] for a, b in x])).mean(), 1e-4)
    assert report["targets"][0]["residuals"]["numbers"] == 30


@pytest.mark.parametrize("target, job", [("species", {"effort": "fast", "epochs": 20}), ("sex", {"effort": "fast", "epochs": 20}), ("body_mass_g", {"effort": "fast", "epochs": 20}),
                                         ("species", {"layers": [DENSE], "loss": "ordinal", "folds": 3})])
def test_the_loss_of_an_ensemble_is_that_of_its_predictions(server, target, job):
    name = unique("bagged")
    rows = [row for row in server.rows("penguins") if row[target] is not None]
    if "layers" in job:
        body = {"model": {"name": name, "layers": job["layers"], "loss": job["loss"]}, "validation": {"folds": job["folds"]}, "ensemble": True, "epochs": 5}
    else:
        body = {"model": {"name": name}, **job}
    server.train(dataset="penguins", target=target, seed=5, **body)
    found = predicted(server, name, rows, [target])
    report = evaluate(server, name, dataset="penguins", bootstrap=0)
    if "probabilities" in found[0]:
        loss = numpy.mean([-math.log(p["probabilities"][row[target]]) for p, row in zip(found, rows)])
    else:
        scale = numpy.std([row[target] for row in rows])  # the loss is that of standardised numbers
        loss = numpy.mean([((p["value"] - row[target]) / scale) ** 2 for p, row in zip(found, rows)])
    assert close(report["metrics"]["loss"]["value"], loss, 1e-4)


def test_rows_in_the_request(server):
    model = trained(server, "penguins", "species")
    records = [row for row in server.rows("penguins")][:40]
    report = evaluate(server, model, dataset={"records": records}, bootstrap=20)
    assert report["dataset"] is None and report["rows"] == 40
    again = evaluate(server, model, dataset={"records": records}, bootstrap=20)
    assert again == report
    assert evaluate(server, model, dataset={"records": records}, bootstrap=20, seed=1)["metrics"] != report["metrics"]


@pytest.mark.parametrize("body, pointer, words", [
    ({}, "/dataset", "required"), ({"dataset": 7}, "/dataset", "not usable"), ({"dataset": "nothing-there"}, "/dataset", "no dataset"), ({"dataset": "penguins", "slices": ["nope"]}, "/slices/0", "no column"),
    ({"dataset": "penguins", "slices": "island"}, "/slices", "array"), ({"dataset": "penguins", "bootstrap": -1}, "/bootstrap", "0"), ({"dataset": "penguins", "bootstrap": 1e9}, "/bootstrap", "10000"),
    ({"dataset": "penguins", "compare": 99}, "/compare", "99"), ({"dataset": "penguins", "compare": []}, "/compare", "alias"), ({"dataset": "penguins", "compare": "nothing@1"}, "/compare", "nothing"), ({"dataset": "penguins", "positive_class": "Dodo"}, "/positive_class", "Dodo"), ({"dataset": "penguins", "nonsense": 1}, "/nonsense", "nonsense"),
    ({"dataset": "iris"}, "", "column"), ({"dataset": {"records": []}}, "/dataset", ""), ({"dataset": {"records": [{"species": "Dodo"}]}}, "", ""), ({"dataset": "penguins", "max_points": 1}, "/max_points", "2"),
])
def test_refusals(server, body, pointer, words):
    if not hasattr(test_refusals, "model"):
        test_refusals.model = trained(server, "penguins", "species", epochs=1)
    answer = server.post("/v1/models/%s/evaluate" % test_refusals.model, body)
    assert answer.status == 422, answer
    found = pointers(answer) if answer.json.get("errors") else {"": answer.json["detail"]}
    assert any(p.startswith(pointer) and words in d for p, d in found.items()), found


def test_work_that_takes_too_long_is_refused(server):
    """At once, and it says what would do. What an evaluation of a stored dataset does instead is in test_batches.py."""
    name = unique("long")
    server.upload(name, "x,y\n" + "".join("%d,%d\n" % (i % 97, i % 89) for i in range(50000)))
    model = trained(server, name, "y", epochs=1, batch_size=4096)
    found = problem(server.post("/v1/models/%s/evaluate" % model, {"dataset": {"columns": {"x": list(range(50000)), "y": [1.5] * 50000}}, "bootstrap": 10000}),
                    413, "too_large")
    assert "store them as a dataset" in found["detail"], found
    assert evaluate(server, model, dataset=name, bootstrap=10, rows=1000)["rows"] == 1000
    answer = server.post("/v1/models/%s/explain" % model, {"dataset": name, "method": "shapley", "rows": 1000, "samples": 1})
    assert answer.status == 200
    answer = server.post("/v1/models/%s/explain" % model, {"dataset": name, "rows": 100000, "repeats": 100, "columns": ["x"] * 1000})
    assert answer.status == 422 and "too long" in str(pointers(answer)), answer


def test_models_that_are_not_there(server):
    assert server.post("/v1/models/nothing/evaluate", {"dataset": "iris"}).status == 404
    assert server.post("/v1/models/nothing/versions/1/evaluate", {"dataset": "iris"}).status == 404
    name = unique("untrained")
    server.post("/v1/models", {"name": name, "layers": [DENSE]})
    assert server.post("/v1/models/%s/evaluate" % name, {"dataset": "iris"}).status in (404, 409)
    model = trained(server, "iris", "class", epochs=1)
    assert server.post("/v1/models/%s/versions/1/evaluate" % model, {"dataset": "iris", "bootstrap": 0}).status == 200


def test_the_command_says_the_same(server, tmp_path):
    """A model file on the same rows, against scikit-learn; as text and as JSON."""
    data = harness.ROOT / "clients/examples/penguins.csv"

    def run(*arguments):
        return subprocess.run([harness.BACKPROPD, *arguments], capture_output=True, text=True, timeout=120, cwd=tmp_path)

    (tmp_path / "net.json").write_text(json.dumps({"layers": [DENSE]}))
    for model, epochs in (("a.bpd", "5"), ("b.bpd", "60")):
        done = run("train", "--data", data, "--target", "sex", "--definition", "net.json", "--epochs", epochs, "--seed", "3", "--out", model)
        assert done.returncode == 0, done.stderr
    done = run("evaluate", "--model", "b.bpd", "--data", data, "--json", "--compare", "a.bpd", "--slices", "island,body_mass_g", "--bootstrap", "50")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    lines = run("predict", "--model", "b.bpd", "--data", data).stdout.splitlines()[1:]
    rows = [row["sex"] for row in server.rows("penguins")]
    said = [line.split(",")[0] for line in lines]
    assert close(report["metrics"]["accuracy"]["value"], numpy.mean([a == b for a, b in zip(said, rows) if b is not None]))
    assert report["skipped_rows"] == rows.count(None) and len(report["slices"]) >= 7 and report["comparison"]["rows"] == report["rows"]
    text = run("evaluate", "--model", "b.bpd", "--data", data, "--slices", "island", "--compare", "a.bpd", "--bootstrap", "50").stdout
    assert "accuracy" in text and "island Biscoe" in text and "McNemar" in text and "#" not in text and "\x1b" not in text
    for arguments, words in ((("--slices", "nope"), "nope"), (("--bootstrap", "x"), "whole number"), (("--positive-class", "Dodo"), "Dodo"), (("--compare", "none.bpd"), "none.bpd")):
        done = run("evaluate", "--model", "b.bpd", "--data", data, *arguments)
        assert done.returncode != 0 and words in done.stderr and not done.stdout, done
    assert run("evaluate", "--model", "b.bpd").returncode == 2
