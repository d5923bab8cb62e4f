"""Goal: temperatures, sets and intervals are what scipy and numpy compute from the served probabilities, and cover held-out rows of real tables as often as
they promise; a calibration is served from the response on that stores it, with its version, in every form the version takes."""
import csv
import io
import json
import subprocess
import threading

import numpy
import pytest
from scipy import optimize
from sklearn import datasets, metrics

import harness
from harness import DATA, pointers, problem, run, unique

DENSE = {"type": "dense", "units": 24, "activation": "relu"}
PARTS = ("train", "fit", "test")


def table(name, target, seed=0, noise=0.0, sizes=(0.3, 0.4)):
    """Columns of a bundled table in three parts: to train, to calibrate, to test. noise: share of labels that are drawn anew."""
    if name == "diabetes":
        data = datasets.load_diabetes()
        columns = {n: data.data[:, i].tolist() for i, n in enumerate(data.feature_names)}
        columns[target] = data.target.tolist()
    else:
        with open(DATA / (name + ".csv")) as file:
            rows = [row for row in csv.DictReader(file) if row[target]]
        columns = {k: [row[k] or None for row in rows] for k in rows[0]}
        for k, cells in columns.items():
            try:
                columns[k] = [None if c is None else float(c) for c in cells] if k != target or name == "penguins" else cells
            except ValueError:
                pass
    random = numpy.random.default_rng(seed)
    n = len(columns[target])
    if noise:
        labels = sorted(set(columns[target]))
        columns[target] = [str(random.choice(labels)) if random.random() < noise else c for c in columns[target]]
    order, cut = random.permutation(n), (numpy.cumsum(sizes) * n).astype(int)
    return {part: {k: [c[i] for i in index] for k, c in columns.items()} for part, index in zip(PARTS, numpy.split(order, cut))}


def train(server, parts, target, name=None, layers=(DENSE,), **job):
    name = name or unique("calibrated")
    inline = {"columns": parts["train"], "types": {target: "categorical"}} if job.get("task") == "classification" else {"columns": parts["train"]}
    server.train(model={"name": name, "layers": list(layers)}, dataset=inline, target=target, **{"epochs": 40, "seed": 3, **job})
    return name


def without(columns, target):
    return {k: c for k, c in columns.items() if k != target}


def post(server, where, body):
    """Without a look into the contract, which takes long for many rows; smaller requests are checked."""
    small = len(next(iter((body.get("inputs") or body["dataset"]["columns"]).values()))) < 50
    send = server.post if small else lambda where, body: server.raw("POST", where, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return send(where, body)


def predict(server, model, columns, target, **more):
    answer = post(server, "/v1/models/%s/predict" % model, {"inputs": without(columns, target), **more})
    assert answer.status == 200, answer
    return answer.json["predictions"]


def path(model, what="calibration", version="1"):
    return "/v1/models/%s/versions/%s/%s" % (model, version, what)


def calibrate(server, model, columns, status=200, **body):
    answer = post(server, path(model, "calibrate"), {"dataset": {"columns": columns}, **body})
    assert answer.status == status, answer
    return answer.json if status == 200 else answer


def as_csv(columns):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values()))
    return out.getvalue()


def shares(predictions):
    """(labels, probabilities) as numpy has them."""
    labels = list(predictions[0]["probabilities"])
    return labels, numpy.array([[p["probabilities"][label] for label in labels] for p in predictions])


def expected_calibration_error(p, hit):
    """Guo et al. 2017, over 15 bins of equal width."""
    bins = numpy.clip(numpy.ceil(p * 15) - 1, 0, 14)
    return sum((bins == b).mean() * abs(hit[bins == b].mean() - p[bins == b].mean()) for b in range(15) if (bins == b).any())


def rank(n, coverage):
    return int(numpy.ceil((n + 1) * coverage - 1e-9))


def quantile(scores, coverage):
    return numpy.sort(scores)[rank(len(scores), coverage) - 1]


CLASSES = {"digits": "digit", "breast_cancer": "diagnosis"}


@pytest.fixture(scope="module")
def noisy(server):
    """Models that are too sure of themselves, of many classes and of two: {table: (model, parts, target)}."""
    made = {}
    for name, target in CLASSES.items():
        columns = [c["name"] for c in server.get("/v1/datasets/" + name).json["columns"]]
        target = target if target in columns else columns[-1]
        parts = table(name, target, noise=0.4)
        made[name] = (train(server, parts, target, epochs=100, task="classification"), parts, target)
    return made


