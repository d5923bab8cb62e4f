"""Goal: sweeps against brute force in Python: grids against itertools.product, draws against their distributions, successive halving replayed from the
stored metrics; and what must hold whatever happens: no sweep is lost, no trial is made twice, also over kill -9."""
import concurrent.futures
import csv
import io
import itertools
import json
import math
import os
import signal
import sqlite3

import pytest

import harness
from harness import pointers, problem, unique

ROWS = "a,b,y\n" + "".join("%d,%d,%s\n" % (i % 7, i % 5, "yes" if (i % 7) + (i % 5) > 5 else "no") for i in range(40))
NET = {"layers": [{"type": "dense", "units": 4, "activation": "tanh"}]}
JOB = {"target": "y", "epochs": 3, "early_stopping": False}
SLOW, ENDLESS = {"layers": harness.SLOW}, {**JOB, "epochs": 1000000}
ENDED = ("succeeded", "failed", "cancelled")
RATE = {"optimizer.learning_rate": {"log_range": [0.0001, 0.1]}}


@pytest.fixture(scope="module")
def small():
    server = harness.Server("--workers", "2")
    server.upload("small", ROWS)
    yield server
    assert server.stop() == 0
    server.remove()


def sweep(server, **more):
    body = {"model": NET, "dataset": "small", "job": JOB, "space": RATE, "seed": 3, **more}
    answer = server.post("/v1/sweeps", body)
    assert answer.status == 202, answer
    return answer.json


def ended(server, one, seconds=120):
    return harness.until(lambda: (lambda w: w if w["status"] in ENDED else None)(server.get("/v1/sweeps/" + one["id"]).json), seconds, "the end of the sweep")


def trials(server, one, sort="number"):
    return server.get("/v1/sweeps/%s/trials?sort=%s" % (one["id"], sort)).json["data"]


def run(server, **more):
    return ended(server, sweep(server, **more))


# ---- what is tried ----

def test_grid_is_the_product(small):
    space = {"batch_size": {"range": [8, 32], "step": 8}, "model.layers.0.units": {"choice": [2, 3]}, "/optimizer/learning_rate": {"log_range": [0.001, 0.1], "points": 3},
             "optimizer.type": {"choice": ["sgd"]}, "l2": {"range": [0, 0.5], "points": 2}}
    w = run(small, space=space, method="grid", publish=True)
    axes = [[8, 16, 24, 32], [2, 3], [0.001, 0.01, 0.1], ["sgd"], [0, 0.5]]
    expected = [dict(zip(space, values)) for values in itertools.product(*axes)]
    made = trials(small, w)
    assert w["trials"]["total"] == len(expected) == len(made) == 48 and w["trials"]["succeeded"] == 48 and w["method"] == "grid"
    for trial, values in zip(made, expected):
        assert list(trial["parameters"]) == list(space)
        assert trial["parameters"] == pytest.approx({k: v for k, v in values.items() if k != "optimizer.type"} | {"optimizer.type": "sgd"}, rel=1e-9) or trial["parameters"] == values
    for trial in made[::7]:  # each is what its job trains
        job = small.get("/v1/jobs/" + trial["job"]).json
        p = trial["parameters"]
        assert job["options"]["batch_size"] == p["batch_size"] and job["definition"]["layers"][0]["units"] == p["model.layers.0.units"]
        assert job["options"]["optimizer"]["type"] == "sgd" and job["options"]["optimizer"]["learning_rate"] == pytest.approx(p["/optimizer/learning_rate"], rel=1e-6)
        assert job["options"]["l2"] == p["l2"] and job["options"]["seed"] == 3 and job["model"] == w["model"] == w["id"]
        assert job["sweep"] == {"id": w["id"], "trial": trial["number"], "parameters": p, "stopped": None}
        assert trial["value"] == job["metrics"]["val_loss"] and trial["epochs"] == job["progress"]["epoch"] == 3


def ks(values, cdf):
    """The Kolmogorov-Smirnov statistic."""
    values = sorted(values)
    n = len(values)
    return max(max(abs(cdf(v) - i / n), abs(cdf(v) - (i + 1) / n)) for i, v in enumerate(values))


