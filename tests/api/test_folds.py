"""Goal: {"folds":5} is a cross-validation as scikit-learn's: its folds, its spread, its scores; and one job, which nothing that is killed can change."""
import statistics
import warnings

import pytest

import harness
from harness import TooLate, pointers, remarks, unique

DENSE = {"type": "dense", "units": 16, "activation": "relu"}
ADAM = {"type": "adam", "learning_rate": 0.01}


def net(name, units=16):
    return {"name": name, "layers": [{**DENSE, "units": units}]}


def events(server, job, kind):
    return server.all_pages("/v1/jobs/%s/events?type=%s" % (job, kind))


def version_of(server, name):
    return server.get("/v1/models/%s/versions/latest" % name).json


def test_folds_then_a_fit_on_all_rows(server):
    """penguins: 152, 68 and 124 rows of three species, 344 in all, over 5 folds."""
    name, plain = unique("folds"), unique("plain")
    common = {"dataset": "penguins", "target": "species", "epochs": 12, "seed": 3, "optimizer": ADAM}
    job = server.train(model=net(name), validation={"folds": 5}, **common)
    server.train(model=net(plain), validation={"fraction": 0}, **common)
    result, version = job["cross_validation"], version_of(server, name)
    assert job["options"]["validation"] == {"folds": 5} and remarks(job) == []
    assert [f["fold"] for f in result["folds"]] == [1, 2, 3, 4, 5]
    assert sorted(f["validation_rows"] for f in result["folds"]) == [68, 69, 69, 69, 69] and all(f["train_rows"] + f["validation_rows"] == 344 for f in result["folds"])
    assert all((f["epoch"], f["epochs"]) == (12, 12) and set(f["metrics"]) == {"loss", "val_loss", "accuracy", "val_accuracy"} for f in result["folds"])
    for metric in ("loss", "val_loss", "accuracy", "val_accuracy"):
        values = [f["metrics"][metric] for f in result["folds"]]
        assert len(set(values)) > 1
        assert result["mean"][metric] == pytest.approx(statistics.mean(values), rel=1e-8) and result["std"][metric] == pytest.approx(statistics.stdev(values), rel=1e-7)
    assert version["metrics"] == job["metrics"] == {"cross_validated_loss": result["mean"]["val_loss"], "cross_validated_accuracy": result["mean"]["val_accuracy"]}
    assert version["cross_validation"] == result and (version["rows_trained"], version["rows_validated"], version["epochs_trained"]) == (344, 0, 12)
    assert server.weights(name) == server.weights(plain)  # the version is what a training on all rows with this seed is


def test_epochs_go_on_counting(server):
    job = server.train(model=net(unique("curve")), dataset="iris", target="class", epochs=4, seed=3, validation={"folds": 2})
    assert {k: job["progress"][k] for k in ("epoch", "epochs", "folds", "fold", "fraction")} == {"epoch": 12, "epochs": 12, "folds": 2, "fold": None, "fraction": 1}
    told = [e["data"] for e in events(server, job["id"], "metrics")]
    assert [(e["epoch"], e["fold"], e["fold_epoch"]) for e in told] == [(4 * i + k, fold, k) for i, fold in enumerate((1, 2, None)) for k in (1, 2, 3, 4)]
    assert all(("val_loss" in e) == (e["fold"] is not None) for e in told)
    for path in "", "?names=val_loss":
        history = server.get("/v1/jobs/%s/metrics%s" % (job["id"], path)).json
        assert [(p["epoch"], p["fold"], p["fold_epoch"], p["val_loss"]) for p in history["data"]] == [(e["epoch"], e["fold"], e["fold_epoch"], e.get("val_loss")) for e in told]
    assert "fold" not in history["names"]
    ended = [e for e in events(server, job["id"], "log") if e["data"]]
    assert [e["data"] for e in ended] == job["cross_validation"]["folds"] and ended[1]["message"].startswith("fold 2 of 2 has ended: val_loss ")