@pytest.mark.parametrize("name", CLASSES)
def test_the_temperature_is_the_optimum_that_scipy_finds(server, noisy, name):
    model, parts, target = noisy[name]
    labels, raw = shares(predict(server, model, parts["fit"], target))
    truth = numpy.array([labels.index(str(c)) for c in parts["fit"][target]])

    def heated(p, t):
        logs = numpy.log(numpy.maximum(p, 1.2e-38)) / t
        e = numpy.exp(logs - logs.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    best = optimize.minimize_scalar(lambda t: -numpy.log(heated(raw, t)[range(len(truth)), truth]).mean(), bounds=(0.05, 20), method="bounded",
                                    options={"xatol": 1e-10})
    found = calibrate(server, model, parts["fit"], conformal=False, holdout=0)
    temperature = found["targets"][target]["temperature"]
    assert abs(temperature - best.x) < 1e-3 * best.x and temperature > 1.1
    assert found["fitted"]["targets"] == [{"target": target, "temperature_rows": len(truth), "conformal_rows": 0, "held_out": None}]
    _, served = shares(predict(server, model, parts["test"], target))
    assert server.delete(path(model)).status == 204
    _, plain = shares(predict(server, model, parts["test"], target))
    assert numpy.allclose(served, heated(plain, temperature), atol=2e-6) and not numpy.allclose(served, plain, atol=1e-3)
    # what an evaluation reports of probabilities, with and without
    truth = numpy.array([labels.index(str(c)) for c in parts["test"][target]])
    for p in (plain, served):
        report = post(server, "/v1/models/%s/evaluate" % model, {"dataset": {"columns": parts["test"]}, "bootstrap": 0}).json
        (one,) = report["targets"]
        assert report["calibrated"] is (p is served) and one.get("temperature", 1) == (temperature if p is served else 1)
        brier = metrics.brier_score_loss(truth, p[:, 1]) if len(labels) == 2 else ((p - numpy.eye(len(labels))[truth]) ** 2).sum(1).mean()
        expected = {"log_loss": metrics.log_loss(truth, p), "brier_score": brier,
                    "expected_calibration_error": expected_calibration_error(p.max(1), p.argmax(1) == truth)}
        assert all(abs(one["probabilities"][k] - v) < 1e-5 for k, v in expected.items()), (one["probabilities"], expected)
        for key in ("loss", "log_loss"):
            assert abs(report["metrics"][key]["value"] - expected["log_loss"]) < 1e-5
        assert server.request("PATCH", path(model), {"temperature": temperature}).status == 200
    server.delete(path(model))


def set_scores(p, truth, method):
    """Of every row its true class, and of every class."""
    if method == "lac":
        return 1 - p[range(len(p)), truth], 1 - p
    order = numpy.argsort(-p, axis=1, kind="stable")
    sums = numpy.take_along_axis(numpy.cumsum(numpy.take_along_axis(p, order, 1), 1), numpy.argsort(order, axis=1), 1)
    return sums[range(len(p)), truth], sums


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("method", ["lac", "aps"])
@pytest.mark.parametrize("by_class", [False, True])
def test_sets_are_those_of_numpy(server, noisy, name, method, by_class):
    model, parts, target = noisy[name]
    server.delete(path(model))
    labels, p = shares(predict(server, model, parts["fit"], target))
    truth = numpy.array([labels.index(str(c)) for c in parts["fit"][target]])
    scores, _ = set_scores(p, truth, method)
    found = calibrate(server, model, parts["fit"], temperature=False, holdout=0,
                      conformal={"method": method, "coverage": 0.85, "class_conditional": by_class, "allow_empty": True})
    conformal = found["targets"][target]["conformal"]
    groups = [scores[truth == c] for c in range(len(labels))] if by_class else [scores]
    assert [g["rows"] for g in conformal["groups"]] == [len(g) for g in groups] and conformal["rows"] == len(truth)
    assert numpy.allclose([g["quantile"] for g in conformal["groups"]], [quantile(g, 0.85) for g in groups], atol=1e-6)
    for coverage in (0.85, 0.7):
        predictions = predict(server, model, parts["test"], target, **({} if coverage == 0.85 else {"coverage": coverage}))
        _, p = shares(predictions)
        _, each = set_scores(p, numpy.zeros(len(p), int), method)
        q = numpy.array([quantile(g, coverage) for g in groups])
        doubtful = numpy.abs(each - q) < 1e-6
        for row, prediction in enumerate(predictions):
            got = numpy.array([label in prediction["set"] for label in labels])
            assert ((got == (each <= q)[row]) | doubtful[row]).all(), (row, prediction, each[row], q)
            probable = [prediction["probabilities"][label] for label in prediction["set"]]
            assert probable == sorted(probable, reverse=True)
        assert any(len(x["set"]) != 1 for x in predictions)
    # what an evaluation says of them
    predictions = predict(server, model, parts["test"], target)
    held = [str(c) in x["set"] for c, x in zip(parts["test"][target], predictions)]
    sizes = [len(x["set"]) for x in predictions]
    report = post(server, "/v1/models/%s/evaluate" % model, {"dataset": {"columns": parts["test"]}, "bootstrap": 0}).json["targets"][0]["conformal"]
    assert abs(report["coverage"] - numpy.mean(held)) < 1e-12 and abs(report["mean_size"] - numpy.mean(sizes)) < 1e-12
    assert report["single"] == sizes.count(1) and report["empty"] == sizes.count(0) and report["requested"] == 0.85
    # without allow_empty an empty set gets the most probable label, and nothing else changes
    calibrate(server, model, parts["fit"], temperature=False, holdout=0, conformal={"method": method, "coverage": 0.85, "class_conditional": by_class})
    for before, after in zip(predictions, predict(server, model, parts["test"], target)):
        assert after["set"] == (before["set"] or [max(after["probabilities"], key=after["probabilities"].get)])
    server.delete(path(model))


def interval_table(kind):
    """(parts, target, options of the job, method) of an interval of that kind."""
    if kind == "log":
        return table("penguins", "body_mass_g"), "body_mass_g", {"transform": "log"}, "absolute"
    job = {"absolute": {}, "cqr": {"loss": {"type": "quantile", "quantiles": [0.1, 0.5, 0.9]}}, "normalized": {"loss": "gaussian_nll"}}[kind]
    return table("diabetes", "progression"), "progression", job, kind


def interval_scores(predictions, y, kind):
    """(scores of the truths, or what the interval of a quantile q is) as the papers define them, in the unit of the target."""
    value = numpy.array([x["value"] for x in predictions])
    if kind == "log":
        return numpy.abs(numpy.log(y) - numpy.log(value)), lambda q: (value * numpy.exp(-q), value * numpy.exp(q))
    if kind == "cqr":
        low, high = (numpy.array([x["quantiles"][k] for x in predictions]) for k in ("0.1", "0.9"))
        return numpy.maximum(low - y, y - high), lambda q: (low - q, high + q)
    if kind == "normalized":
        unit = numpy.array([x["distribution"]["deviation"] for x in predictions])
        return numpy.abs(y - value) / unit, lambda q: (value - q * unit, value + q * unit)
    return numpy.abs(y - value), lambda q: (value - q, value + q)


@pytest.mark.parametrize("kind", ["absolute", "cqr", "normalized", "log"])
def test_intervals_are_those_of_numpy(server, kind):
    parts, target, job, method = interval_table(kind)
    loss = job.pop("loss", None)
    model = unique("intervals")
    server.train(model={"name": model, "layers": [DENSE], **({"loss": loss} if loss else {})}, dataset={"columns": parts["train"]}, target=target, epochs=60, seed=3,
                 **job)
    scores, _ = interval_scores(predict(server, model, parts["fit"], target), numpy.array(parts["fit"][target]), kind)
    found = calibrate(server, model, parts["fit"], holdout=0)["targets"][target]
    assert found["conformal"]["method"] == method and found["conformal"]["rows"] == len(scores) and "temperature" not in found
    y = numpy.array(parts["test"][target])
    for coverage in (0.9, 0.6):
        predictions = predict(server, model, parts["test"], target, coverage=coverage)
        _, interval = interval_scores(predictions, y, kind)
        low, high = interval(quantile(scores, coverage))
        got = numpy.array([x["interval"] for x in predictions])
        assert numpy.allclose(got[:, 0], low, rtol=1e-4, atol=1e-3) and numpy.allclose(got[:, 1], high, rtol=1e-4, atol=1e-3)
    report = post(server, "/v1/models/%s/evaluate" % model, {"dataset": {"columns": parts["test"]}, "bootstrap": 0}).json["targets"][0]["conformal"]
    got = numpy.array([x["interval"] for x in predict(server, model, parts["test"], target)])
    answer = server.raw("POST", "/v1/models/%s/predict" % model, as_csv(without(parts["test"], target)).encode(), {"Content-Type": "text/csv"})
    assert [[float(x["low"]), float(x["high"])] for x in csv.DictReader(io.StringIO(answer.body.decode()))] == got.tolist()
    assert abs(report["coverage"] - ((got[:, 0] <= y) & (y <= got[:, 1])).mean()) < 1e-12
    assert abs(report["mean_width"] - (got[:, 1] - got[:, 0]).mean()) < 1e-3 * report["mean_width"]


COVERED = [("digits", "digit", {"method": "lac", "allow_empty": True}), ("digits", "digit", {"method": "aps", "randomized": True, "allow_empty": True}),
           ("wine", "class", {"method": "aps", "randomized": True, "allow_empty": True}), ("penguins", "species", {"method": "lac", "allow_empty": True}),
           ("breast_cancer", "diagnosis", {"method": "lac", "allow_empty": True}), ("iris", "species", {"method": "lac"}),
           ("diabetes", "progression", {"method": "absolute"}), ("penguins", "body_mass_g", {"method": "absolute"})]


@pytest.mark.parametrize("name, target, conformal", COVERED)
def test_sets_and_intervals_cover_held_out_rows(server, name, target, conformal):
    """One network, whose other rows are dealt anew by eight seeds into those that calibrate and those that test."""
    columns = [c["name"] for c in server.get("/v1/datasets/" + name).json["columns"]] if name != "diabetes" else [target]
    target = target if target in columns else columns[-1]
    parts = table(name, target, sizes=(0.25, 0.4))
    numbers = target in ("progression", "body_mass_g")
    model = train(server, parts, target, epochs=15, **({} if numbers else {"task": "classification"}))
    rest = {k: parts["fit"][k] + parts["test"][k] for k in parts["fit"]}
    n, coverage, seeds = len(rest[target]), 0.8, 8
    fit = n // 2
    got = []
    for seed in range(seeds):
        order = numpy.random.default_rng(seed).permutation(n)
        deal = [{k: [c[i] for i in part] for k, c in rest.items()} for part in (order[:fit], order[fit:])]
        found = calibrate(server, model, deal[0], conformal={**conformal, "coverage": coverage}, seed=seed)
        assert found["fitted"]["targets"][0]["held_out"]["rows"] == fit // 2
        predictions = predict(server, model, deal[1], target)
        got += [(x["interval"][0] <= y <= x["interval"][1]) if numbers else str(y) in x["set"] for x, y in zip(predictions, deal[1][target])]
    scored = found["targets"][target]["conformal"]["rows"]
    # of one deal the coverage has a standard deviation of sqrt(c (1 - c) (1 / tested + 1 / scored)); those of all deals together have a smaller one
    deviation = (coverage * (1 - coverage) * (1 / (n - fit) + 1 / scored)) ** 0.5
    assert numpy.mean(got) >= coverage - 2 * deviation, numpy.mean(got)
    if conformal.get("allow_empty") or numbers:  # and no more than they have to
        assert numpy.mean(got) <= coverage + 1 / (scored + 1) + 2 * deviation, numpy.mean(got)


def test_a_class_by_itself_is_covered_too(server):
    """A rare class: sets of all classes together miss it more often than they promise, class-conditional ones do not."""
    random = numpy.random.default_rng(5)
    n = 6000
    rare = random.random(n) < 0.12
    x = random.normal(size=(n, 2)) + rare[:, None] * 0.9
    columns = {"a": x[:, 0].tolist(), "b": x[:, 1].tolist(), "y": ["rare" if r else "usual" for r in rare]}
    parts = {p: {k: c[i:i + 2000] for k, c in columns.items()} for p, i in zip(PARTS, (0, 2000, 4000))}
    model = train(server, parts, "y", epochs=10, layers=[{"type": "dense", "units": 8, "activation": "tanh"}])
    covered = {}
    for by_class in (False, True):
        calibrate(server, model, parts["fit"], temperature=False, conformal={"coverage": 0.9, "class_conditional": by_class})
        sets = [x["set"] for x in predict(server, model, parts["test"], "y")]
        covered[by_class] = {c: numpy.mean([c in s for s, y in zip(sets, parts["test"]["y"]) if y == c]) for c in ("rare", "usual")}
    assert covered[False]["rare"] < 0.6 and min(covered[True].values()) > 0.86, covered
    few = {k: c[:60] for k, c in parts["fit"].items()}
    found = calibrate(server, model, few, temperature=False, holdout=0, conformal={"coverage": 0.95, "class_conditional": True})
    assert any("only" in w and "\"rare\"" in w and "it is in every set" in w for w in found["fitted"]["warnings"])
    assert found["targets"]["y"]["conformal"]["groups"][0]["quantile"] is None
    assert all("rare" in x["set"] for x in predict(server, model, few, "y"))


def test_the_same_row_has_the_same_set_in_every_request(server, noisy):
    model, parts, target = noisy["digits"]
    calibrate(server, model, parts["fit"], conformal={"method": "aps", "randomized": True, "coverage": 0.9})
    columns = without({k: c[:70] for k, c in parts["test"].items()}, target)
    together = server.post("/v1/models/%s/predict" % model, {"inputs": columns}).json["predictions"]
    for size in (1, 7, 33):
        apart = []
        for first in range(0, 70, size):
            some = {k: c[first:first + size] for k, c in columns.items()}
            apart += server.post("/v1/models/%s/predict" % model, {"inputs": some}).json["predictions"]
        assert [x["set"] for x in apart] == [x["set"] for x in together], size
    rows = [{k: c[i] for k, c in columns.items()} for i in range(70)]
    assert [x["set"] for x in server.predict(model, rows)] == [x["set"] for x in together]  # the other reader of bodies
    sizes = [len(x["set"]) for x in together]
    calibrate(server, model, parts["fit"], conformal={"method": "aps", "coverage": 0.9})
    assert sum(sizes) <= sum(len(x["set"]) for x in server.predict(model, rows))
    server.delete(path(model))


def test_a_threshold_of_a_version_decides_the_label(server, noisy):
    model, parts, target = noisy["breast_cancer"]
    labels, p = shares(predict(server, model, parts["test"], target))
    answer = server.request("PATCH", path(model), {"thresholds": {labels[1]: 0.9}})
    assert answer.status == 200 and answer.json["thresholds"] == {labels[1]: 0.9} and answer.json["fitted"] is None
    expected = [labels[int(one >= 0.9)] for one in p[:, 1]]
    assert [x["label"] for x in predict(server, model, parts["test"], target)] == expected
    assert [x["label"] for x in predict(server, model, parts["test"], target, thresholds=0.5)] == [labels[int(one >= 0.5)] for one in p[:, 1]]
    report = post(server, "/v1/models/%s/evaluate" % model, {"dataset": {"columns": parts["test"]}, "bootstrap": 0}).json
    assert abs(report["metrics"]["accuracy"]["value"] - numpy.mean(numpy.array(expected) == numpy.array([str(c) for c in parts["test"][target]]))) < 1e-9
    calibrate(server, model, parts["fit"])  # thresholds stay, with a remark
    found = server.get(path(model)).json
    assert found["thresholds"] == {labels[1]: 0.9} and any("thresholds of this version" in w for w in found["fitted"]["warnings"])
    assert server.request("PATCH", path(model), {"thresholds": None}).json["thresholds"] is None
    server.delete(path(model))


def test_changes_by_hand_and_entity_tags(server, noisy):
    model, parts, target = noisy["digits"]
    server.delete(path(model))
    first = server.get(path(model))
    assert first.json["calibrated"] is False and first.json["targets"] == {} and server.get(path(model), headers={"If-None-Match": first.headers["ETag"]}).status == 304
    calibrate(server, model, parts["fit"])
    second = server.get(path(model))
    assert second.headers["ETag"] != first.headers["ETag"] and second.json["calibrated"] and second.json["fitted"]["dataset"] is None
    for method, target_path, body in (("PATCH", path(model), {"conformal": {"coverage": 0.8}}), ("DELETE", path(model), None),
                                      ("POST", path(model, "calibrate"), {"dataset": {"columns": parts["fit"]}})):
        problem(server.request(method, target_path, body, headers={"If-Match": first.headers["ETag"]}), 412, "precondition_failed")
    answer = server.request("PATCH", path(model), {"conformal": {"coverage": 0.8}}, headers={"If-Match": second.headers["ETag"]})
    assert answer.status == 200 and answer.json["targets"][target]["conformal"]["coverage"] == 0.8 and answer.json["fitted"] == second.json["fitted"]
    # the version itself does not change
    version = server.get("/v1/models/%s/versions/1" % model)
    assert "calibration" not in version.json and server.get("/v1/models/%s/versions/1" % model).headers["ETag"] == version.headers["ETag"]
    wrong = {
        '{"temperature":2}': ("/temperature", "send \"conformal\": null too"),
        '{"temperature":0}': ("/temperature", "from 0.05 to 20, got 0"),
        '{"temperature":"hot"}': ("/temperature", "from 0.05 to 20"),
        '{"temperature":{"digitt":2},"conformal":null}': ("/temperature/digitt", "did you mean"),
        '{"thresholds":0.3}': ("/thresholds", "leave thresholds out"),
        '{"conformal":{"coverage":0.9999}}': ("/conformal/coverage", "needs 9999 rows"),
        '{"conformal":{"coverage":1}}': ("/conformal/coverage", "between 0 and 1"),
        '{"conformal":{"method":"aps"}}': ("/conformal", "conformal is null"),
        '{"conformal":[]}': ("/conformal", "conformal is null"),
        '{"heat":2}': ("/heat", "knows: conformal, temperature, thresholds"),
        '{}': ("", "expected an object"),
    }
    for body, (place, words) in wrong.items():
        answer = server.request("PATCH", path(model), body=body.encode(), headers={"Content-Type": "application/json"})
        assert words in pointers(answer)[place], (body, answer)
    for body in ("[]", "null", "{", ""):
        assert server.request("PATCH", path(model), body=body.encode(), headers={"Content-Type": "application/json"}).status in (400, 422)
    assert server.get(path(model)).json["targets"][target]["conformal"]["coverage"] == 0.8
    answer = server.request("PATCH", path(model), {"temperature": {target: 2}, "conformal": None})
    assert answer.json["targets"][target] == {"temperature": 2, "conformal": None} and answer.json["fitted"] is None
    emptied = server.request("PATCH", path(model), {"temperature": None, "thresholds": None, "conformal": None})
    assert emptied.status == 200 and emptied.json["calibrated"] is False
    assert server.delete(path(model)).status == 204 and server.get(path(model)).json["calibrated"] is False
    for method, where in (("GET", path(model, version="9")), ("GET", path("no-such-model")), ("DELETE", path(model, version="9"))):
        problem(server.request(method, where), 404, "not_found")


def test_wrong_requests_to_calibrate_say_what_is_wrong(server, noisy):
    model, parts, target = noisy["digits"]
    few = {k: c[:8] for k, c in parts["fit"].items()}
    some = {k: c[:60] for k, c in parts["fit"].items()}
    wrong = [
        ({"conformal": "cqr"}, "/conformal/method", "use \"lac\" or \"aps\""),
        ({"conformal": "best"}, "/conformal/method", "lac"),
        ({"conformal": 3}, "/conformal", "conformal is true, false"),
        ({"conformal": {"coverage": 0}}, "/conformal/coverage", "above 0"),
        ({"conformal": {"coverage": 1}}, "/conformal/coverage", "below 1"),
        ({"conformal": {"covrage": 0.9}}, "/conformal/covrage", "did you mean"),
        ({"holdout": 0.95}, "/holdout", "0.9"),
        ({"temperature": False, "conformal": False}, "", "nothing to fit"),
        ({"seed": -1}, "/seed", "at least 0"),
        ({"dataset": "no-such-data"}, "/dataset", "there is no dataset"),
        ({"dataset": {"columns": some}, "conformal": {"coverage": 0.99}, "temperature": False}, "/conformal/coverage", "needs at least 99 rows"),
        ({"dataset": {"columns": few}, "temperature": True, "conformal": False}, "/dataset", "at least 20 rows"),
        ({"dataset": {"columns": few}, "holdout": 0}, "/conformal/coverage", "needs at least 9 rows for the scores, and there are 8"),
    ]
    for body, place, words in wrong:
        answer = server.post(path(model, "calibrate"), {"dataset": {"columns": parts["fit"]}, **body})
        assert words in pointers(answer)[place], (body, answer)
    nine = {k: c[:9] for k, c in parts["fit"].items()}  # n >= coverage / (1 - coverage)
    found = calibrate(server, model, nine)
    assert found["targets"][target]["conformal"]["rows"] == 9 and found["fitted"]["targets"][0]["held_out"] is None and found["fitted"]["holdout"] == 0
    assert [w.split(":")[0] for w in found["fitted"]["warnings"]] == ["there are too few rows to hold some out", '"%s"' % target]
    assert "needs 19 rows, and this version was calibrated with 9" in pointers(
        server.post("/v1/models/%s/predict" % model, {"inputs": without(few, target), "coverage": 0.95}))["/coverage"]
    for value in (0, 1, -1, "0.9", [0.9]):
        assert "between 0 and 1" in pointers(server.post("/v1/models/%s/predict" % model, {"inputs": without(few, target), "coverage": value}))["/coverage"]
    server.delete(path(model))
    assert "no sets or intervals" in pointers(server.post("/v1/models/%s/predict" % model, {"inputs": without(few, target), "coverage": 0.9}))["/coverage"]
    # rows of the training
    server.train(model={"name": "own-rows", "layers": [DENSE]}, dataset="wine", target="class", epochs=3)
    found = server.post(path("own-rows", "calibrate"), {"dataset": "wine"}).json
    assert found["fitted"]["dataset"] == "wine@1" and any("trained on rows of \"wine\"" in w for w in found["fitted"]["warnings"])


def test_what_has_no_sets_is_refused_in_words(server):
    name, rows = unique("labels"), {"records": [{"x": i, "a": i % 2 == 0, "b": i % 3 == 0} for i in range(60)]}
    server.train(model={"name": name, "layers": [DENSE, {"type": "dense", "units": 2, "activation": "sigmoid", "name": "tags"}], "loss": "binary_cross_entropy"},
                 target={"tags": ["a", "b"]}, epochs=2, dataset=rows)
    assert "several labels a row" in problem(server.post(path(name, "calibrate"), {"dataset": rows}), 422, "invalid")["detail"]
    answer = server.request("PATCH", path(name), {"thresholds": {"a": 0.01, "b": 0.99}})
    assert answer.status == 200, answer
    assert server.predict(name, [{"x": 3}])[0]["labels"] == ["a"]
    assert "one class per row" in pointers(server.request("PATCH", path(name), {"temperature": 2}))["/temperature"]


def test_several_targets_have_a_calibration_each(server):
    parts = table("penguins", "body_mass_g", sizes=(0.4, 0.4))
    keep = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "species", "body_mass_g")
    parts = {p: {k: c[k] for k in keep} for p, c in parts.items()}
    name = unique("both")
    server.train(model={"name": name, "layers": [DENSE]}, dataset={"columns": parts["train"]}, target=["species", "body_mass_g"], epochs=20)
    found = server.post(path(name, "calibrate"), {"dataset": {"columns": parts["fit"]}}).json
    assert found["targets"]["species"]["conformal"]["method"] == "lac" and found["targets"]["body_mass_g"]["conformal"]["method"] == "absolute"
    inputs = {k: c for k, c in parts["test"].items() if k not in ("species", "body_mass_g")}
    predictions = [x["outputs"] for x in server.post("/v1/models/%s/predict" % name, {"inputs": inputs}).json["predictions"]]
    sets = [c in x["species"]["set"] for x, c in zip(predictions, parts["test"]["species"])]
    held = [x["body_mass_g"]["interval"][0] <= y <= x["body_mass_g"]["interval"][1] for x, y in zip(predictions, parts["test"]["body_mass_g"])]
    assert numpy.mean(sets) > 0.8 and numpy.mean(held) > 0.8


