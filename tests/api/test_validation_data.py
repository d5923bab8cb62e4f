"""Goal: {"dataset":"name@2"} validates with all rows of another dataset, as their predictions confirm; it is kept while the job needs it, and a
killed job ends with the same bits."""
import csv
import random

import pytest

import harness
from harness import pointers, problem, remarks, unique

DENSE = {"type": "dense", "units": 8, "activation": "relu"}


def halves(server, seed=1, name="penguins", target="species"):
    """Two datasets of the rows of one, and the rows of the second."""
    rows = list(csv.DictReader((harness.DATA / (name + ".csv")).open()))
    random.Random(seed).shuffle(rows)
    names = unique("left"), unique("right")
    for half, part in zip(names, (rows[::2], rows[1::2])):
        text = "\n".join([",".join(rows[0])] + [",".join(r.values()) for r in part]) + "\n"
        server.upload(half, text)
    return (*names, rows[1::2])


def test_it_equals_predictions(server):
    left, right, rows = halves(server)
    name = unique("other")
    job = server.train(model={"name": name, "layers": [DENSE]}, dataset=left, target="species", epochs=30, seed=1, validation={"dataset": right},
                       early_stopping={"metric": "val_accuracy", "patience": 10}, optimizer={"type": "adam", "learning_rate": 0.01})
    version = server.get("/v1/models/%s/versions/1" % name).json
    assert job["options"]["validation"] == version["options"]["validation"] == {"dataset": right + "@1"} and version["dataset"] == {"name": left, "version": 1}
    assert (version["rows_trained"], version["rows_validated"]) == (172, 172) and job["cross_validation"] is None
    numbers = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
    instances = [{k: float(v) if k in numbers else v for k, v in r.items() if v and k != "species"} for r in rows]
    hits = sum(p["label"] == r["species"] for p, r in zip(server.predict(name, instances), rows))
    assert job["metrics"]["val_accuracy"] == pytest.approx(hits / 172, abs=1e-8) and hits > 120
    again = server.train(model={"name": name, "layers": [DENSE]}, dataset=left, target="species", epochs=version["epoch"], seed=1, validation={"fraction": 0},
                         optimizer={"type": "adam", "learning_rate": 0.01})
    assert server.weights(name, 1) == server.weights(name, again["model_version"])  # it validates, and changes nothing else


def test_the_latest_version_at_submission(server):
    left, right, _ = halves(server)
    server.upload(right, harness.DATA / "penguins.csv", query="&replace=1")
    for asked, told in ((right, 2), (right + "@1", 1), (right + "@2", 2)):
        job = server.train(model={"layers": [DENSE]}, dataset=left, target="species", epochs=1, validation={"dataset": asked})
        assert job["options"]["validation"] == {"dataset": "%s@%d" % (right, told)}
    job = server.train(model={"layers": [DENSE]}, dataset=right, target="species", epochs=1, validation={"dataset": right + "@1"})
    assert any("another version of the training dataset" in w for w in job["warnings"])
    job = server.train(model={"layers": [DENSE]}, dataset={"x": [[1.5], [2]], "y": ["no", "yes"]}, target="y", epochs=1, validation={"dataset": named(server)})
    assert job["status"] == "succeeded"


def named(server):
    name = unique("xy")
    server.post_json(name, x=[[1], [2], [3]], y=["no", "yes", "no"])
    return name