def test_the_last_fit_stops_where_the_folds_did(server):
    name, plain = unique("stop"), unique("stopped")
    common = {"dataset": "wine", "target": "class", "epochs": 300, "seed": 5, "optimizer": {"type": "adam", "learning_rate": 0.02}, "schedule": "cosine"}
    job = server.train(model=net(name), validation={"folds": 4}, early_stopping={"patience": 8}, **common)
    folds, version = job["cross_validation"]["folds"], version_of(server, name)
    assert all(f["epochs"] == f["epoch"] + 8 < 300 for f in folds) and len({f["epoch"] for f in folds}) > 1
    mean = int(sum(f["epoch"] for f in folds) / 4 + 0.5)
    assert version["epoch"] == version["epochs_trained"] == mean and version["options"]["early_stopping"]["patience"] == 8
    assert remarks(job) == ["the fit on all rows runs for %d epochs, the rounded mean of the best epochs of early stopping in the 4 folds" % mean]
    assert job["progress"]["epoch"] == job["progress"]["epochs"] == sum(f["epochs"] for f in folds) + mean and job["progress"]["fraction"] == 1
    for fold in folds:  # a fold's result is that of its best epoch
        at = {e["data"]["fold_epoch"]: e["data"] for e in events(server, job["id"], "metrics") if e["data"]["fold"] == fold["fold"]}
        assert min(at, key=lambda k: at[k]["val_loss"]) == fold["epoch"] and at[fold["epoch"]]["val_loss"] == fold["metrics"]["val_loss"]
    server.train(model=net(plain), validation={"fraction": 0}, **{**common, "epochs": mean})
    assert server.weights(name) != server.weights(plain)  # the schedule is that of the folds, cut off, not a shorter one


def test_combined_with_other_options(server):
    """Groups, weights of classes and of rows, columns, windows, a range test, several outputs: all in one, twice the same."""
    data, names = unique("mixed"), [unique("mixed") for _ in range(2)]
    rows = [{"g": "g%d" % (i % 9), "a": None if i % 11 == 0 else (i * 7 % 50) / 10, "k": "uvw"[i % 3] if i else "rare", "w": 1 + i % 2, "y": ["no", "yes"][(i * 7 % 50) > 20], "z": (i * 7 % 50) / 3 + 0.1} for i in range(180)]
    server.post_json(data, records=rows)
    for name in names:
        job = server.train(model=net(name), dataset=data, target=["y", "z"], epochs=5, seed=2, batch_size=8, validation={"folds": 3, "group": "g"}, class_weights="balanced", sample_weight="w",
                           columns={"a": {"scale": "quantile", "missing": "median"}, "k": {"unseen": "ignore"}}, window_rows=64, optimizer={"type": "adam", "learning_rate": "auto"})
        assert [f["validation_rows"] for f in job["cross_validation"]["folds"]] == [60, 60, 60] and job["features"] == ["a", "k"]
        assert {"cross_validated_loss", "cross_validated_y_accuracy", "cross_validated_z_r2"} <= set(job["metrics"])
    assert server.weights(names[0]) == server.weights(names[1])
    assert len({f["metrics"]["learning_rate"] for f in job["cross_validation"]["folds"]}) > 1  # each fit found its own


@pytest.mark.parametrize("validation, pointer, words", [
    ({"folds": 1}, "/validation/folds", "at least 2"), ({"folds": 21}, "/validation/folds", "at most 20"), ({"folds": "5"}, "/validation/folds", "5"), ({"folds": None}, "/validation/folds", "null"),
    ({"folds": 5, "fraction": 0.2}, "/validation/fraction", "leave fraction out"), ({"folds": 5, "fold": 2}, "/validation/fold", "folds"), ({"folds": 5, "time": "x"}, "/validation/time", "only be combined with group"),
    ({"folds": 15}, "/validation/folds", "at least 15 rows"), ({"folds": 3, "group": "k"}, "/validation/group", "2 groups"), ({"folds": 3, "group": "y"}, "/validation/group", "target"),
    ({"folds": 3, "group": "q"}, "/validation/group", "no column")])
def test_wrong_folds(server, validation, pointer, words):
    data = unique("few")
    server.post_json(data, columns={"k": ["u", "v"] * 5, "x": list(range(10)), "y": [v + 0.5 for v in range(10)]})
    answer = server.post("/v1/jobs", {"model": {"layers": []}, "dataset": data, "target": "y", "task": "regression", "validation": validation})
    found = pointers(answer)
    assert pointer in found and words in found[pointer], found


def test_the_memory_estimate(server):
    body = {"definition": {"layers": [DENSE]}, "dataset": "digits", "target": "digit"}
    none, folds = (server.post("/v1/models/validate", {**body, "validation": v}).json["memory_bytes"] for v in ({"fraction": 0}, {"folds": 5}))
    assert none <= folds < 1.1 * none
    assert pointers(server.post("/v1/models/validate", {**body, "validation": {"folds": 2000}})).keys() == {"/validation/folds"}


# ---- while it runs ------------------------------------------------------------------------------------------------------------------

LAYERS = [{"type": "dense", "units": 256, "activation": "relu"}, {"type": "dropout", "rate": 0.2}, {"type": "dense", "units": 128, "activation": "tanh"}]
LONG = {"dataset": "digits", "target": "digit", "epochs": 40, "seed": 11, "batch_size": 32, "validation": {"folds": 3}, "checkpoint_every_epochs": 2, "optimizer": {"type": "adam", "learning_rate": 0.001}}
VARIANTS = {"plain": {}, "stopping": {"early_stopping": {"metric": "val_accuracy", "patience": 25}, "class_weights": "balanced"}, "windows": {"window_rows": 300, "mixup": 0.2}}