def test_calibrations_switch_with_their_versions(server, noisy):
    """Threads predict while the alias moves and a calibration changes: every answer is that of one version with one calibration."""
    parts, target = noisy["breast_cancer"][1:]
    name = unique("switched")
    for seed in (1, 2):
        train(server, parts, target, name=name, seed=seed, epochs=5, task="classification")
    row = {k: c[:1] for k, c in without(parts["test"], target).items()}
    allowed, temperatures = {}, (1, 3)
    for version in (1, 2):
        for t in temperatures:
            assert server.request("PATCH", path(name, version=str(version)), {"temperature": t}).status == 200
            answer = server.post("/v1/models/%s/versions/%d/predict" % (name, version), {"inputs": row})
            allowed[version, t] = json.dumps(answer.json["predictions"])
    assert len(set(allowed.values())) == 4
    body, wrong, stop = json.dumps({"inputs": row}).encode(), [], threading.Event()

    def ask():
        while not stop.is_set():
            answer = server.raw("POST", "/v1/models/%s/predict" % name, body, {"Content-Type": "application/json"})
            said = json.loads(answer.body)
            if answer.status != 200 or json.dumps(said["predictions"]) not in (allowed[said["version"], t] for t in temperatures):
                wrong.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(24):
        version, t = 1 + i % 2, temperatures[i // 2 % 2]
        server.request("PUT", "/v1/models/%s/aliases/default" % name, {"version": version})
        server.request("PATCH", path(name, version=str(version)), {"temperature": t})
        said = server.post("/v1/models/%s/predict" % name, {"inputs": row}).json  # begins after both
        assert said["version"] == version and json.dumps(said["predictions"]) == allowed[version, t]
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]