@pytest.fixture(scope="module")
def drawn(small):
    """A sweep of trials that are trained for an epoch each, as many on every machine: how far draws are from their distribution follows from their number."""
    space = {"optimizer.learning_rate": {"log_range": [1e-5, 10.0]}, "gradient_clip_norm": {"range": [0.5, 2.5]}, "batch_size": {"range": [3, 12]}, "epochs": {"log_range": [1, 1000]},
             "l1": {"choice": [0, 0.1, 0.2, 0.3]}, "max_norm": {"range": [0, 1], "step": 0.25}}
    return run(small, space=space, trials=120, seed=11, job={**JOB, "max_seconds": 0.001}, parallel=2)


def test_draws_have_their_distributions(small, drawn):
    made = [t["parameters"] for t in trials(small, drawn)]
    n = len(made)
    assert n == 120
    bound = 1.63 / math.sqrt(n)  # 1 % of the Kolmogorov distribution
    assert ks([p["optimizer.learning_rate"] for p in made], lambda v: math.log(v / 1e-5) / math.log(1e6)) < bound
    assert ks([p["gradient_clip_norm"] for p in made], lambda v: (v - 0.5) / 2) < bound
    for name, values in (("batch_size", range(3, 13)), ("l1", [0, 0.1, 0.2, 0.3]), ("max_norm", [0, 0.25, 0.5, 0.75, 1])):
        counts = [sum(p[name] == v for p in made) for v in values]
        expected = n / len(counts)
        assert sum(counts) == n and sum((c - expected) ** 2 / expected for c in counts) < 2.5 * len(counts) + 5
    whole = [p["epochs"] for p in made]
    assert all(isinstance(v, int) and 1 <= v <= 1000 for v in whole)
    for low, high in ((1, 10), (10, 100), (100, 1001)):  # log-uniform up to the next whole number
        share = math.log(high / low) / math.log(1001)
        assert abs(sum(low <= v < high for v in whole) / n - share) < 4 * math.sqrt(share * (1 - share) / n)


def test_trials_follow_from_the_seed_alone(small, drawn):
    """Of other sweeps with the same space: whatever the timing, how many at once, and the method."""
    first = [t["parameters"] for t in trials(small, drawn)]
    again = run(small, space=drawn["space"], trials=5, seed=11, parallel=1, job={**JOB, "max_seconds": 0.001})
    assert [t["parameters"] for t in trials(small, again)] == first[:5]
    other = run(small, space=drawn["space"], trials=5, seed=12, job={**JOB, "max_seconds": 0.001})
    assert all(a["parameters"] != b for a, b in zip(trials(small, other), first))


# ---- the best ----

def test_the_best_is_published(small):
    for metric, goal, publish in (("val_loss", "minimize", True), ("val_accuracy", "maximize", "if_better"), ("val_loss", "maximize", False)):
        name = unique("best")
        w = run(small, model={"name": name, **NET}, trials=6, metric=metric, publish=publish, **({} if goal != "maximize" or "acc" in metric else {"goal": goal}))
        made = trials(small, w)
        best = (max if goal == "maximize" else min)(t["value"] for t in made)
        assert w["goal"] == goal and w["status"] == "succeeded" and w["best"]["value"] == best
        assert w["best_trial"] == w["best"]["number"] == min(t["number"] for t in made if t["value"] == best)
        assert [t["number"] for t in trials(small, w, "value")] == [t["number"] for t in sorted(made, key=lambda t: (t["value"], t["number"]))]
        # only its version is left
        assert [t["model_version"] is not None for t in made] == [t["number"] == w["best_trial"] for t in made] and w["versions_removed"] == 5
        versions = small.get("/v1/models/%s/versions" % name).json["data"]
        assert [v["version"] for v in versions] == [w["best"]["model_version"]] and versions[0]["job"] == w["best"]["job"]
        aliases = small.get("/v1/models/" + name).json["aliases"]
        assert aliases == ({"default": w["best"]["model_version"]} if publish else {})
        assert w["publication"]["requested"] == publish and w["publication"]["published"] == bool(publish) and w["publication"]["version"] == w["best"]["model_version"]
        assert small.post("/v1/models/%s/predict" % name, {"instances": [{"a": 1, "b": 2}]}).status == (200 if publish else 409)
        job = small.get("/v1/jobs/" + w["best"]["job"]).json
        assert job["publication"]["published"] is False and w["id"] in job["publication"]["reason"] and job["publish"] in (False, "if_better")


