"""Goal: importance and partial dependence are those of sklearn.inspection on the same predictions, Shapley values those of all subsets, gradients those of finite
differences; everything is by column of the data."""
import itertools
import json
import math
import subprocess

import numpy
import pytest
from sklearn import inspection

import harness
from harness import pointers, unique

DENSE = {"type": "dense", "units": 10, "activation": "tanh"}
IRIS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


def trained(server, dataset, target, layers=(DENSE,), **job):
    name = unique("explained")
    server.train(model={"name": name, "layers": list(layers)}, dataset=dataset, target=target, **{"epochs": 40, "seed": 4, **job})
    return name


def explain(server, model, **body):
    answer = server.post("/v1/models/%s/explain" % model, body)
    assert answer.status == 200, answer
    return answer.json


class Served:
    """A served model as scikit-learn takes one: numbers in, classes or values out."""
    def __init__(self, server, model, columns):
        self.server, self.model, self.columns, self.fitted_, self._estimator_type = server, model, columns, True, "classifier"

    def fit(self, *_):
        return self

    def predictions(self, x):
        instances = [dict(zip(self.columns, map(float, row))) for row in x]
        return self.server.post("/v1/models/%s/predict" % self.model, {"instances": instances}).json["predictions"]

    def predict(self, x):
        return numpy.array([p["label"] for p in self.predictions(x)])

    def predict_proba(self, x):
        return numpy.array([list(p["probabilities"].values()) for p in self.predictions(x)])

    @property
    def classes_(self):
        return numpy.array(["setosa", "versicolor", "virginica"])

    def score(self, x, y):
        return (self.predict(x) == y).mean()


@pytest.fixture(scope="module")
def iris(server):
    rows = server.rows("iris")
    return trained(server, "iris", "class"), numpy.array([[row[c] for c in IRIS] for row in rows]), numpy.array([row["class"] for row in rows])


def test_importance_is_that_of_scikit_learn(server, iris):
    model, x, y = iris
    theirs = inspection.permutation_importance(Served(server, model, IRIS), x, y, n_repeats=30, random_state=1)
    ours = explain(server, model, dataset="iris", metric="accuracy", repeats=30)
    assert ours["value"] == Served(server, model, IRIS).score(x, y) and ours["rows"] == len(x)
    assert [c["importance"] for c in ours["columns"]] == sorted((c["importance"] for c in ours["columns"]), reverse=True)
    for column in ours["columns"]:
        k = IRIS.index(column["column"])
        error = math.hypot(column["std"], theirs.importances_std[k]) / math.sqrt(30)
        assert abs(column["importance"] - theirs.importances_mean[k]) < 4 * error + 1e-3, (column, theirs.importances_mean[k])
    assert explain(server, model, dataset="iris", metric="accuracy", repeats=30) == ours
    by_loss = explain(server, model, dataset="iris")
    assert by_loss["metric"] == "loss" and {c["column"] for c in by_loss["columns"]} == set(IRIS) and by_loss["columns"][0]["importance"] > 0


def test_partial_dependence_is_that_of_scikit_learn(server, iris):
    model, x, _ = iris
    for k, name in enumerate(IRIS):
        theirs = inspection.partial_dependence(Served(server, model, IRIS), x, [k], grid_resolution=10, kind="both", method="brute", response_method="predict_proba")
        (ours,) = explain(server, model, method="partial_dependence", dataset="iris", columns=[name], grid_points=10, curves=3)["columns"]
        assert numpy.allclose(ours["values"], theirs["values"][0]) and [c["class"] for c in ours["curves"]] == ["setosa", "versicolor", "virginica"]
        for c, curve in enumerate(ours["curves"]):
            assert numpy.allclose(curve["mean"], theirs["average"][c], atol=1e-5) and numpy.allclose(curve["rows"], theirs["individual"][c][:3], atol=1e-5)


def test_partial_dependence_of_categories(server):
    model = trained(server, "penguins", "body_mass_g")
    rows = [{k: v for k, v in row.items() if k != "body_mass_g"} for row in server.rows("penguins")]
    (ours,) = explain(server, model, method="partial_dependence", dataset="penguins", columns=["island"])["columns"]
    for island, mean in zip(ours["values"], ours["curves"][0]["mean"]):
        found = server.post("/v1/models/%s/predict" % model, {"instances": [{**row, "island": island} for row in rows]}).json["predictions"]
        assert math.isclose(mean, numpy.mean([p["value"] for p in found]), rel_tol=1e-5)
    assert sorted(ours["values"]) == ["Biscoe", "Dream", "Torgersen"] and len(ours["curves"]) == 1