def write_csv(file, columns):
    file.write_text(as_csv(columns))
    return file


def test_every_form_has_the_calibration(server, noisy, tmp_path):
    model, parts, target = noisy["breast_cancer"]
    labels = sorted({str(c) for c in parts["fit"][target]})
    calibrate(server, model, parts["fit"], conformal={"method": "lac", "coverage": 0.8})
    server.request("PATCH", path(model), {"thresholds": {labels[1]: 0.7}})
    served = predict(server, model, parts["test"], target)
    assert any("set" in x for x in served)
    shown = {k: v for k, v in server.get(path(model)).json.items() if k in ("targets", "thresholds", "fitted")}
    rows = write_csv(tmp_path / "rows.csv", without(parts["test"], target))
    for form in ("bpd", "json", "safetensors"):
        export = server.get("/v1/models/%s/versions/1/export?format=%s" % (model, form))
        assert export.status == 200
        (tmp_path / ("model." + form)).write_bytes(export.body)
        copy = unique("copied")
        answer = server.post("/v1/models/import?name=" + copy, body=export.body, headers={"Content-Type": "application/octet-stream"})
        assert answer.status == 201, answer
        assert predict(server, copy, parts["test"], target) == served
        again = {k: v for k, v in server.get(path(copy)).json.items() if k in shown}
        assert again == shown
        assert server.delete(path(copy)).status == 204  # also what the file has
        assert "set" not in predict(server, copy, parts["test"], target)[0]
        bare = server.get("/v1/models/%s/versions/1/export" % copy)
        assert b'"calibration"' not in bare.body and (form != "bpd" or b'"calibration"' in export.body)
    # the command line predicts the same
    said = run("predict", "--model", tmp_path / "model.bpd", "--data", rows)
    assert said.returncode == 0, said.stderr
    lines = list(csv.DictReader(io.StringIO(said.stdout)))
    assert [x["label"] for x in lines] == [x["label"] for x in served] and [json.loads(x["set"]) for x in lines] == [x["set"] for x in served]
    assert numpy.allclose([float(x["probability"]) for x in lines], [x["probabilities"][x["label"]] for x in served], atol=1e-6)
    wide = run("predict", "--model", tmp_path / "model.bpd", "--data", rows, "--format", "json", "--coverage", "0.95")
    assert [json.loads(x)["set"] for x in wide.stdout.splitlines()] == [x["set"] for x in predict(server, model, parts["test"], target, coverage=0.95)]
    # rows of CSV and JSON lines too
    answer = server.raw("POST", "/v1/models/%s/predict?coverage=0.95" % model, rows.read_bytes(), {"Content-Type": "text/csv"})
    lines = list(csv.DictReader(io.StringIO(answer.body.decode())))
    expected = [x["set"] for x in predict(server, model, parts["test"], target, coverage=0.95)]
    assert [json.loads(x["set"]) for x in lines] == expected and [x["prediction"] for x in lines] == [x["label"] for x in served]
    answer = server.raw("POST", "/v1/models/%s/predict?coverage=0.95" % model, rows.read_bytes(), {"Content-Type": "text/csv", "Accept": "application/x-ndjson"})
    assert [json.loads(x)["prediction"]["set"] for x in answer.body.splitlines()] == expected
    for coverage in ("2", "x"):
        assert "coverage" in problem(server.raw("POST", "/v1/models/%s/predict?coverage=%s" % (model, coverage), rows.read_bytes(), {"Content-Type": "text/csv"}),
                                     422, "invalid")["detail"]
    folder = run("export", "--model", model, "--data-dir", server.folder, "--out", tmp_path / "folder.bpd")
    assert folder.returncode == 0 and (tmp_path / "folder.bpd").read_bytes() == (tmp_path / "model.bpd").read_bytes()
    # C has temperature and threshold, and says that it has no sets
    source = server.get("/v1/models/%s/versions/1/export?format=c" % model).body.decode()
    assert "sets and intervals of this version are not in this source" in source
    (tmp_path / "model.c").write_text(source)
    symbol = source.split("_predict(")[0].split()[-1]
    subprocess.run(["cc", "-std=c99", "-O1", "-D%s_MAIN" % symbol, tmp_path / "model.c", "-o", tmp_path / "model", "-lm"], check=True)
    out = subprocess.run([tmp_path / "model"], input=rows.read_text(), capture_output=True, text=True, check=True).stdout.splitlines()
    assert [x.split(",")[0] for x in out] == [x["label"] for x in served]
    assert numpy.allclose([[float(c) for c in x.split(",")[1:]] for x in out], [list(x["probabilities"].values()) for x in served], atol=1e-5)
    # a damaged calibration is refused
    broken = json.loads((tmp_path / "model.json").read_text())
    broken["calibration"]["targets"][target]["temperature"] = -3
    answer = server.post("/v1/models/import?name=" + unique("broken"), body=json.dumps(broken).encode(), headers={"Content-Type": "application/json"})
    assert "calibration" in problem(answer, 422, "invalid")["detail"]
    server.delete(path(model))