def test_if_better_compares_with_what_is_served(small):
    """The served version is measured on the validation rows of each trial: by hand the same numbers decide."""
    name = unique("served")
    good = small.train(model={"name": name, **NET}, dataset="small", target="y", epochs=200, seed=3, early_stopping=False, optimizer={"type": "adam", "learning_rate": 0.05})
    worse = run(small, model=name, trials=3, publish="if_better", space={"optimizer.learning_rate": {"log_range": [1e-6, 1e-5]}})
    assert worse["best"]["value"] > good["metrics"]["val_loss"] and worse["publication"]["published"] is False and "not better" in worse["publication"]["reason"]
    assert small.get("/v1/models/" + name).json["aliases"] == {"default": good["model_version"]}
    better = run(small, model=name, trials=2, publish="if_better", job={**JOB, "epochs": 400}, space={"optimizer.learning_rate": {"choice": [0.08, 0.1]}})
    assert better["best"]["value"] < good["metrics"]["val_loss"]
    assert better["publication"]["published"] is True and better["publication"]["served_version"] == good["model_version"]
    assert small.get("/v1/models/" + name).json["aliases"] == {"default": better["best"]["model_version"]}
    history = small.get("/v1/models/%s/aliases/default/history" % name).json["data"][0]
    assert history["action"] == "publish" and history["job"] == better["best"]["job"]


def test_versions_are_kept_on_request_and_aliased_ones_always(small):
    name = unique("kept")
    w = run(small, model={"name": name, **NET}, trials=4, keep_versions=True)
    assert len(small.get("/v1/models/%s/versions" % name).json["data"]) == 4 and w["versions_removed"] == 0 and w["keep_versions"] is True
    assert all(t["model_version"] for t in trials(small, w))


def test_cross_validation_counts_the_mean(small):
    w = run(small, trials=3, job={"target": "y", "epochs": 2, "validation": {"folds": 3}})
    for t in trials(small, w):
        job = small.get("/v1/jobs/" + t["job"]).json
        assert t["value"] == job["metrics"]["cross_validated_loss"] == pytest.approx(job["cross_validation"]["mean"]["val_loss"], rel=1e-8)


# ---- successive halving ----