@pytest.mark.parametrize("target, label", [("species", "Gentoo"), ("body_mass_g", None)])
def test_shapley_values_are_those_of_all_subsets(server, target, label):
    columns = ["island", "bill_length_mm", "flipper_length_mm", "sex"]
    model = trained(server, "penguins", target, features=columns)
    rows = [{c: row[c] for c in columns} for row in server.rows("penguins")]
    background, explained = rows[5:300:40], [rows[0], rows[3], rows[-1]]  # the second lacks values
    number = (lambda p: p["probabilities"][label]) if label else (lambda p: p["value"])

    def worths(row):
        found = {}
        for size in range(len(columns) + 1):
            for subset in itertools.combinations(columns, size):
                mixed = [{c: (row if c in subset else other)[c] for c in columns} for other in background]
                found[subset] = numpy.mean([number(p) for p in server.post("/v1/models/%s/predict" % model, {"instances": mixed}).json["predictions"]])
        return found

    body = {"method": "shapley", "dataset": {"records": explained}, "background": {"records": background}, **({"class": label} if label else {})}
    exact = explain(server, model, samples=16, **body)
    sampled = explain(server, model, samples=15, **body)
    for row, one, other in zip(explained, exact["explanations"], sampled["explanations"]):
        worth = worths(row)
        scale = max(abs(worth[tuple(columns)] - worth[()]), 1e-3)
        assert math.isclose(one["baseline"], worth[()], rel_tol=1e-4) and math.isclose(one["prediction"], worth[tuple(columns)], rel_tol=1e-4)
        for attribution in one["attributions"]:
            value, column = 0, attribution["column"]
            for subset in worth:
                if column not in subset:
                    weight = math.factorial(len(subset)) * math.factorial(len(columns) - len(subset) - 1) / math.factorial(len(columns))
                    value += weight * (worth[tuple(c for c in columns if c in subset or c == column)] - worth[subset])
            assert abs(attribution["value"] - value) < 1e-4 * scale + 1e-5, (column, attribution, value)
            (guess,) = [a for a in other["attributions"] if a["column"] == column]
            assert attribution["standard_error"] == 0 and abs(guess["value"] - value) <= 6 * guess["standard_error"] + 0.02 * scale
        assert math.isclose(sum(a["value"] for a in other["attributions"]), other["prediction"] - other["baseline"], abs_tol=1e-4 * scale + 1e-5)


def test_gradients_are_those_of_finite_differences(server, iris):
    model, x, _ = iris
    served, base, step, points = Served(server, model, IRIS), x.mean(0), 0.02, 40
    records = [dict(zip(IRIS, map(float, row))) for row in x]
    body = {"dataset": {"records": [records[0], records[70], records[149]]}, "background": "iris", "class": "versicolor"}
    found = explain(server, model, method="integrated_gradients", steps=points, **body)["explanations"]
    local = explain(server, model, method="gradient_input", **body)["explanations"]

    def gradient(at):
        ahead, behind = ([row + sign * step * numpy.eye(4)[k] for row in at for k in range(4)] for sign in (1, -1))
        return ((served.predict_proba(ahead)[:, 1] - served.predict_proba(behind)[:, 1]) / (2 * step)).reshape(-1, 4)

    for row, one, other in zip(x[[0, 70, 149]], found, local):
        line = base + (numpy.arange(points)[:, None] + 0.5) / points * (row - base)
        assert [a["column"] for a in one["attributions"]] == IRIS
        assert numpy.allclose([a["value"] for a in one["attributions"]], gradient(line).mean(0) * (row - base), atol=2e-3)
        assert numpy.allclose([a["value"] for a in other["attributions"]], gradient(row[None])[0] * (row - base), atol=2e-3)
        assert abs(one["completeness_error"]) < 1e-3 and math.isclose(one["prediction"], served.predict_proba(row[None])[0, 1], rel_tol=1e-5)
        assert math.isclose(sum(a["value"] for a in one["attributions"]) - (one["prediction"] - one["baseline"]), one["completeness_error"], abs_tol=1e-9)