def test_what_is_refused(server):
    left, right, _ = halves(server)
    base = {"model": {"layers": [DENSE]}, "dataset": left, "target": "species", "features": ["bill_length_mm", "island"]}

    def refused(dataset, words, **more):
        found = pointers(server.post("/v1/jobs", {**base, **more, "validation": {"dataset": dataset}}))
        assert set(found) == {"/validation/dataset"} and words in found["/validation/dataset"], found

    def other(text):
        name = unique("odd")
        server.upload(name, text)
        return name
    refused("nothing-there", "there is no dataset \"nothing-there\"")
    refused(right + "@7", "there is no dataset")
    refused("No Name", "is not the name of a dataset")
    refused(5, "must be the name of a stored dataset, got 5")
    refused(left, left + "@1 is the training dataset")
    refused(left + "@1", "is the training dataset")
    refused(other("island,species\nBiscoe,Gentoo\n"), 'it has no column "bill_length_mm", which is a feature')
    refused(other("bill_length_mm,island\n1,Biscoe\n"), 'it has no column "species", which is a target')
    refused(other("bill_length_mm,island,species\nlong,Biscoe,Gentoo\nshort,Biscoe,Adelie\n"), 'its column "bill_length_mm" is categorical, but in training it is numeric')
    refused(other("bill_length_mm,island,species\n1,Biscoe,Emperor\n2,Biscoe,King\n"), "none of its 2 rows can validate: 2 have a label that is absent from training, like \"Emperor\"")
    found = pointers(server.post("/v1/jobs", {**base, "validation": {"dataset": right, "fraction": 0.2}}))
    assert "leave fraction out" in found["/validation/fraction"]
    assert "one way" in pointers(server.post("/v1/jobs", {**base, "validation": {"dataset": right, "time": "bill_length_mm"}}))["/validation/dataset"]
    some = other("bill_length_mm,island,species\n40,Biscoe,Gentoo\n41,Biscoe,King\n42,Nowhere,Adelie\n")
    job = server.train(**base, epochs=1, validation={"dataset": some})
    assert remarks(job) == ['1 of 3 rows of %s@1 have a label in "species" that is absent from training, like "King": they are excluded from validation' % some]


def test_a_definition_is_checked_with_it(server):
    left, right, _ = halves(server)
    body = {"definition": {"layers": [DENSE]}, "dataset": left, "target": "species"}
    alone = server.post("/v1/models/validate", {**body, "validation": {"fraction": 0}}).json["memory_bytes"]
    with_it = server.post("/v1/models/validate", {**body, "validation": {"dataset": right}}).json["memory_bytes"]
    assert with_it >= alone + server.get("/v1/datasets/" + right).json["bytes"]
    assert "/validation/dataset" in pointers(server.post("/v1/models/validate", {**body, "validation": {"dataset": left}}))


# ---- while it runs -----------------------------------------------------------------------------------------------------------------

LAYERS = [{"type": "dense", "units": 256, "activation": "relu"}, {"type": "dropout", "rate": 0.2}]
LONG = {"target": "digit", "task": "classification", "epochs": 200, "seed": 4, "checkpoint_every_epochs": 2, "early_stopping": {"metric": "val_loss", "patience": 190},
        "optimizer": {"type": "adam", "learning_rate": 0.001}}


def submit(server, **more):
    left, right, _ = halves(server, name="digits", target="digit")
    name = unique("long")
    return name, right, server.submit(model={"name": name, "layers": LAYERS}, dataset=left, validation={"dataset": right}, **{**LONG, **more})["id"]


def result(server, name, job):
    ended = server.wait(job)
    assert ended["status"] == "succeeded", ended
    return server.weights(name), ended["metrics"], ended["best"], server.get("/v1/jobs/%s/metrics?max_points=100000" % job).json["data"]


@pytest.mark.parametrize("more", [{}, {"window_rows": 200}], ids=["whole", "windows"])
@harness.again_if_too_late
def test_killed_and_resumed_to_the_same_bits(fresh, more):
    server = fresh("--workers", "1")
    name, _, job = submit(server, **more)
    expected = result(server, name, job)
    name, _, job = submit(server, **more)
    server.wait(job, lambda j: j["progress"]["epoch"] >= 8)
    server.kill_process_of(job)
    before = server.wait(job, lambda j: j["attempt"] == 2 and j["resumed_from_epoch"] and j["progress"]["epoch"] >= j["resumed_from_epoch"] + 4)
    server.restart(kill=True)
    server.wait(job, lambda j: j["attempt"] >= 3)
    assert result(server, name, job) == expected
    ended = server.get("/v1/jobs/" + job).json
    assert ended["attempt"] == 3 and ended["resumed_from_epoch"] >= before["resumed_from_epoch"] >= 6


def test_it_stays_while_a_job_needs_it(fresh):
    server = fresh("--workers", "1")
    _, right, job = submit(server, epochs=1000000, early_stopping=False)
    _, later, queued = submit(server)
    for name, user in ((right, job), (right + "@1", job), (later, queued)):
        assert user in problem(server.delete("/v1/datasets/" + name), 409, "in_use")["detail"]
    for one in job, queued:
        server.post("/v1/jobs/%s/cancel" % one)
        server.wait(one)
    assert [server.delete("/v1/datasets/" + name).status for name in (right, later)] == [204, 204]
