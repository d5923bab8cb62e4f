"""Goal: the rows of `test` are seen by nothing of the training, whatever its form, and the version is evaluated on exactly them at its end."""
import json
import random
import subprocess

import pytest

import harness
from harness import pointers, problem, unique

NETWORK = {"layers": [{"type": "dense", "units": 8, "activation": "relu"}]}
HEADER = "x,kind,when,house,part,y\n"
DRAW = random.Random(5)
LINES = [(DRAW.gauss(i % 3, 0.5), DRAW.choice("pq"), i, "h%d" % (i % 20), "test" if i % 5 == 2 else "", "abc"[i % 3]) for i in range(300)]
# one outlier, a test row: a preprocessing that sees it is another one
LINES[7] = (1000.0, "r", 7, "h7", "test", "a")
COMMON = {"target": "y", "features": ["x", "kind"], "epochs": 8, "seed": 4}


def text(lines):
    return HEADER + "".join("%r,%s,%d,%s,%s,%s\n" % line for line in lines)


@pytest.fixture(scope="module")
def data(server):
    """All rows; those that are no test rows; the test rows."""
    name = unique("tested")
    server.upload(name, text(LINES))
    server.upload(name + "-known", text([line for line in LINES if not line[4]]))
    server.upload(name + "-test", text([line for line in LINES if line[4]]))
    return name


def trained(server, data, **more):
    name = unique("tested")
    return name, server.train(model={"name": name, **NETWORK}, dataset=data, **{**COMMON, **more})


def evaluation_of(server, name, version=1):
    answer = server.get("/v1/models/%s/versions/%s/evaluation" % (name, version))
    assert answer.status == 200, answer
    return answer.json


def asked(server, name, data, report):
    return server.post("/v1/models/%s/evaluate" % name, {"dataset": data + "-test", "bootstrap": report["bootstrap"], "seed": report["seed"]}).json


@pytest.mark.parametrize("validation", [{"fraction": 0.2}, {"fraction": 0}, {"folds": 3}, {"fraction": 0.3, "group": "house"}], ids=str)
def test_the_training_is_that_without_the_rows(server, data, validation):
    """Weights, preprocessing and metrics are those of a dataset that does not have the rows; the report is that of their evaluation."""
    name, job = trained(server, data, test={"column": "part"}, validation=validation)
    plain, other = trained(server, data + "-known", validation=validation)
    assert server.weights(name) == server.weights(plain)
    metrics = {k: v for k, v in job["metrics"].items() if not k.startswith("test_")}
    assert metrics == other["metrics"] and job["options"]["test"] == {"column": "part"} and other["options"]["test"] is None
    version, without = (server.get("/v1/models/%s/versions/1" % n).json for n in (name, plain))
    assert version["metrics"] == job["metrics"] and (version["rows_trained"], version["rows_validated"]) == (without["rows_trained"], without["rows_validated"])
    report = evaluation_of(server, name)
    expected = asked(server, name, data, report)
    assert report["rows"] == 60 and report["metrics"] == expected["metrics"] and report["targets"] == expected["targets"]
    assert {k: v for k, v in job["metrics"].items() if k.startswith("test_")} == pytest.approx({"test_" + k: m["value"] for k, m in report["metrics"].items()})
    assert server.get("/v1/jobs/%s/evaluation" % job["id"]).json == report
    problem(server.get("/v1/models/%s/versions/1/evaluation" % plain), 404, "not_found")


def test_an_ensemble_has_a_test(server, data):
    job = server.train(dataset=data, effort="fast", test={"column": "part"}, **{k: COMMON[k] for k in ("target", "features", "seed")})
    report = evaluation_of(server, job["model"], job["model_version"])
    assert report["metrics"] == asked(server, job["model"], data, report)["metrics"] and report["rows"] == 60
    assert job["metrics"]["test_accuracy"] == pytest.approx(report["metrics"]["accuracy"]["value"])


def test_a_fraction_is_stratified_and_of_its_own_seed(server, data):
    name, job = trained(server, data, test={"fraction": 0.2})
    report = evaluation_of(server, name)
    assert job["options"]["test"] == {"fraction": 0.2} and report["rows"] == 60 and [sum(r) for r in report["targets"][0]["confusion_matrix"]["rows"]] == [20, 20, 20]
    again, _ = trained(server, data, test={"fraction": 0.2})
    assert evaluation_of(server, again)["metrics"] == report["metrics"]
    other, _ = trained(server, data, test={"fraction": 0.2}, seed=5)
    assert evaluation_of(server, other)["metrics"]["loss"] != report["metrics"]["loss"]
    version = server.get("/v1/models/%s/versions/1" % name).json
    assert (version["rows_trained"], version["rows_validated"]) == (192, 48)
    default, job = trained(server, data, test={})
    assert job["options"]["test"] == {"fraction": 0.2}