@pytest.mark.parametrize("target, more", [("species", {}), ("sex", {}), ("body_mass_g", {}), ("species", {"loss": "ordinal"}), ("body_mass_g", {"effort": "fast"}), ("species", {"effort": "fast"})])
def test_completeness_with_categories_and_ensembles(server, target, more):
    name = unique("complete")
    model = {"name": name} if "effort" in more else {"name": name, "layers": [DENSE], **more}
    server.train(model=model, dataset="penguins", target=target, epochs=10, seed=6, **({"effort": "fast"} if "effort" in more else {}))
    report = explain(server, name, method="integrated_gradients", dataset="penguins", rows=5, steps=200)
    columns = {"species", "island", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex"} - {target}
    for one in report["explanations"]:
        assert {a["column"] for a in one["attributions"]} == columns
        assert abs(one["completeness_error"]) < 0.02 * max(abs(one["prediction"] - one["baseline"]), 1e-2 * abs(one["prediction"])), one


@pytest.mark.parametrize("body, pointer, words", [
    ({}, "/dataset", "required"), ({"dataset": "iris", "method": "lime"}, "/method", "shapley"), ({"dataset": "iris", "columns": ["nope"]}, "/columns/0", "no feature"), ({"dataset": "iris", "columns": []}, "/columns", "1 to 1000"),
    ({"dataset": "iris", "columns": [7]}, "/columns/0", "text"), ({"dataset": "iris", "metric": "nope"}, "/metric", "nope"), ({"dataset": "iris", "class": "rose"}, "/class", "rose"), ({"dataset": "iris", "target": "x"}, "/target", "x"),
    ({"dataset": "iris", "repeats": 0}, "/repeats", "1"), ({"dataset": "iris", "background": "nothing"}, "/background", "nothing"), ({"dataset": "iris", "more": 1}, "/more", "more"), ({"dataset": "iris", "steps": "x"}, "/steps", "integer"),
])
def test_refusals(server, iris, body, pointer, words):
    answer = server.post("/v1/models/%s/explain" % iris[0], body)
    assert answer.status == 422, answer
    found = pointers(answer)
    assert any(p.startswith(pointer) and words in d for p, d in found.items()), found


def test_what_has_no_gradient(server):
    model = trained(server, "penguins", "sex", layers=[{"type": "embedding", "input_dim": 4, "output_dim": 2, "inputs": ["island"]}, {"type": "flatten"}, DENSE],
                    columns={"island": {"encode": "embedding"}}, features=["island"])
    answer = server.post("/v1/models/%s/explain" % model, {"method": "integrated_gradients", "dataset": "penguins"})
    assert answer.status == 422 and "embedding" in pointers(answer)["/method"] and "shapley" in pointers(answer)["/method"]
    assert explain(server, model, method="shapley", dataset="penguins", rows=2)["explanations"][0]["attributions"][0]["column"] == "island"
    assert server.post("/v1/models/nothing/explain", {"dataset": "iris"}).status == 404
    assert server.post("/v1/models/%s/versions/1/explain" % model, {"dataset": "penguins", "rows": 20, "repeats": 1}).status == 200
    assert server.post("/v1/models/%s/versions/9/explain" % model, {"dataset": "penguins"}).status == 404


def test_the_command_says_the_same(tmp_path):
    """A model file, against what follows from its own predictions; as text and as JSON."""
    data = harness.ROOT / "clients/examples/penguins.csv"

    def run(*arguments):
        return subprocess.run([harness.BACKPROPD, *arguments], capture_output=True, text=True, timeout=120, cwd=tmp_path)

    (tmp_path / "net.json").write_text(json.dumps({"layers": [DENSE]}))
    done = run("train", "--data", data, "--target", "body_mass_g", "--definition", "net.json", "--epochs", "30", "--seed", "3", "--out", "m.bpd")
    assert done.returncode == 0, done.stderr
    for method in ("permutation_importance", "partial_dependence", "gradient_input", "integrated_gradients", "shapley"):
        done = run("explain", "--model", "m.bpd", "--data", data, "--method", method, "--rows", "4", "--json", "--samples", "4")
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        for one in report.get("explanations", []):
            row = one["row"]
            values = run("predict", "--model", "m.bpd", "--data", data).stdout.splitlines()[1:]
            assert math.isclose(float(values[row - 1].split(",")[0]), one["prediction"], rel_tol=1e-5)
            break
        text = run("explain", "--model", "m.bpd", "--data", data, "--method", method, "--rows", "4", "--samples", "4")
        assert text.returncode == 0 and "flipper_length_mm" in text.stdout and "\x1b" not in text.stdout and "###" not in text.stdout
    for arguments, status, words in ((("--method", "shaply"), 2, "shapley"), (("--columns", "nope"), 1, "nope"), (("--rows", "x"), 2, "whole number"), (("--background", "none.csv"), 1, "none.csv")):
        done = run("explain", "--model", "m.bpd", "--data", data, *arguments)
        assert done.returncode == status and words in done.stderr and not done.stdout, done


def test_too_much_names_how_many_rows_are_possible(server):
    job = server.train(dataset="breast_cancer", target="class", model={"name": unique("big"), "layers": [{"type": "dense", "units": 4096}, {"type": "dense", "units": 1024}]}, epochs=1, batch_size=512)
    answer = server.post("/v1/models/%s/explain" % job["model"], {"dataset": "breast_cancer"})
    (problem,) = answer.json["errors"]
    assert answer.status == 422 and problem["pointer"] == "/rows"
    possible = int(problem["detail"].split('"rows": ')[1].split(")")[0])
    assert 1 <= possible < 569
    assert server.post("/v1/models/%s/explain" % job["model"], {"dataset": "breast_cancer", "rows": possible + 1}).status == 422
    assert server.post("/v1/models/%s/explain" % job["model"], {"dataset": "breast_cancer", "rows": 2}).status == 200