def test_the_command_calibrates_as_the_server_does(server, noisy, tmp_path):
    model, parts, target = noisy["digits"]
    file = tmp_path / "model.bpd"
    file.write_bytes(server.get("/v1/models/%s/versions/1/export" % model).body)
    rows = write_csv(tmp_path / "fit.csv", parts["fit"])
    assert run("calibrate", "--model", file).stdout == "not calibrated\n"
    said = run("calibrate", "--model", file, "--data", rows, "--method", "aps", "--coverage", "0.85", "--seed", "4", "--json")
    assert said.returncode == 0, said.stderr
    ours_all = json.loads(said.stdout)
    theirs_all = calibrate(server, model, parts["fit"], conformal={"method": "aps", "coverage": 0.85}, seed=4)
    ours, theirs = ours_all["targets"][target], theirs_all["targets"][target]
    assert ours["temperature"] == pytest.approx(theirs["temperature"], rel=1e-8)
    assert ours["conformal"].pop("groups")[0] == pytest.approx(theirs["conformal"].pop("groups")[0], rel=1e-8) and ours["conformal"] == theirs["conformal"]
    assert ours_all["fitted"]["targets"][0]["held_out"]["coverage"] == pytest.approx(theirs_all["fitted"]["targets"][0]["held_out"]["coverage"])
    text = run("calibrate", "--model", file)
    assert "temperature" in text.stdout and "mean_size" in text.stdout and "#" not in text.stdout and "coverage 0.85" in text.stdout
    evaluated = run("evaluate", "--model", file, "--data", rows, "--bootstrap", "0")
    assert "the sets have the truth in" in evaluated.stdout
    by_hand = run("calibrate", "--model", file, "--coverage", "0.7", "--out", tmp_path / "other.bpd", "--json")
    assert json.loads(by_hand.stdout)["targets"][target]["conformal"]["coverage"] == 0.7
    assert json.loads(run("calibrate", "--model", file, "--json").stdout)["targets"][target]["conformal"]["coverage"] == 0.85
    # on the server
    server.upload("to-fit", rows.read_text())
    said = run("calibrate", "--url", server.url, "--model", model, "--dataset", "to-fit", "--coverage", "0.8", "--json")
    assert said.returncode == 0 and json.loads(said.stdout)["fitted"]["dataset"] == "to-fit@1", said.stderr
    assert json.loads(run("calibrate", "--url", server.url, "--model", model, "--coverage", "0.6", "--json").stdout)["targets"][target]["conformal"]["coverage"] == 0.6
    assert run("calibrate", "--url", server.url, "--model", model + "@1", "--remove").stdout == "not calibrated\n"
    assert server.get(path(model)).json["calibrated"] is False
    assert run("calibrate", "--model", file, "--remove").stdout == "not calibrated\n" and b'"calibration"' not in file.read_bytes()
    for flags, words in ((["--model", file, "--data", rows, "--coverage", "2"], "coverage"), (["--model", file, "--dataset", "x"], "--url"),
                         (["--data", rows], "--model is required"), (["--model", file, "--temperature", "-1"], "from 0.05 to 20"),
                         (["--model", file, "--data", rows, "--remove"], "leave the rows out"), (["--model", rows], "tensor file")):
        said = run("calibrate", *flags)
        assert said.returncode in (1, 2) and words in said.stderr, said