def replay(rungs, eta, higher):
    """ASHA as a stopping rule, by hand: who goes on at each arrival."""
    seen, stopped = {}, set()
    for r in rungs:
        assert r["trial"] not in stopped  # nobody goes on after having been stopped
        values = seen.setdefault(r["epoch"], [])
        assert (r["trial"], r["epoch"]) not in {(t, r["epoch"]) for t, _ in values}
        values.append((r["trial"], r["value"]))
        place = 1 + sum((v > r["value"]) if higher else (v < r["value"]) for _, v in values)
        stop = place > max(1, len(values) // eta)
        assert (r["place"], r["arrived"], r["stopped"]) == (place, len(values), stop)
        if stop:
            stopped.add(r["trial"])
    return stopped


@pytest.mark.parametrize("method", [{"asha": {"min_epochs": 1, "eta": 3}}, {"asha": {"min_epochs": 2, "eta": 2}, "metric": "val_accuracy", "parallel": 1}])
def test_asha_replayed_from_the_metrics(small, method):
    w = run(small, method="asha", trials=24, job={**JOB, "epochs": 27}, seed=5, **method)
    listed = small.get("/v1/sweeps/%s/trials" % w["id"]).json
    made, rungs, eta, first = listed["data"], listed["rungs"], w["asha"]["eta"], w["asha"]["min_epochs"]
    metric, higher = w["metric"], w["goal"] == "maximize"
    stopped = replay(rungs, eta, higher)
    assert {t["number"] for t in made if t["stopped"]} == stopped and w["trials"]["stopped"] == len(stopped) >= 8 and w["trials"]["succeeded"] == 24
    epochs = [first * eta ** k for k in range(10) if first * eta ** k < 27]
    for t in made:
        job = small.get("/v1/jobs/" + t["job"]).json
        points = {p["epoch"]: p for p in small.get("/v1/jobs/%s/metrics" % t["job"]).json["data"]}
        own = [r for r in rungs if r["trial"] == t["number"]]
        assert [r["epoch"] for r in own] == epochs[:len(own)] and all(points[r["epoch"]][metric] == r["value"] for r in own)
        assert t["rung"] == (own[-1]["epoch"] if own else None)
        if t["number"] in stopped:  # it trains no epoch more
            assert t["epochs"] == own[-1]["epoch"] == max(points) and job["stop_reason"] == "sweep" and job["stopped_early"] and job["status"] == "succeeded"
            assert job["sweep"]["stopped"] == t["stopped"] and "after epoch %d:" % t["epochs"] in t["stopped"] and metric in t["stopped"]
            assert t["stopped"] in [e["message"] for e in small.get("/v1/jobs/%s/events?limit=1000" % t["job"]).json["data"]]
        else:
            assert t["epochs"] == 27 and job["stop_reason"] is None and len(own) == len(epochs)
    assert w["best"]["value"] == (max if higher else min)(t["value"] for t in made)


def test_a_stopped_trial_keeps_the_weights_of_its_version(small):
    """Its metrics are those of the stored weights: the same training with as many epochs ends with the same bits."""
    name = unique("weights")
    w = run(small, model={"name": name, **NET}, method="asha", trials=6, job={**JOB, "epochs": 9}, parallel=1, keep_versions=True, space={"optimizer.learning_rate": {"choice": [0.1, 0.00001]}})
    for t in [t for t in trials(small, w) if t["stopped"]][:2]:
        job = small.train(model={"name": name + "-again", **NET}, dataset="small", target="y", epochs=t["epochs"], seed=3, early_stopping=False,
                          optimizer={"type": "adam", "learning_rate": t["parameters"]["optimizer.learning_rate"]})
        assert job["metrics"]["val_loss"] == t["value"]
        assert small.weights(name + "-again", job["model_version"]) == small.weights(name, t["model_version"])


# ---- refusals ----

WRONG = [
    ({"space": {"optimizer.lr": {"choice": [1]}}}, "/space/optimizer.lr", "learning_rate"), ({"space": {"batchsize": {"choice": [1]}}}, "/space/batchsize", "did you mean \"batch_size\""),
    ({"space": {"batch_size": {"choice": [8, 0]}}}, "/space/batch_size", "with 0"), ({"space": {"model.layers.3.units": {"choice": [1]}}}, "/space/model.layers.3.units", "no place"),
    ({"space": {"model.layers.0.unit": {"choice": [1]}}}, "/space/model.layers.0.unit", "units"), ({"space": {"epochs.x": {"choice": [1]}}}, "/space/epochs.x", "no place"),
    ({"space": {"dropout": {}}}, "/space/dropout", "expected {\"choice\""), ({"space": {}}, "/space", "1 to 32 paths"), ({"space": []}, "/space", "must be an object"), ({"space": None}, "/space", "must be an object"),
    ({"space": {"l2": {"range": [1, 0]}}}, "/space/l2", "lower one first"), ({"space": {"l2": {"range": [0, 1, 2]}}}, "/space/l2", "two numbers"), ({"space": {"l2": {"range": [0, "x"]}}}, "/space/l2", "two numbers"),
    ({"space": {"l2": {"log_range": [0, 1]}}}, "/space/l2", "begins above 0"), ({"space": {"l2": {"range": [0, 1], "step": 0}}}, "/space/l2", "step must be"),
    ({"space": {"l2": {"range": [0, 1], "step": 1e-9}}}, "/space/l2", "more than 1000"), ({"space": {"l2": {"range": [0, 1], "points": 1}}}, "/space/l2", "from 2 to 1000"),
    ({"space": {"l2": {"choice": []}}}, "/space/l2", "1 to 1000"), ({"space": {"l2": {"choice": [0, 0]}}}, "/space/l2", "same value"), ({"space": {"l2": {"choice": [0], "step": 1}}}, "/space/l2", "neither"),
    ({"space": {"l2": {"choice": [0], "range": [0, 1]}}}, "/space/l2", "expected"), ({"space": {"l2": {"range": [0, 1], "stepp": 1}}}, "/space/l2", "did you mean \"step\""),
    ({"space": {"l2": {"choice": [0]}, "/l2": {"choice": [1]}}}, "/space/~1l2", "same part"), ({"space": {"optimizer": {"choice": ["adam"]}, **RATE}}, "/space/optimizer.learning_rate", "same part"),
    ({"space": {"dataset": {"choice": ["a"]}}}, "/space/dataset", "same in all trials"), ({"space": {"model": {"choice": [{}]}}}, "/space/model", "one model"), ({"space": {"target": {"choice": ["a"]}}}, "/space/target", "same"),
    ({"space": {"a..b": {"choice": [1]}}}, "/space/a..b", "not a path"), ({"space": {"x" * 300: {"choice": [1]}}}, None, "not a path"), ({"space": {"l2": {"choice": [{"a": {"b": [1] * 50}}]}}}, "/space/l2", "l2"),
    ({"space": {"p%d" % i: {"choice": [1]} for i in range(33)}}, "/space", "1 to 32"), ({"space": {"early_stopping": {"choice": [{"x": "y" * 300000}]}}}, "/space", "262144 bytes"),
    ({"job": {**JOB, "columns": {"a": {"x": "y" * 5000000}}}}, "", "4194304 bytes"), ({"method": "grid"}, "/space/optimizer.learning_rate", "\"points\""), ({"method": "bayes"}, "/method", "grid"),
    ({"method": "grid", "space": {n: {"choice": list(range(1, 101))} for n in ("epochs", "batch_size", "threads", "checkpoint_every_epochs")}}, "/space", "100000000 points"),
    ({"method": "grid", "space": {"a%d" % i: {"choice": list(range(1000))} for i in range(32)}}, "/space", "more than"), ({"method": "grid", "trials": 3, "space": {"l2": {"choice": [0]}}}, "/trials", "every point"),
    ({"trials": 0}, "/trials", "at least 1"), ({"trials": 1001}, "/trials", "1000"), ({"trials": 1.5}, "/trials", "integer"), ({"trials": "x"}, "/trials", "integer"), ({"parallel": -1}, "/parallel", "0"),
    ({"metric": "val_acuracy"}, "/goal", "not known"), ({"metric": "val_mae"}, "/metric", "no metric"), ({"metric": 3}, "/metric", "name of a metric"), ({"goal": "up"}, "/goal", "minimize"),
    ({"method": "asha", "asha": {"eta": 1}}, "/asha/eta", "at least 2"), ({"method": "asha", "asha": {"min_epochs": 3}}, "/asha/min_epochs", "less than the epochs"), ({"asha": {}}, "/asha", "method asha"),
    ({"method": "asha", "job": {"target": "y", "epochs": 3, "validation": {"folds": 2}}}, "/job/validation/folds", "cross-validation"), ({"publish": "yes"}, "/publish", "if_better"),
    ({"job": {"epochs": 3}}, "/job", "target"), ({"job": {**JOB, "target": "z"}}, "/job/target", "z"), ({"job": {**JOB, "model": NET}}, "/job/model", "beside job"), ({"job": 3}, "/job", "object"),
    ({"job": {**JOB, "epochs": -1}}, "/job/epochs", "at least 1"), ({"job": {**JOB, "validation": {"fraction": 0}}}, "/metric", "validation rows"), ({"model": "nothing"}, "/model", "no model"),
    ({"model": {"layers": [{"type": "dens"}]}}, "/model/layers/0/type", "did you mean \"dense\""), ({"model": "auto"}, "/model", "no model"), ({"model": 3}, "/model", "name of a model"), ({"model": {"name": "X Y", **NET}}, "/model/name", "lower-case"),
    ({"dataset": "nothing"}, "/dataset", "nothing"), ({"dataset": {"x": [[1]], "y": [1]}}, "/dataset", "name of a dataset"), ({"dataset": "small@9"}, "/dataset", "small@9"), ({"metadata": {"a": 1}}, "/metadata/a", "strings"),
    ({"trails": 3}, "/trails", "did you mean \"trials\""), ({"max_seconds": -1}, "/max_seconds", "0"), ({"keep_versions": 3}, "/keep_versions", "true or false"), ({"seed": -1}, "/seed", "0")]


@pytest.mark.parametrize("more,place,words", WRONG, ids=[json.dumps(m)[:60] for m, _, _ in WRONG])
def test_what_is_refused(small, more, place, words):
    found = pointers(small.post("/v1/sweeps", {"model": NET, "dataset": "small", "job": JOB, "space": RATE, **more}))
    assert (place is None or place in found) and any(words in detail for p, detail in found.items() if place in (None, p)), found


def test_nothing_is_left_of_a_refusal(small):
    before = small.get("/v1/sweeps?limit=1").json["data"]
    name = unique("refused")
    pointers(small.post("/v1/sweeps", {"model": {"name": name, **NET}, "dataset": "small", "job": JOB, "space": {"l2": {"choice": [-1]}}}))
    assert small.get("/v1/sweeps?limit=1").json["data"] == before and small.get("/v1/models/" + name).status == 404
    for path in ("/v1/sweeps/swp_" + "0" * 26, "/v1/sweeps/swp_" + "0" * 26 + "/trials", "/v1/sweeps/x"):
        problem(small.get(path), 404, "not_found")
    problem(small.post("/v1/sweeps/swp_%s/cancel" % ("0" * 26)), 404, "not_found")
    problem(small.delete("/v1/sweeps/swp_" + "0" * 26), 404, "not_found")
    problem(small.get("/v1/sweeps?status=paused"), 422, "invalid")
    problem(small.get("/v1/sweeps/%s/trials?sort=job" % run(small, trials=1)["id"]), 422, "invalid")


def test_a_trial_that_is_invalid_later_fails_alone(small):
    """The corners and the first points are valid, the middle of the list is not."""
    values = [8] * 0 + list(range(2, 30)) + [0] + list(range(30, 58))
    w = run(small, method="grid", space={"batch_size": {"choice": values}}, job={**JOB, "epochs": 1})
    made = trials(small, w)
    (bad,) = [t for t in made if t["status"] == "invalid"]
    assert bad["parameters"] == {"batch_size": 0} and bad["job"] is None and bad["value"] is None and bad["error"]["code"] == "invalid" and "batch_size" in bad["error"]["message"]
    assert w["status"] == "succeeded" and w["trials"]["invalid"] == 1 and w["trials"]["succeeded"] == len(values) - 1


def test_a_sweep_without_a_good_trial_fails(small):
    small.upload("steep", "x,y\n" + "".join("%g,%g\n" % (i, i * i) for i in range(-20, 20)))
    w = run(small, dataset="steep", trials=2, publish=True, job={"target": "y", "epochs": 50, "early_stopping": False}, model={"layers": [{"type": "dense", "units": 4}, {"type": "dense", "units": 1}]},
            space={"optimizer": {"choice": [{"type": "sgd", "learning_rate": 1e6}, {"type": "sgd", "learning_rate": 9e5}]}})
    assert w["status"] == "failed" and w["best"] is None and w["trials"]["failed"] == 2 and "not finite" in w["error"]["message"]
    assert w["publication"]["published"] is False


# ---- habits ----

def test_list_csv_and_metadata(small):
    made = [run(small, trials=2, metadata={"n": str(i)}) for i in range(3)]
    listed = small.all_pages("/v1/sweeps?status=succeeded", limit=2)
    assert [w["id"] for w in listed if w["id"] in {m["id"] for m in made}] == [m["id"] for m in made[::-1]] and listed[0]["metadata"] == {"n": "2"}
    answer = small.get("/v1/sweeps/%s/trials?sort=-value" % made[0]["id"], headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    data = trials(small, made[0], "-value")
    assert [int(r["number"]) for r in rows] == [t["number"] for t in data]
    assert [(float(r["value"]), float(r["optimizer.learning_rate"])) for r in rows] == [(t["value"], t["parameters"]["optimizer.learning_rate"]) for t in data]
    for sort in ("epochs", "training_seconds", "status", "-number"):
        assert {t["number"] for t in trials(small, made[0], sort)} == {0, 1}
    metrics = small.get("/metrics").body.decode()
    assert "backpropd_sweeps 0" in metrics and "backpropd_sweeps_total" in metrics and "backpropd_sweep_trials_total" in metrics


def test_idempotency(small):
    body = {"model": NET, "dataset": "small", "job": JOB, "space": RATE, "trials": 1}
    key = {"Idempotency-Key": unique("sweep")}
    first, again = small.post("/v1/sweeps", body, headers=key), small.post("/v1/sweeps", body, headers=key)
    assert first.status == again.status == 202 and first.json["id"] == again.json["id"] and again.headers["Idempotency-Replayed"] == "true"
    assert first.headers["Location"] == again.headers["Location"] == "/v1/sweeps/" + first.json["id"]
    problem(small.post("/v1/sweeps", {**body, "trials": 2}, headers=key), 422, "idempotency_mismatch")


def test_delete_takes_the_jobs_along(small):
    name = unique("deleted")
    w = run(small, model={"name": name, **NET}, trials=3, publish=True)
    own = run(small, trials=3)
    jobs = [t["job"] for t in trials(small, w)]
    assert small.delete("/v1/jobs/" + jobs[0]).status == 204  # of a sweep that has ended
    assert trials(small, w)[0]["job"] is None and trials(small, w)[0]["value"] is not None
    for one in (w, own):
        assert small.delete("/v1/sweeps/" + one["id"]).status == 204 and small.get("/v1/sweeps/" + one["id"]).status == 404
    assert all(small.get("/v1/jobs/" + job).status == 404 for job in jobs)
    assert small.get("/v1/models/" + name).json["versions"] == 1 and small.get("/v1/models/" + own["id"]).status == 404


def test_max_seconds_ends_it(small):
    w = run(small, model=SLOW, trials=1000, max_seconds=1.5, job=ENDLESS)
    assert w["status"] == "succeeded" and w["trials"]["created"] < 1000 and w["best"] and w["finished_at"] > w["created_at"]
    reasons = {small.get("/v1/jobs/" + t["job"]).json["stop_reason"] for t in trials(small, w) if t["status"] == "succeeded"}
    assert reasons == {"max_seconds"}


# ---- whatever happens ----

def test_cancel_and_what_is_in_use(fresh):
    server = fresh("--workers", "1")
    server.upload("small", ROWS)
    name = unique("cancelled")
    one = sweep(server, model={"name": name, **SLOW}, trials=50, job=ENDLESS)
    (job,) = harness.until(lambda: [t["job"] for t in trials(server, one) if t["status"] == "running"], what="a running trial")
    assert one["id"] in problem(server.delete("/v1/datasets/small"), 409, "in_use")["detail"]
    problem(server.delete("/v1/models/" + name), 409, "in_use")
    problem(server.delete("/v1/sweeps/" + one["id"]), 409, "conflict")
    problem(server.delete("/v1/jobs/" + job), 409, "conflict")
    server.post("/v1/jobs/%s/cancel" % job)  # one trial: the sweep goes on
    harness.until(lambda: [t for t in trials(server, one) if t["number"] == 1 and t["status"] == "running"], what="the next trial")
    problem(server.delete("/v1/jobs/" + job), 409, "conflict")
    assert server.post("/v1/sweeps/%s/cancel" % one["id"]).json["status"] in ("cancelling", "cancelled")
    w = ended(server, one)
    assert w["status"] == "cancelled" and w["trials"]["created"] == 2 and w["trials"]["cancelled"] == 2 and w["publication"]["published"] is False
    assert server.post("/v1/sweeps/%s/cancel" % one["id"]).json["status"] == "cancelled"
    assert server.delete("/v1/jobs/" + job).status == 204 and server.delete("/v1/datasets/small").status == 204 and server.delete("/v1/models/" + name).status == 204


def test_retention_waits_for_the_end(fresh):
    """Two days old by the database, and more versions than the server keeps: what a sweep needs stays until it has ended."""
    server = fresh("--workers", "1", "--keep-jobs-days", "1", "--keep-versions", "1")
    server.upload("small", ROWS)
    one = sweep(server, model={"name": "kept", **SLOW}, method="grid", keep_versions=True, space={"epochs": {"choice": [1, 2, 3, 1000000]}}, job={"target": "y", "early_stopping": False})
    harness.until(lambda: server.get("/v1/sweeps/" + one["id"]).json["trials"]["succeeded"] == 3, what="three trials")
    old = "UPDATE %s SET finished_at = finished_at - 2 * 86400000 WHERE finished_at > 0"

    def age(table):
        assert server.stop() == 0
        with sqlite3.connect(server.folder + "/backpropd.db") as db:
            db.execute(old % table)
        db.close()
        server.start()

    age("jobs")
    harness.until(lambda: server.get("/v1/sweeps/" + one["id"]).json["trials"]["running"] == 1, what="the trial that goes on")
    assert all(t["job"] and t["model_version"] for t in trials(server, one)[:3])
    server.post("/v1/sweeps/%s/cancel" % one["id"])
    ended(server, one)
    harness.until(lambda: server.get("/v1/models/kept").json["versions"] == 1, what="the removal of versions")
    age("jobs")
    age("sweeps")
    harness.until(lambda: server.get("/v1/sweeps/" + one["id"]).status == 404, what="the removal of the sweep")
    assert server.get("/v1/jobs").json["data"] == []


def test_trials_take_turns_with_other_jobs(fresh):
    server = fresh("--workers", "1")
    server.upload("small", ROWS)
    blocker = server.submit(model=SLOW, dataset="small", target="y", epochs=1000000)["id"]
    server.wait(blocker, ("running",))
    one = sweep(server, trials=200)
    alone = [server.submit(model=NET, dataset="small", target="y", epochs=1)["id"] for _ in range(3)]
    server.post("/v1/jobs/%s/cancel" % blocker)
    last = max(server.wait(job)["started_at"] for job in alone)
    queued = server.get("/v1/jobs?status=queued&limit=1000").json["data"]
    assert len(queued) <= 1
    server.post("/v1/sweeps/%s/cancel" % one["id"])
    w = ended(server, one)
    started = [server.get("/v1/jobs/" + t["job"]).json["started_at"] for t in trials(server, w)[:20]]
    assert sum(at is not None and at <= last for at in started) < 20  # they have not waited for the whole sweep


def test_parallel_is_a_bound(fresh):
    server = fresh("--workers", "3")
    server.upload("small", ROWS)
    one, two = sweep(server, model=SLOW, trials=9, parallel=1, job=ENDLESS), sweep(server, model=SLOW, trials=9, job=ENDLESS)
    harness.until(lambda: server.get("/v1/sweeps/" + two["id"]).json["trials"]["running"] == 2, what="the free slots")
    for w, most in ((one, 1), (two, 3)):
        counts = server.get("/v1/sweeps/" + w["id"]).json["trials"]
        assert counts["running"] + counts["queued"] <= most
    for w in (one, two):
        server.post("/v1/sweeps/%s/cancel" % w["id"])
        assert ended(server, w)["status"] == "cancelled"


def test_many_sweeps_at_once(small):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda i: sweep(small, trials=3, seed=i, parallel=1 + i % 2), range(12)))
    for i, one in enumerate(made):
        w = ended(small, one)
        assert w["status"] == "succeeded" and w["trials"]["succeeded"] == 3 and w["seed"] == i
        assert len({t["job"] for t in trials(small, w)}) == 3


