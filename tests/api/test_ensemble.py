"""Goal: a table and a target are enough. A job without a network trains an ensemble, tells what it is worth by rows that it was not trained on, survives what a job survives, and
predicts what its members predict."""
import csv
import io
import math
import random

import numpy
import pytest

import harness
from harness import unique

TWO = [{"type": "dense", "units": 6, "activation": "tanh"}]


def pointers(answer):
    assert answer.status == 422, answer
    return {e["pointer"]: e["detail"] for e in answer.json["errors"]}


def tensors(server, name):
    return {k: numpy.frombuffer(v, dtype="<f4") for k, v in server.weights(name).items()}


def plane(rows, seed, noise=0.1):
    draw = random.Random(seed)
    points = [(draw.gauss(0, 1), draw.gauss(0, 1)) for _ in range(rows)]
    return [(a, b, math.sin(2 * a) + b * b + draw.gauss(0, noise)) for a, b in points]


def as_csv(rows):
    return "a,b,y\n" + "".join("%r,%r,%r\n" % row for row in rows)


def test_a_table_and_a_target(server):
    job = server.train(dataset="penguins", target="species", seed=1, epochs=40)
    assert job["model"] == job["id"] and job["ensemble"]["effort"] == "balanced" and "balanced: " in job["ensemble"]["chosen"]
    families = job["ensemble"]["families"]
    assert len(families) > 1 and job["ensemble"]["members"] == 5 * len(families)
    assert job["progress"]["fraction"] == 1 and job["progress"]["members_finished"] == job["progress"]["members"] == 5 * len(families)
    found = job["cross_validation"]
    assert len(found["folds"]) == 5 * len(families) and {f["fold"] for f in found["folds"]} == {1, 2, 3, 4, 5}
    assert sum(f["weight"] for f in found["families"]) == pytest.approx(1, abs=1e-6)
    assert job["metrics"]["cross_validated_accuracy"] == found["mean"]["accuracy"] > 0.97 and found["std"]["accuracy"] < 0.05
    assert sum(f["validation_rows"] for f in found["folds"]) == 344 * len(families)
    rows = list(csv.DictReader(io.StringIO((harness.DATA / "penguins.csv").read_text())))
    said = server.predict(job["model"], [{k: v for k, v in r.items() if k != "species" and v != ""} for r in rows])
    assert sum(p["label"] == r["species"] for p, r in zip(said, rows)) > 0.98 * 344
    assert all(sum(p["probabilities"].values()) == pytest.approx(1, abs=1e-5) for p in said)


def test_the_average_is_that_of_the_members(server):
    """Forward passes in NumPy, from the stored weights."""
    name, rows = unique("average"), plane(200, 1)
    server.upload(name, as_csv(rows))
    scales = {"a": {"scale": "none"}, "b": {"scale": "none"}}
    server.train(model={"name": name, "layers": TWO}, dataset=name, target="y", epochs=20, columns=scales, validation={"folds": 4}, ensemble=True, seed=3)
    w = tensors(server, name)
    version = server.get("/v1/models/%s/versions/1" % name).json
    target = version["preprocessing"]["target"]
    x = numpy.array([row[:2] for row in rows[:50]], dtype="f8")
    folds = []
    for fold in range(1, 5):
        hidden = numpy.tanh(x @ w["%d_dense_1/kernel" % fold].reshape(2, 6) + w["%d_dense_1/bias" % fold])
        folds.append(hidden @ w["%d_dense_2/kernel" % fold].reshape(6, 1) + w["%d_dense_2/bias" % fold])
    assert list(w["average_1/weights"]) == [0.25] * 4 and list(w["prediction/weights"]) == [1]
    assert max(abs(folds[0] - folds[1]))[0] > 0.01
    expected = sum(folds)[:, 0] / 4 * target["std"] + target["mean"]
    said = [p["value"] for p in server.predict(name, [{"a": a, "b": b} for a, b, _ in rows[:50]])]
    assert said == pytest.approx(list(expected), abs=1e-4)
    one_by_one = [server.predict(name, [{"a": a, "b": b}])[0]["value"] for a, b, _ in rows[:20]]
    assert one_by_one == said[:20]  # the same bits in every batch