def test_calibrations_outlive_a_restart_and_go_with_their_version(fresh):
    server = fresh()
    parts = table("iris", [c for c in open(DATA / "iris.csv").readline().strip().split(",")][-1])
    target = list(parts["train"])[-1]
    for _ in range(2):
        train(server, parts, target, name="kept", epochs=20)
    calibrate(server, "kept", parts["fit"], temperature=False)
    before = server.get(path("kept"))
    predictions = server.post("/v1/models/kept/versions/1/predict", {"inputs": without(parts["test"], target)}).json["predictions"]
    assert "set" in predictions[0] and "set" not in predict(server, "kept", parts["test"], target)[0]
    server.restart(kill=True)
    after = server.get(path("kept"))
    assert after.json == before.json and after.headers["ETag"] == before.headers["ETag"]
    assert server.post("/v1/models/kept/versions/1/predict", {"inputs": without(parts["test"], target)}).json["predictions"] == predictions
    assert server.delete("/v1/models/kept/versions/1").status == 204
    problem(server.get(path("kept")), 404, "not_found")
    assert server.post("/v1/models/kept/predict", {"inputs": without(parts["test"], target), "warnings": False}).json["warnings"] == []


JOB_TABLES = [("digits", "digit", "out_of_fold"), ("breast_cancer", "diagnosis", "validation"), ("diabetes", "progression", "validation"),
              ("diabetes", "progression", "out_of_fold"), ("wine", "class", "out_of_fold")]