def test_kills_lose_and_double_nothing(fresh):
    """kill -9 of the server and of its job processes in the middle: the same trials, each once, with the same values as in an undisturbed sweep."""
    server = fresh("--workers", "2", "--retry-seconds", "0")
    server.upload("small", ROWS)
    more = {"trials": 30, "job": {**JOB, "epochs": 60, "checkpoint_every_epochs": 5}, "space": {"optimizer.learning_rate": {"log_range": [0.0001, 0.1]}, "model.layers.0.units": {"choice": [2, 4, 8]}}}
    calm = ended(server, sweep(server, **more))
    expected = [(t["parameters"], t["value"]) for t in trials(server, calm)]
    one = sweep(server, **more)
    halving = sweep(server, **more, method="asha", asha={"min_epochs": 2, "eta": 2})
    for kill in range(6):
        created = harness.until(lambda: (lambda t: t["created"] if t["created"] >= min(30, 4 * kill + 2) else None)(server.get("/v1/sweeps/" + one["id"]).json["trials"]), what="more trials")
        if kill % 2:
            for pid in server.children():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        else:
            server.restart(kill=True)
        assert server.get("/v1/sweeps/" + one["id"]).json["trials"]["created"] >= created
    w, h = ended(server, one), ended(server, halving)
    assert [(t["parameters"], t["value"]) for t in trials(server, w)] == expected and w["best_trial"] == calm["best_trial"]
    assert len({t["job"] for t in trials(server, w)}) == 30 and w["trials"]["succeeded"] == 30
    listed = server.get("/v1/sweeps/%s/trials" % h["id"]).json
    assert [t["parameters"] for t in listed["data"]] == [p for p, _ in expected]
    stopped = replay(listed["rungs"], 2, False)
    assert {t["number"] for t in listed["data"] if t["stopped"]} == stopped
    for t in listed["data"]:
        if t["number"] not in stopped and t["status"] == "succeeded":
            assert t["value"] == expected[t["number"]][1] and t["epochs"] == 60
    assert server.stop() == 0
    with sqlite3.connect("file:%s?mode=ro" % os.path.join(server.folder, "backpropd.db"), uri=True) as database:
        assert database.execute("SELECT count(*), count(DISTINCT job) FROM trials WHERE sweep = ?", (w["id"],)).fetchone() == (30, 30)
        assert database.execute("SELECT count(*) FROM jobs WHERE id NOT IN (SELECT job FROM trials)").fetchone() == (0,)
    database.close()
    server.start()


def test_a_cancelled_sweep_stays_cancelled_over_a_kill(fresh):
    server = fresh("--workers", "1")
    server.upload("small", ROWS)
    one = sweep(server, model=SLOW, trials=50, job=ENDLESS)
    harness.until(lambda: server.get("/v1/sweeps/" + one["id"]).json["trials"]["running"], what="a running trial")
    server.post("/v1/sweeps/%s/cancel" % one["id"])
    server.restart(kill=True)
    w = ended(server, one)
    assert w["status"] == "cancelled" and w["trials"]["created"] == 1 and w["trials"]["cancelled"] == 1