def submit(server, variant="plain", **more):
    if server.get("/v1/datasets/digits").status == 404:
        server.upload("digits", harness.DATA / "digits.csv")
    name = unique("long")
    return name, server.submit(model={"name": name, "layers": LAYERS}, **{**LONG, **VARIANTS[variant], **more})["id"]


def result(server, name, job):
    ended = server.wait(job)
    assert ended["status"] == "succeeded", ended
    history = server.get("/v1/jobs/%s/metrics?max_points=100000" % job).json["data"]
    assert [p["epoch"] for p in history] == list(range(1, len(history) + 1))
    version = version_of(server, name)
    return {"weights": server.weights(name), "history": history, "folds": ended["cross_validation"], "best": ended["best"], "warnings": ended["warnings"],
            "version": {k: version[k] for k in ("metrics", "cross_validation", "epochs_trained", "preprocessing", "options")}}, ended


@pytest.fixture(scope="module")
def undisturbed():
    server = harness.Server("--workers", "2")
    jobs, results = {variant: submit(server, variant) for variant in VARIANTS}, {}
    for variant, (name, job) in jobs.items():
        results[variant], ended = result(server, name, job)
        assert ended["attempt"] == 1 and ended["resumed_from_epoch"] is None
    assert server.stop() == 0
    server.remove()
    return results


def in_fold(server, job, fold, epochs=6):
    """Until it is this many epochs into a fit; the job at that moment."""
    return server.wait(job, lambda j: j["status"] == "running" and j["progress"]["fold"] == fold and len(j["cross_validation"]["folds"]) == (fold or 4) - 1
                       and j["progress"]["epoch"] >= sum(f["epochs"] for f in j["cross_validation"]["folds"]) + epochs)


@pytest.mark.parametrize("variant, disturb", [("plain", "server"), ("stopping", "process"), ("windows", "process")])
@harness.again_if_too_late
def test_kill_9_in_every_fit(fresh, undisturbed, variant, disturb):
    """Killed in the first fold, in the third and in the fit on all rows: no finished fold is trained again, and the bits are those of an unbroken run."""
    server = fresh("--workers", "1")
    name, job = submit(server, variant)
    for count, fold in enumerate((1, 3, None)):
        before = in_fold(server, job, fold, 3 if fold is None else 6)
        if disturb == "process":
            server.kill_process_of(job)
        else:
            server.restart(kill=True)
        now = server.wait(job, lambda j: j["attempt"] == count + 2 and j["resumed_from_epoch"] not in (None, before["resumed_from_epoch"]))
        assert now["resumed_from_epoch"] >= sum(f["epochs"] for f in before["cross_validation"]["folds"])
        assert now["cross_validation"]["folds"][:(fold or 4) - 1] == before["cross_validation"]["folds"]
    got, ended = result(server, name, job)
    assert ended["attempt"] == 4
    assert {e["attempt"] for e in events(server, job, "metrics") if e["data"]["fold"] == 2} == {2}  # by that alone which began with a part of fold 1
    assert got == undisturbed[variant]


@harness.again_if_too_late
def test_sigterm_gives_the_fold_back(fresh, undisturbed):
    server = fresh("--workers", "1")
    name, job = submit(server, checkpoint_every_epochs=1000000)
    progress = in_fold(server, job, 2)["progress"]
    at, samples = progress["epoch"], 3 * 40 * 1198 + 40 * 1797  # of all fits: two thirds of the rows three times, then all of them
    assert progress["epochs"] == 160 and -1e-9 < progress["fraction"] - at * 1198 / samples < 1199 / samples and progress["eta_seconds"] > 0
    server.restart()
    server.wait(job, lambda j: j["attempt"] >= 2)
    got, ended = result(server, name, job)
    assert ended["attempt"] == 2 and ended["resumed_from_epoch"] >= at
    assert got["weights"] == undisturbed["plain"]["weights"] and got["folds"] == undisturbed["plain"]["folds"]


@pytest.mark.parametrize("fold", [1, 2, None])
@harness.again_if_too_late
def test_cancelled_in_any_fit(fresh, fold):
    server = fresh("--workers", "1")
    _, job = submit(server, validation={"folds": 2})
    finished = (fold or 3) - 1
    server.wait(job, lambda j: j["status"] == "running" and len(j["cross_validation"]["folds"]) == finished and j["progress"]["fold"] == fold)
    assert server.post("/v1/jobs/%s/cancel" % job).status == 200
    ended = server.wait(job, ("cancelled",))
    if len(ended["cross_validation"]["folds"]) > finished:
        raise TooLate("another fold had ended before it was cancelled")
    assert ended["model_version"] is None and len(ended["cross_validation"]["folds"]) == finished
    assert (ended["cross_validation"]["mean"] is None) == (fold is not None)