def test_the_estimate_is_that_of_rows_held_out(server):
    """Labels that are noise cannot be predicted: an estimate from rows that were trained on would say they can."""
    draw = random.Random(5)
    name = unique("noise")
    server.upload(name, "a,b,c,y\n" + "".join("%r,%r,%r,%s\n" % (draw.random(), draw.random(), draw.random(), draw.choice("pq")) for _ in range(300)))
    job = server.train(dataset=name, target="y", seed=2, effort="fast")
    assert 0.35 < job["metrics"]["cross_validated_accuracy"] < 0.65 and job["metrics"]["cross_validated_log_loss"] > 0.66


def test_numbers_with_outliers_rare_categories_constants_and_ids(server):
    draw = random.Random(9)
    rows = []
    for i in range(240):
        a = draw.gauss(0, 1)
        kind = draw.choice("uvw") if i % 80 else "only%d" % i
        rows.append("id%d,7,%r,%s,%s,%r" % (i, a if i not in (3, 77) else 1e7, kind, "" if i % 9 == 0 else repr(draw.random()), 3 * a + (kind == "u") + draw.gauss(0, 0.1) if i not in (3, 77) else 2.0))
    name = unique("rough")
    server.upload(name, "id,constant,a,kind,gaps,y\n" + "\n".join(rows) + "\n")
    job = server.train(dataset=name, target="y", seed=1, effort="fast")
    assert job["metrics"]["cross_validated_r2"] > 0.9, job["metrics"]
    (said,) = server.predict(job["model"], [{"id": "new", "constant": 7, "a": 1, "kind": "never", "gaps": None}])
    assert 1 < said["value"] < 5


def test_one_percent_of_a_class(server):
    draw = random.Random(4)
    name = unique("rare")
    rows = [(draw.gauss(0, 1), draw.gauss(0, 1)) for _ in range(600)]
    server.upload(name, "a,b,y\n" + "".join("%r,%r,%s\n" % (a + (4 if i % 100 == 0 else 0), b, "yes" if i % 100 == 0 else "no") for i, (a, b) in enumerate(rows)))
    job = server.train(dataset=name, target="y", seed=1, effort="fast")
    assert job["metrics"]["cross_validated_accuracy"] >= 0.985


@pytest.mark.parametrize("effort, families, repeats", [("fast", ["linear", "plain"], 1), ("balanced", ["linear", "plain", "tabm", "realmlp"], 1), ("best", ["linear", "plain", "tabm", "realmlp"], 3)])
def test_effort(server, effort, families, repeats):
    job = server.train(dataset="iris", target="class", effort=effort, epochs=3, seed=1)
    assert [f["name"] for f in job["ensemble"]["families"]] == families
    assert job["ensemble"]["repeats"] == repeats and job["ensemble"]["members"] == 5 * repeats * len(job["ensemble"]["families"])


def test_the_model_remembers_that_it_has_no_network(server):
    name = unique("auto")
    server.train(model={"name": name}, dataset="iris", target="class", epochs=3, seed=1)
    assert server.get("/v1/models/" + name).json["definition"] == {"auto": True}
    job = server.train(model=name, dataset="iris", target="class", epochs=3, seed=1)
    assert job["model_version"] == 2 and job["ensemble"]["effort"] == "balanced"
    again = server.train(model="auto", dataset="iris", target="class", epochs=3, seed=1)
    assert again["model"] == again["id"]


@pytest.mark.parametrize("validation, folds, members", [({"fraction": 0.25}, None, 6), ({"folds": 3}, 3, 6), ({"group": "g"}, 5, 10), ({"time": "t"}, None, 6), ({"folds": 4, "group": "g"}, 4, 8)])
def test_validation(server, validation, folds, members):
    draw = random.Random(2)
    name = unique("split")
    server.upload(name, "g,t,a,y\n" + "".join("g%d,%d,%r,%s\n" % (i % 12, i, a, "p" if a > 0 else "q") for i, a in enumerate(draw.gauss(0, 1) for _ in range(120))))
    job = server.train(dataset=name, target="y", features=["a"], validation=validation, effort="fast", epochs=3, seed=1)
    assert job["ensemble"]["members"] == members and len(job["cross_validation"]["folds"]) == members
    assert {f.get("fold") for f in job["cross_validation"]["folds"]} == (set(range(1, folds + 1)) if folds else {None})