@pytest.mark.parametrize("name, target, source", JOB_TABLES)
def test_a_job_calibrates_its_version(server, name, target, source):
    """By validation rows, and of an ensemble by predictions out of fold; rows of neither are covered."""
    columns = [c["name"] for c in server.get("/v1/datasets/" + name).json["columns"]] if name != "diabetes" else [target]
    target = target if target in columns else columns[-1]
    parts = table(name, target, sizes=(0.3, 0.4))
    rows, test = {k: parts["train"][k] + parts["fit"][k] for k in parts["fit"]}, parts["test"]
    numbers = target == "progression"
    job = {"model": {"name": unique("job"), "layers": [DENSE]}, "validation": {"fraction": 0.5}, "epochs": 20}
    if source == "out_of_fold":
        job = {"model": {"name": unique("job"), "layers": [DENSE]}, "ensemble": True, "validation": {"folds": 4}, "epochs": 20}
    ended = server.train(dataset={"columns": rows}, target=target, calibrate={"conformal": {"coverage": 0.8}}, **job, **({} if numbers else {"task": "classification"}))
    assert ended["calibrate"] == {"conformal": {"coverage": 0.8}}
    found = server.get(path(ended["model"])).json
    held = found["fitted"]["targets"][0]["held_out"]
    assert found["fitted"]["source"] == source and held["rows"] > 20
    predictions = predict(server, ended["model"], test, target)
    covered = [(x["interval"][0] <= y <= x["interval"][1]) if numbers else str(y) in x["set"] for x, y in zip(predictions, test[target])]
    scored = found["targets"][target]["conformal"]["rows"]
    assert scored <= len(rows[target]) * (0.5 if source == "validation" else 1) + 1
    assert numpy.mean(covered) >= 0.8 - 3 * (0.16 * (1 / len(covered) + 1 / scored)) ** 0.5, numpy.mean(covered)
    assert held["coverage_high"] >= 0.8