def test_divergence_names_the_fold(server):
    """One row is out of all bounds. It validates in the first fold with this seed, and trains in the second."""
    data = unique("wild")
    server.post_json(data, columns={"x": [3e38 if i == 0 else i / 10 for i in range(30)], "y": [i / 7 for i in range(30)]})
    ended = server.wait(server.submit(model={"layers": [DENSE]}, dataset=data, target="y", epochs=4, seed=3, columns={"x": {"scale": "none"}}, validation={"folds": 3})["id"])
    assert ended["status"] == "failed" and ended["error"]["code"] == "diverged" and ended["error"]["message"].startswith("fold 2 of 3: the loss is not finite any more in epoch 1 of this fit")
    assert ended["error"]["fold"] == 2 and "model" not in ended["error"]  # no epoch of that fold was finite
    assert ended["error"]["message"].endswith("No weights are kept: no epoch ended with a finite loss; the metrics of the 1 finished fold are in cross_validation")
    assert [f["fold"] for f in ended["cross_validation"]["folds"]] == [1] and ended["cross_validation"]["folds"][0]["metrics"]["val_loss"] > 1e30


@pytest.mark.parametrize("stopping", [{}, {"early_stopping": {"patience": 1000}}])
def test_a_diverged_fold_leaves_its_last_good_epoch(server, stopping):
    """Every epoch, one step, is worse than the one before, until the loss is not finite: the first fold diverges, and what it had answers predictions."""
    records = [{"a": i % 7, "y": i % 5 + 0.5} for i in range(50)]
    job = server.wait(server.submit(model={"layers": []}, dataset={"records": records}, target="y", task="regression", epochs=200, batch_size=50, seed=1,
                                    optimizer={"type": "sgd", "learning_rate": 3}, validation={"folds": 2}, **stopping)["id"])
    error, history = job["error"], server.get("/v1/jobs/%s/metrics" % job["id"]).json["data"]
    assert (job["status"], error["code"], error["fold"], error["model"]) == ("failed", "diverged", 1, job["id"])
    assert "fold 1 of 2: the loss is not finite any more in epoch %d of this fit" % (len(history) + 1) in error["message"] and "trained on its 25 rows" in error["message"]
    assert error["epoch"] == (1 if stopping else len(history)) and job["cross_validation"]["folds"] == []
    version, kept = server.get("/v1/models/%s/versions/1" % job["id"]).json, history[error["epoch"] - 1]
    assert (version["epoch"], version["rows_trained"], version["rows_validated"]) == (error["epoch"], 25, 25)
    assert version["metrics"]["loss"] == kept["loss"] and version["metrics"]["val_loss"] == kept["val_loss"]
    # A line by the a of the fold's own 25 rows: the prediction is as far from linear as float32 rounds.
    low, middle, high = (p["value"] for p in server.predict(job["id"], [{"a": 1}, {"a": 2}, {"a": 3}]))
    assert middle == pytest.approx((low + high) / 2, rel=1e-5)


# ---- as scikit-learn ------------------------------------------------------------------------------------------------------------------


def test_the_mean_is_scikit_learns(server):
    """The same network on folds of the same kind: the means differ by less than the folds do."""
    from sklearn.datasets import load_wine
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    x, y = load_wine(return_X_y=True)
    job = server.train(model=net(unique("wine"), 8), dataset="wine", target="class", epochs=12, seed=1, optimizer=ADAM, batch_size=32, validation={"folds": 5})
    peer = make_pipeline(StandardScaler(), MLPClassifier((8,), activation="relu", solver="adam", alpha=0, batch_size=32, learning_rate_init=0.01, max_iter=12, random_state=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = cross_val_score(peer, x, y, cv=StratifiedKFold(5, shuffle=True, random_state=1))
    ours, spread = job["metrics"]["cross_validated_accuracy"], max(theirs.std(ddof=1), job["cross_validation"]["std"]["val_accuracy"])
    assert theirs.mean() > 0.85 and abs(ours - theirs.mean()) < max(2 * spread, 0.05), (ours, theirs)
    sizes = sorted(len(test) for _, test in StratifiedKFold(5, shuffle=True, random_state=1).split(x, y))
    assert sorted(f["validation_rows"] for f in job["cross_validation"]["folds"]) == sizes