@pytest.mark.parametrize("more, pointer, words", [
    ({"model": {"layers": TWO}, "effort": "fast"}, "/effort", "without a network"),
    ({"model": {"layers": TWO}, "ensemble": True}, "/ensemble", "folds"),
    ({"effort": "huge"}, "/effort", "balanced"), ({"effort": 3}, "/effort", "balanced"), ({"ensemble": "yes"}, "/ensemble", "true"),
    ({"model": 7}, "/model", "auto"), ({"model": {"layers": TWO}, "validation": {"folds": 17}, "ensemble": True}, "/validation/folds", "16"),
    ({"validation": {"fraction": 0}}, "/validation", "validate"), ({"target": "nothing"}, "/target", "nothing"),
    ({"columns": {"island": {"encode": "target"}}}, "/columns", "judge"),
])
def test_refusals(server, more, pointer, words):
    answer = server.post("/v1/jobs", {"dataset": "penguins", "target": "species", **more})
    found = pointers(answer)
    assert any(p.startswith(pointer) and words in d for p, d in found.items()), found


def outcome(server, job):
    version = server.get("/v1/models/%s/versions/1" % job["model"]).json
    return {k: v.tobytes() for k, v in tensors(server, job["model"]).items()}, version["metrics"], version["cross_validation"], version["epochs_trained"]


@harness.again_if_too_late
def test_kill_9_of_the_process_and_of_the_server(fresh):
    """Finished members are kept, the others are trained again: the same bits, whatever was killed, with any number of threads."""
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    asked = {"dataset": "digits", "target": "digit", "seed": 6, "epochs": 500, "early_stopping": False, "effort": "fast", "batch_size": 16}
    whole = server.train(threads=1, **asked)
    expected = outcome(server, whole)
    for kill, threads in (("process", 2), ("server", 1)):
        job = server.submit(threads=threads, **asked)["id"]
        harness.until(lambda: server.raw("GET", "/v1/jobs/%s/checkpoints" % job).json["data"] or not server.in_time(job), what="a checkpoint")
        if kill == "process":
            server.kill_process_of(job)
        else:
            server.restart(kill=True)
            server.wait(job, lambda j: j["attempt"] > 1)
        ended = server.wait(job)
        assert ended["status"] == "succeeded" and ended["attempt"] == 2 and ended["resumed_from_epoch"] > 0, ended
        assert outcome(server, ended) == expected
        history = server.get("/v1/jobs/%s/metrics?max_points=100000" % job).json["data"]
        assert len({p["epoch"] for p in history}) == len(history)
    paused = server.submit(threads=1, **asked)["id"]
    harness.until(lambda: server.raw("GET", "/v1/jobs/%s/checkpoints" % paused).json["data"] or not server.in_time(paused), what="a checkpoint")
    server.pause(paused)
    assert server.post("/v1/jobs/%s/resume" % paused).status in (200, 202)
    assert outcome(server, server.wait(paused)) == expected
    cancelled = server.submit(threads=2, **{**asked, "epochs": 1000000})["id"]
    harness.until(lambda: server.raw("GET", "/v1/jobs/" + cancelled).json["progress"]["epoch"] > 0, what="an epoch")
    server.post("/v1/jobs/%s/cancel" % cancelled)
    assert server.wait(cancelled)["status"] == "cancelled"
    assert server.stop() == 0
    checked = harness.run("check", "--data-dir", server.folder)
    assert checked.returncode == 0 and "0 checkpoints" not in checked.stdout, checked  # the members that were finished are a checkpoint, too


def test_max_seconds_keeps_what_is_done(server):
    job = server.train(dataset="digits", target="digit", seed=1, epochs=100000, early_stopping=False, max_seconds=1.5)
    assert job["stop_reason"] == "max_seconds" and job["stopped_early"] and job["training_seconds"] < 60
    assert 1 <= len(job["cross_validation"]["folds"]) <= job["ensemble"]["members"]
    assert server.get("/v1/models/%s/versions/2" % job["model"]).status == 404