def test_the_test_rows_of_a_job_prove_its_calibration(server):
    """They were neither trained on, nor in validation: the report has their coverage, and it is that of the served sets."""
    parts = table("digits", "digit", sizes=(0.6, 0.2))
    ended = server.train(model={"name": unique("tested"), "layers": [DENSE]}, dataset={"columns": parts["train"]}, target="digit", task="classification", epochs=20,
                         validation={"fraction": 0.4}, test={"fraction": 0.3}, calibrate={"conformal": {"method": "aps", "coverage": 0.8}})
    report = server.get("/v1/jobs/%s/evaluation" % ended["id"]).json
    conformal = report["targets"][0]["conformal"]
    assert report["calibrated"] is True and conformal["requested"] == 0.8
    assert conformal["coverage"] >= 0.8 - 3 * (0.16 * (1 / conformal["rows"] + 1 / 250)) ** 0.5


def test_jobs_that_cannot_be_calibrated_say_so(server):
    base = {"model": {"layers": [DENSE]}, "dataset": "iris", "target": "class", "epochs": 2}
    columns = [c["name"] for c in server.get("/v1/datasets/iris").json["columns"]]
    base["target"] = base["target"] if base["target"] in columns else columns[-1]
    for more, place, words in (({"calibrate": 1}, "/calibrate", "true, false, or an object"), ({"calibrate": {"coverage": 0.9}}, "/calibrate/coverage", "conformal"),
                               ({"calibrate": True, "validation": {"folds": 3}}, "/calibrate", "trains on all rows"),
                               ({"calibrate": True, "validation": {"fraction": 0}}, "/calibrate", "needs validation rows"),
                               ({"calibrate": {"conformal": {"coverage": 2}}}, "/calibrate/conformal/coverage", "below 1")):
        assert words in pointers(server.post("/v1/jobs", {**base, **more}))[place], more
    ended = server.train(**{**base, "model": {"name": unique("few"), "layers": [DENSE]}}, calibrate={"conformal": {"coverage": 0.99}})
    assert any("the version is not calibrated" in w and "needs at least 99 rows" in w for w in ended["warnings"])
    assert server.get(path(ended["model"])).json["calibrated"] is False


def test_train_calibrates_on_the_command_line(tmp_path):
    (tmp_path / "net.json").write_text(json.dumps({"layers": [DENSE]}))
    for more in (["--definition", tmp_path / "net.json", "--epochs", "20", "--validation", "0.4"], ["--effort", "fast", "--epochs", "5"]):
        said = run("train", "--data", DATA / "penguins.csv", "--target", "species", "--out", tmp_path / "m.bpd", "--seed", "1", "--quiet", "--calibrate", "0.8", *more)
        assert said.returncode == 0, said.stderr
        shown = json.loads(run("calibrate", "--model", tmp_path / "m.bpd", "--json").stdout)
        assert shown["targets"]["species"]["conformal"]["coverage"] == 0.8, shown
        assert shown["fitted"]["source"] == ("validation" if "--definition" in more else "out_of_fold")
    assert "between 0 and 1" in run("train", "--data", DATA / "penguins.csv", "--target", "species", "--calibrate", "9").stderr
