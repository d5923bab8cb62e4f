"""Goal: a batch predicts every row of a stored dataset once, with the bits of a JSON request, whatever is killed, paused or cancelled in between; its files are as
durable as datasets. An evaluation that takes long is a job, with the answer of one that does not."""
import csv
import hashlib
import io
import json
import os
import random
import sqlite3

import pytest

import harness
from harness import pointers, problem, unique

NETWORK = {"layers": [{"type": "dense", "units": 16, "activation": "relu"}]}


@pytest.fixture(scope="module")
def penguins(server):
    name = unique("batch")
    server.train(model={"name": name, **NETWORK}, dataset="penguins", target="species", epochs=20)
    return name


def submit(server, **body):
    answer = server.post("/v1/batches", body)
    assert answer.status == 202 and answer.headers["Location"] == "/v1/batches/" + answer.json["id"], answer
    return answer.json


def batch(server, **body):
    ended = server.wait(submit(server, **body)["id"])
    assert ended["status"] == "succeeded", ended
    return ended


def result(server, job, part="result"):
    answer = server.get("/v1/batches/%s/%s" % (job["id"], part))
    assert answer.status == 200 and int(answer.headers["Content-Length"]) == len(answer.body), answer
    return answer.body.decode()


def table(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


ROWS = 40000


def slow(server, name="slow"):
    """A model and a dataset whose batch takes some seconds of a processor."""
    draw = random.Random(2)
    lines = ["%d,%.6f,%s\n" % (i, draw.random(), draw.choice("ab")) for i in range(ROWS)]
    server.upload(name + "-train", "id,x,y\n" + "".join(lines[:100]))
    server.upload(name, "id,x,y\n" + "".join(lines))
    server.train(model={"name": name, "layers": [{"type": "dense", "units": 1200}] * 4}, dataset=name + "-train", target="y", epochs=1, features=["x"], validation={"fraction": 0})
    return name


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


# ---- what it writes ----

def test_the_bits_are_those_of_json(server, penguins):
    rows = server.rows("penguins")
    expected = server.predict(penguins, [{k: v for k, v in r.items() if k != "species"} for r in rows])
    job = batch(server, model=penguins, dataset="penguins")
    assert (job["kind"], job["model_version"], job["dataset"], job["format"], job["keep"]) == ("predict", 1, {"name": "penguins", "version": 1}, "csv", "extra")
    assert job["progress"] == {**job["progress"], "rows": 344, "rows_total": 344, "failed_rows": 0, "fraction": 1, "eta_seconds": None}
    got = table(result(server, job))
    assert [r["row"] for r in got] == [str(i) for i in range(1, 345)] and [r["species"] for r in got] == [r["species"] for r in rows]
    for r, prediction in zip(got, expected, strict=True):
        assert r["prediction"] == prediction["label"]
        assert {k: float(r["probability_" + k]) for k in prediction["probabilities"]} == prediction["probabilities"]
    assert result(server, job, "failures") == "row,column,value,error\n"
    job = batch(server, model=penguins + "@1", dataset="penguins@1", format="ndjson", keep=["sex", "island"])
    got = [json.loads(line) for line in result(server, job).splitlines()]
    for line, row, prediction, i in zip(got, rows, expected, range(1, 345), strict=True):
        harness.check_component(server, "PredictedRow", line)
        assert line == {"row": i, "input": {"sex": row["sex"], "island": row["island"]}, "prediction": prediction}
    assert result(server, job, "failures") == ""
    # the same file as the answer to the same rows, but for the numbers in front and the errors behind
    text = server.get("/v1/datasets/penguins/rows?format=csv").body
    streamed = server.request("POST", "/v1/models/%s/predict" % penguins, body=text, headers={"Content-Type": "text/csv"}).body.decode().splitlines()
    assert [line.rsplit(",", 1)[0] for line in streamed] == [line.split(",", 1)[1] for line in result(server, batch(server, model=penguins, dataset="penguins")).splitlines()]


def test_failed_rows_are_apart(server):
    name = unique("picky")
    columns = {"a": [1, 2, 3, 4] * 5, "c": ["x", "y"] * 10, "y": [1.5, 2.5, 3.5, 4.5] * 5}
    server.train(model={"name": name, "layers": []}, dataset={"name": name, "columns": columns}, target="y", epochs=1,
                 columns={"a": {"missing": "error"}, "c": {"unseen": "error"}})
    server.post_json(name + "-new", columns={"a": [1, None, 1, 2, 1e300, 3], "c": ["x", "x", "z", "y", "x", None], "id": ["p", "q", "r", "s", "t", "u"]})
    job = batch(server, model=name, dataset=name + "-new")
    assert job["progress"]["failed_rows"] == 3 and job["progress"]["rows"] == 6
    assert [(r["row"], r["id"]) for r in table(result(server, job))] == [("1", "p"), ("4", "s"), ("6", "u")]
    failed = table(result(server, job, "failures"))
    assert [(r["row"], r["column"]) for r in failed] == [("2", "a"), ("3", "c"), ("5", "a")]
    assert '"missing":"error"' in failed[0]["error"] and 'holds "z"' in failed[1]["error"] and "too far" in failed[2]["error"]
    good = server.predict(name, [{"a": 1, "c": "x"}])[0]["value"]
    assert float(table(result(server, job))[0]["value"]) == pytest.approx(good, rel=1e-6)
    lines = [json.loads(line) for line in result(server, batch(server, model=name, dataset=name + "-new", format="ndjson"), "failures").splitlines()]
    assert [line["row"] for line in lines] == [2, 3, 5] and lines[1]["input"] == {"id": "r"} and lines[1]["error"]["column"] == "c"


def test_warnings_and_thresholds(server):
    name = unique("warned")
    server.train(model={"name": name, "layers": []}, dataset={"name": name, "columns": {"a": [1, 2, 3, 4] * 10, "c": ["x", "y"] * 20, "y": ["no", "no", "yes", "yes"] * 10}},
                 target="y", epochs=2)
    server.post_json(name + "-new", columns={"a": [1, None, 9999], "c": ["x", "q", "x"]})
    job = batch(server, model=name, dataset=name + "-new", thresholds=0.999)
    assert [r["prediction"] for r in table(result(server, job))] == ["no"] * 3 and job["thresholds"] == 0.999
    said = "\n".join(job["warnings"])
    assert "1 of 3 values missing" in said and "1 of 3 values were not in the training rows" in said and "far outside" in said
    assert [r["prediction"] for r in table(result(server, batch(server, model=name, dataset=name + "-new", thresholds={"yes": 1e-9})))] == ["yes"] * 3


# ---- requests ----

def test_what_is_refused(server, penguins):
    def wrong(**body):
        return pointers(server.post("/v1/batches", body))

    good = {"model": penguins, "dataset": "penguins"}
    assert set(wrong()) == {"/model", "/dataset"} and "POST /v1/models/{model}/predict" in wrong(model=penguins, dataset={"records": []})["/dataset"]
    assert "did you mean" in wrong(model=penguins[:-1] + "x", dataset="penguins")["/model"] or "no model" in wrong(model="nothing", dataset="penguins")["/model"]
    assert "has no version 9" in wrong(**{**good, "model": penguins + "@9"})["/model"]
    assert "did you mean" in wrong(**{**good, "dataset": "penguin"})["/dataset"]
    assert "none of the columns" in wrong(**{**good, "dataset": "iris"})["/dataset"]
    assert "csv" in wrong(**good, format="xml")["/format"] and "/format" in wrong(**good, format=3)
    assert "/keep" in wrong(**good, keep=3) and "/keep" in wrong(**good, keep=[3])
    assert "no column" in str(wrong(**good, keep=["speces"]))
    assert "/strict" in wrong(**good, strict="yes") and "/priority" in wrong(**good, priority=101) and "/metadata" in wrong(**good, metadata=[1])
    assert "/thresholds" in wrong(**good, thresholds="x") and "/rows" in wrong(**good, rows=3)
    part = unique("part")
    server.post_json(part, columns={"island": ["Dream", "Biscoe"]})
    assert len(server.post("/v1/batches", {"model": penguins, "dataset": part}).json["errors"]) == 5 and "the dataset has no column" in wrong(model=penguins, dataset=part)["/dataset"]
    assert len(table(result(server, batch(server, model=penguins, dataset=part, strict=False)))) == 2
    server.post_json(part + "-typed", columns={f: ["a b", "c d"] for f in ("island", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex")})
    assert "bill_length_mm" in wrong(model=penguins, dataset=part + "-typed")["/dataset"]
    server.post("/v1/models", {"name": unique("untrained"), **NETWORK})
    for path in ("", "/result", "/failures"):
        problem(server.get("/v1/batches/job_00000000000000000000000000%s" % path), 404, "not_found")
        trained = server.get("/v1/jobs?kind=train&limit=1").json["data"][0]["id"]
        problem(server.get("/v1/batches/%s%s" % (trained, path)), 404, "not_found")


def test_a_repeated_submission_is_one_batch(server, penguins):
    body, key = {"model": penguins, "dataset": "penguins", "metadata": {"n": unique("once")}}, {"Idempotency-Key": unique("key")}
    first, second = (server.post("/v1/batches", body, headers=key) for _ in range(2))
    assert first.json == second.json and second.headers["Idempotency-Replayed"] == "true"
    found = server.get("/v1/batches?metadata.n=%s" % body["metadata"]["n"]).json["data"]
    assert [j["id"] for j in found] == [first.json["id"]]
    assert [j["id"] for j in server.get("/v1/jobs?kind=predict&metadata.n=%s" % body["metadata"]["n"]).json["data"]] == [first.json["id"]]
    server.wait(first.json["id"])


def test_downloads(server, penguins):
    job = batch(server, model=penguins, dataset="penguins")
    path = "/v1/batches/%s/result" % job["id"]
    whole = server.get(path)
    assert whole.headers["Accept-Ranges"] == "bytes" and job["id"] in whole.headers["Content-Disposition"]
    size = len(whole.body)
    for asked, first, last in (("bytes=10-19", 10, 19), ("bytes=100-", 100, size - 1), ("bytes=-7", size - 7, size - 1), ("bytes=5-999999999", 5, size - 1)):
        part = server.get(path, headers={"Range": asked})
        assert part.status == 206 and part.body == whole.body[first:last + 1] and part.headers["Content-Range"] == "bytes %d-%d/%d" % (first, last, size)
    for ignored in ("bytes=9-3", "bytes=%d-3" % size, "bytes=0-1,3-4", "lines=1-2", "bytes=", "bytes=-", "bytes=x-2"):
        assert server.get(path, headers={"Range": ignored}).body == whole.body, ignored
    for beyond in ("bytes=%d-" % size, "bytes=%d-%d" % (size + 5, size + 9), "bytes=999999999999999999999-", "bytes=-0"):
        answer = server.get(path, headers={"Range": beyond})
        assert "has %d bytes" % size in problem(answer, 416, "range_not_satisfiable")["detail"]
        assert answer.headers["Content-Range"] == "bytes */%d" % size
    assert server.get(path, headers={"Range": "bytes=1-2", "If-Range": '"other"'}).status == 200
    assert server.get(path, headers={"Range": "bytes=1-2", "If-Range": whole.headers["ETag"]}).status == 206
    assert server.get(path, headers={"If-None-Match": whole.headers["ETag"]}).status == 304
    assert server.delete("/v1/jobs/" + job["id"]).status == 204
    problem(server.get(path), 404, "not_found")


# ---- life of the job ----

def results_in(server):
    return sorted(os.listdir(server.folder + "/results"))


@harness.again_if_too_late
def test_kill_pause_restart_end_with_the_same_bytes(fresh):
    """kill -9 of the process, pause and resume, kill -9 and a stop of the server: the files are those of a batch that nothing disturbed."""
    server = fresh("--workers", "1", "--retry-seconds", "0")
    name = slow(server)
    body = {"model": name, "dataset": name}
    expected = digest(result(server, batch(server, **body)))

    def disturbed(disturb):
        job = submit(server, **body)["id"]
        harness.until(lambda: durable_rows(server, job) > 0, what="the first rows on disk")
        disturb(job)
        ended = server.wait(job)
        assert ended["status"] == "succeeded" and ended["resumed_from_row"] > 0, ended
        assert digest(result(server, ended)) == expected and ended["progress"]["rows"] == ROWS
        return ended

    assert disturbed(server.kill_process_of)["attempt"] == 2

    def pause(job):
        paused = server.pause(job)
        harness.until(lambda: not server.children(), what="the end of the process")
        assert paused["progress"]["rows"] < ROWS
        server.post("/v1/jobs/%s/resume" % job)

    disturbed(pause)
    def restart(job, **how):
        server.restart(**how)
        server.wait(job, lambda j: j["attempt"] > 1)

    disturbed(lambda job: restart(job, kill=True))
    disturbed(restart)


def durable_rows(server, job):
    with sqlite3.connect("file:%s/backpropd.db?mode=ro" % server.folder, uri=True) as database:
        row = database.execute("SELECT sum(rows) FROM results WHERE job = ?", (job,)).fetchone()
    database.close()
    return row[0] or 0


@harness.again_if_too_late
def test_cancelled_batches_leave_nothing(fresh):
    server = fresh("--workers", "1")
    name = slow(server)
    job = submit(server, model=name, dataset=name)["id"]
    harness.until(lambda: durable_rows(server, job) > 0, what="the first rows on disk")
    with server.held(job):
        problem(server.get("/v1/batches/%s/result" % job), 409, "conflict")
        queued = submit(server, model=name, dataset=name)
        assert queued["status"] == "queued"
        assert len(results_in(server)) == 2
        # what it reads stays
        assert problem(server.delete("/v1/models/%s" % name), 409, "in_use")["detail"].startswith("the model is used by job_")
        problem(server.delete("/v1/models/%s/versions/1" % name), 409, "in_use")
        problem(server.delete("/v1/datasets/%s" % name), 409, "in_use")
        assert server.post("/v1/jobs/%s/cancel" % queued["id"]).json["status"] == "cancelled"
    server.post("/v1/jobs/%s/cancel" % job)
    server.wait(job, ("cancelled",))
    harness.until(lambda: results_in(server) == [], what="the end of the files")
    assert "no results" in problem(server.get("/v1/batches/%s/result" % job), 409, "conflict")["detail"]
    ended = batch(server, model=name, dataset=name, keep="none")
    assert len(results_in(server)) == 2 and server.delete("/v1/jobs/%s" % ended["id"]).status == 204
    harness.until(lambda: results_in(server) == [], what="the end of the files")
    assert server.delete("/v1/models/%s" % name).status == 204 and server.delete("/v1/datasets/%s" % name).status == 204


@harness.again_if_too_late
def test_lost_files_and_orphans(fresh, tmp_path):
    """`check` and `backup` know results; a batch whose file is lost starts over; a file without a row moves to lost/."""
    server = fresh("--workers", "1", "--retry-seconds", "0")
    name = slow(server)
    body = {"model": name, "dataset": name}
    done = batch(server, **body)
    expected = digest(result(server, done))
    job = submit(server, **body)["id"]
    harness.until(lambda: durable_rows(server, job) > 0, what="the first rows on disk")
    server.pause(job)

    run = harness.run
    assert run("backup", tmp_path / "copy", "--data-dir", server.folder).returncode == 0
    checked = run("check", "--data-dir", tmp_path / "copy")
    assert checked.returncode == 0 and "4 results" in checked.stdout, checked.stdout
    assert run("restore", tmp_path / "copy", "--data-dir", tmp_path / "restored").returncode == 0
    other = fresh(folder=str(tmp_path / "restored"))
    other.post("/v1/jobs/%s/resume" % job)
    assert digest(result(other, other.wait(job))) == expected and digest(result(other, done)) == expected
    files = {(j, part): f for j, part, f in sqlite3.connect(server.folder + "/backpropd.db").execute("SELECT job, part, file FROM results")}
    os.unlink("%s/results/%s" % (server.folder, files[job, "predictions"]))
    with open("%s/results/%s" % (server.folder, files[done["id"], "predictions"]), "r+b") as file:
        file.seek(100)
        file.write(b"X")
    found = run("check", "--data-dir", server.folder)
    assert found.returncode == 1 and "has changed" in found.stdout and "cannot be opened" in found.stdout, found.stdout
    (tmp_path / "x").write_text("x")
    os.rename(tmp_path / "x", server.folder + "/results/res_00000000000000000000000000.out")
    server.restart()
    assert "res_00000000000000000000000000.out" in os.listdir(server.folder + "/lost")
    server.post("/v1/jobs/%s/resume" % job)
    ended = server.wait(job)
    assert digest(result(server, ended)) == expected and ended["resumed_from_row"] is None


def test_batches_wait_in_the_queue(fresh):
    """By priority, and a training in between."""
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    server.train(model={"name": "m", **NETWORK}, dataset="digits", target="digit", epochs=1)
    blocker = server.submit(**harness.ENDLESS)["id"]
    server.wait(blocker, ("running",))
    first = submit(server, model="m", dataset="digits")["id"]
    training = server.submit(model="m", dataset="digits", target="digit", epochs=1)["id"]
    low, high = (submit(server, model="m", dataset="digits", priority=p)["id"] for p in (-5, 5))
    server.post("/v1/jobs/%s/cancel" % blocker)
    jobs = [server.wait(j) for j in (first, training, low, high)]
    assert [j["status"] for j in jobs] == ["succeeded"] * 4
    started = [j["started_at"] for j in jobs]
    assert started[3] < started[0] < started[1] < started[2]
    assert jobs[0]["model_version"] == 1 and jobs[1]["model_version"] == 2
    kinds = [e["data"]["status"] for e in server.get("/v1/jobs/%s/events" % first).json["data"] if e["type"] == "status"]
    assert kinds == ["queued", "running", "succeeded"]


# ---- evaluations as jobs ----

def test_an_evaluation_as_a_job(server, penguins):
    asked = {"dataset": "penguins", "slices": ["island"], "bootstrap": 50, "seed": 3}
    path = "/v1/models/%s/evaluate" % penguins
    expected = server.post(path, asked).json
    for answer in (server.post(path, {**asked, "async": True, "priority": 3, "metadata": {"who": "me"}}), server.post(path, asked, headers={"Prefer": "respond-async"})):
        assert answer.status == 202 and answer.json["kind"] == "evaluate" and answer.headers["Location"] == "/v1/jobs/" + answer.json["id"]
        assert answer.json["evaluation"] == {"bootstrap": 50, "max_points": 200, "positive_class": None, "rows": 0, "seed": 3, "slices": ["island"]}
        ended = server.wait(answer.json["id"])
        assert ended["status"] == "succeeded" and ended["model_version"] == 1 and ended["progress"]["fraction"] == 1
        assert server.get("/v1/jobs/%s/evaluation" % ended["id"]).json == expected
    compared = server.post("/v1/models/%s/versions/1/evaluate" % penguins, {**asked, "compare": 1, "async": True}).json
    assert compared["compared_with"] == {"model": penguins, "version": 1}
    report = server.get("/v1/jobs/%s/evaluation" % server.wait(compared["id"])["id"]).json
    assert report["compared_with"] == 1 and report["comparison"] == server.post("/v1/models/%s/evaluate" % penguins, {**asked, "compare": 1}).json["comparison"]
    trained = server.get("/v1/jobs?kind=train&model=%s" % penguins).json["data"][0]["id"]
    assert "without test rows" in problem(server.get("/v1/jobs/%s/evaluation" % trained), 404, "not_found")["detail"]
    assert "without test rows" in problem(server.get("/v1/models/%s/versions/1/evaluation" % penguins), 404, "not_found")["detail"]
    problem(server.get("/v1/jobs/%s/evaluation" % batch(server, model=penguins, dataset="penguins")["id"]), 404, "not_found")
    assert "/async" in pointers(server.post(path, {**asked, "async": "yes"}))
    assert "/slices/0" in pointers(server.post(path, {**asked, "slices": ["nothing"], "async": True}))
    assert server.post(path, {**asked, "dataset": "iris", "async": True}).status == 422  # columns that are missing: found before it is a job


@harness.again_if_too_late
def test_an_evaluation_that_takes_long_becomes_a_job(fresh):
    """It is cancelled at once, and begins again after a kill of its process, with the report of an evaluation at once."""
    server = fresh("--workers", "1", "--retry-seconds", "0")
    server.upload("long", "x,y\n" + "".join("%d,%d\n" % (i % 97, i % 89) for i in range(50000)))
    server.train(model={"name": "long", "layers": []}, dataset="long", target="y", epochs=1, batch_size=4096, task="regression")
    answer = server.post("/v1/models/long/evaluate", {"dataset": "long", "bootstrap": 10000})
    assert answer.status == 202, answer
    server.wait(answer.json["id"], until=("running",))
    problem(server.get("/v1/jobs/%s/evaluation" % answer.json["id"]), 409, "conflict")
    server.post("/v1/jobs/%s/cancel" % answer.json["id"])
    assert server.wait(answer.json["id"])["status"] == "cancelled"
    problem(server.get("/v1/jobs/%s/evaluation" % answer.json["id"]), 404, "not_found")
    asked = {"dataset": "long", "bootstrap": 300, "seed": 1}
    job = server.post("/v1/models/long/evaluate", {**asked, "async": True}).json["id"]
    server.wait(job, until=("running",))
    server.kill_process_of(job)
    ended = server.wait(job)
    assert ended["status"] == "succeeded" and ended["attempt"] == 2
    assert server.get("/v1/jobs/%s/evaluation" % job).json == server.post("/v1/models/long/evaluate", asked).json
    # rows of the request are not stored
    rows = {"columns": {"x": [i % 97 for i in range(50000)], "y": [1.5] * 50000}}
    said = problem(server.post("/v1/models/long/evaluate", {"dataset": rows, "bootstrap": 10000}), 413, "too_large")
    assert "store them as a dataset" in said["detail"]