def test_by_time_and_by_group(server, data):
    name, job = trained(server, data, test={"fraction": 0.1, "time": "when"}, validation={"fraction": 0})
    server.upload(data + "-late", text(LINES[270:]))
    report = evaluation_of(server, name)
    expected = server.post("/v1/models/%s/evaluate" % name, {"dataset": data + "-late", "bootstrap": report["bootstrap"]}).json
    assert report["rows"] == 30 and report["metrics"] == expected["metrics"]
    name, job = trained(server, data, test={"fraction": 0.25, "group": "house"})
    assert job["options"]["test"] == {"fraction": 0.25, "group": "house"} and evaluation_of(server, name)["rows"] == 75  # five houses of 15 rows


def test_it_decides_nothing(server, data):
    """A column of the test is no feature, and the patience of early stopping is that of the validation rows alone."""
    name = unique("tested")
    job = server.train(model={"name": name, **NETWORK}, dataset=data, target="y", epochs=3, test={"column": "part"})
    assert "part" not in job["features"] and "x" in job["features"]
    more = {"epochs": 60, "early_stopping": {"patience": 2, "metric": "val_loss"}, "optimizer": {"type": "adam", "learning_rate": 0.1}}
    (_, job), (_, other) = trained(server, data, test={"column": "part"}, **more), trained(server, data + "-known", **more)
    assert (job["best"]["epoch"], job["progress"]["epoch"], job["stop_reason"]) == (other["best"]["epoch"], other["progress"]["epoch"], other["stop_reason"])


@harness.again_if_too_late
def test_a_job_goes_on_with_the_same_test(fresh):
    """The training process is killed; the report is that of a job that was not."""
    server = fresh("--workers", "1", "--retry-seconds", "0")
    server.upload("rows", text(LINES))
    body = {"model": {"name": "killed", **NETWORK}, "dataset": "rows", **COMMON, "epochs": 3000, "batch_size": 8, "early_stopping": False, "test": {"fraction": 0.2}}
    job = server.post("/v1/jobs", body).json["id"]
    server.wait(job, until=("running",))
    server.kill_process_of(job)
    ended = server.wait(job)
    assert ended["status"] == "succeeded" and ended["attempt"] == 2
    server.train(**{**body, "model": {"name": "whole", **NETWORK}})
    assert server.get("/v1/models/killed/versions/1/evaluation").json["metrics"] == server.get("/v1/models/whole/versions/1/evaluation").json["metrics"]


@pytest.mark.parametrize("test,pointer,words", [
    ({"fraction": 0}, "/test/fraction", "above 0"), ({"fraction": 1}, "/test/fraction", "below 1"), (0.2, "/test", "an object"), ({"fraction": 0.95}, "/test/fraction", "at most 0.9"), ({"group": "nothing"}, "/test/group", "nothing"),
    ({"column": "y"}, "/test/column", "target"), ({"group": "house", "time": "when"}, "/test/time", "only one way"), ({"column": "part", "fraction": 0.1}, "/test/fraction", "leave fraction"),
    ({"folds": 3}, "/test/folds", ""), ({"column": "kind"}, "/test/column", "0 rows for the test"), ({"time": "kind"}, "/test/time", "categorical"),
], ids=str)
def test_refusals(server, data, test, pointer, words):
    answer = server.post("/v1/jobs", {"model": NETWORK, "dataset": data, **COMMON, "test": test})
    assert pointer in pointers(answer) and words in answer.json["errors"][0]["detail"], answer


def test_the_command_has_a_test(server, data, tmp_path):
    rows, network, out = tmp_path / "rows.csv", tmp_path / "network.json", tmp_path / "m.bpd"
    rows.write_text(text(LINES))
    network.write_text(json.dumps(NETWORK))
    name, job = trained(server, data, test={"fraction": 0.2}, features=["x", "kind"])
    options = tmp_path / "options.json"
    options.write_text(json.dumps({"features": ["x", "kind"]}))
    run = subprocess.run([harness.BACKPROPD, "train", "--data", str(rows), "--target", "y", "--definition", str(network), "--options", str(options), "--epochs", "8", "--seed", "4",
                          "--test", "0.2", "--out", str(out)], capture_output=True, text=True)
    assert run.returncode == 0 and "test_loss %.4g" % job["metrics"]["test_loss"] in run.stderr, run.stderr
    run = subprocess.run([harness.BACKPROPD, "train", "--data", str(rows), "--target", "y", "--effort", "fast", "--test", "0.2", "--out", str(out), "--quiet"], capture_output=True, text=True)
    assert run.returncode == 0 and "test_accuracy " in run.stderr, run.stderr