def test_validate_says_what_would_be_trained(server):
    answer = server.post("/v1/models/validate", {"dataset": "penguins", "target": "species"})
    assert answer.status == 200 and answer.json["complete"] and answer.json["ensemble"]["effort"] == "balanced"
    assert [f["name"] for f in answer.json["ensemble"]["families"]] == ["linear", "plain", "tabm", "realmlp"]
    one = server.post("/v1/models/validate", {"dataset": "penguins", "target": "species", "model": {"layers": TWO}}).json
    assert answer.json["memory_bytes"] > one["memory_bytes"] > 0


def test_many_rows_train_larger_layers(server):
    def sizes(rows):
        name = harness.unique("line")
        assert server.post_csv(name, "x,y\n" + "".join("%d,%d\n" % (i * 7919 % 10007, i * 7919 % 10007 * 3) for i in range(rows))).status == 201
        families = server.post("/v1/models/validate", {"dataset": name, "target": "y"}).json["ensemble"]["families"]
        return {f["name"]: {layer["units"] for layer in f["definition"]["layers"] if layer.get("units", 1) > 1} for f in families}
    assert sizes(9999) == {"linear": set(), "plain": {64}, "tabm": {64}, "realmlp": {64}}
    assert sizes(10000) == {"linear": set(), "plain": {128}, "tabm": {128}, "realmlp": {128}}


def test_best_with_many_folds_repeats_them_less(server):
    found = {folds: server.post("/v1/models/validate", {"dataset": "penguins", "target": "species", "effort": "best", "validation": {"folds": folds}}).json for folds in (5, 6, 9, 16)}
    assert {folds: f["ensemble"]["members"] for folds, f in found.items()} == {5: 60, 6: 48, 9: 36, 16: 64}


@pytest.mark.parametrize("rows, folds", [("1,p 2,q 3,p", 3), ("1,p 2,q 3,p 4,q 5,p 6,q 7,p", 5), ("5,1.5 5,2 5,3 5,4 5,5 5,6", 5), ("x,1.1 y,2.5 z,3 x,4 ,5.5 q,6", 5)])
def test_a_handful_of_rows(server, rows, folds):
    """Few rows, one value, categories that occur once: a version, whatever it is worth."""
    name = unique("few")
    server.upload(name, "a,y\n" + "\n".join(rows.split(" ")) + "\n", "&types=y:numeric" if "." in rows else "")
    job = server.train(dataset=name, target="y", epochs=5, seed=1)
    assert {f["fold"] for f in job["cross_validation"]["folds"]} == set(range(1, folds + 1))
    assert server.predict(job["model"], [{"a": rows.split(",")[0]}])


def test_warns_of_times_and_groups(server):
    draw = random.Random(3)
    name = unique("order")
    server.upload(name, "day,patient_id,a,y\n" + "".join("2024-01-%02d,p%d,%r,%d\n" % (1 + i % 28, i % 9, draw.random(), i % 2) for i in range(90)))
    said = server.train(dataset=name, target="y", epochs=2, effort="fast", seed=1)["warnings"]
    assert any('"validation":{"time":"day"}' in w for w in said) and any('"validation":{"group":"patient_id"}' in w for w in said), said
    said = server.train(dataset=name, target="y", epochs=2, effort="fast", seed=1, validation={"group": "patient_id"})["warnings"]
    assert not any("validate with" in w for w in said)


def test_rows_that_are_no_table(server):
    """Images: the default has one family, which reads them flat."""
    draw = random.Random(1)
    records = [{"image": [[draw.random() + (i % 2) for _ in range(3)] for _ in range(3)], "y": "ab"[i % 2]} for i in range(60)]
    job = server.train(dataset={"types": {"image": {"type": "tensor", "shape": [3, 3]}}, "records": records}, target="y", epochs=30, seed=1)
    assert [f["name"] for f in job["ensemble"]["families"]] == ["plain"] and job["metrics"]["cross_validated_accuracy"] > 0.8
