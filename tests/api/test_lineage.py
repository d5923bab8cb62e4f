"""Goal: a model version links to its data, a dataset version to its uses, and a version to its parent."""
import json
import sqlite3

import pytest

import harness
from harness import ENDLESS, problem, unique, xor

TINY = {"layers": [{"type": "dense", "units": 1}]}


def dataset(server, rows=4):
    name = unique("line")
    server.post_json(name, x=[[i] for i in range(rows)], y=[i + 0.5 for i in range(rows)])
    return name


def train(server, data, model):
    return server.train(model={"name": model, **TINY}, dataset=data, target="y", task="regression", epochs=1, validation={"fraction": 0})


def versions(server, name, **query):
    return server.get("/v1/datasets/%s/versions?%s" % (name, "&".join("%s=%s" % i for i in query.items()))).json


def used(server, reference):
    return server.get("/v1/datasets/" + reference).json["used_by"]


NOTHING = {"jobs_count": 0, "jobs": [], "versions_count": 0, "versions": []}


def test_a_version_reports_its_parent_and_change(server):
    name = dataset(server)
    assert server.get("/v1/datasets/" + name).json["parent"] is None
    rows = server.post("/v1/datasets/%s/rows" % name, body=b"x0,y\n9,9.5\n", headers={"Content-Type": "text/csv"}).json
    assert rows["parent"] == {"name": name, "version": 1, "change": "append_rows"} and rows["used_by"] == NOTHING
    column = server.post("/v1/datasets/%s/columns/z" % name, body=b"[1,2,3,4,5]", headers={"Content-Type": "application/json"}).json
    assert column["parent"] == {"name": name, "version": 2, "change": "add_column"}
    server.upload(name, "x0,y\n1,2\n", "&replace=1")
    page = versions(server, name)
    assert [(v["version"], v["rows"], v["parent"] and (v["parent"]["version"], v["parent"]["change"])) for v in page["data"]] == [
        (4, 1, None), (3, 5, (2, "add_column")), (2, 5, (1, "append_rows")), (1, 4, None)]
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("4", "1", False)
    assert page["data"][1] == server.get("/v1/datasets/%s@3" % name).json
    assert server.delete("/v1/datasets/%s@2" % name).status == 204  # the fact stays
    assert server.get("/v1/datasets/%s@3" % name).json["parent"] == {"name": name, "version": 2, "change": "add_column"}
    listed = [d for d in server.all_pages("/v1/datasets") if d["name"] == name]
    assert listed[0]["parent"] is None and "used_by" not in listed[0]


def test_pages_of_versions(server):
    name = dataset(server)
    for _ in range(4):
        server.upload(name, "x0,y\n1,2\n", "&replace=1")
    page = versions(server, name, limit=2)
    assert ([v["version"] for v in page["data"]], page["has_more"], page["last_id"]) == ([5, 4], True, "4")
    assert [v["version"] for v in server.all_pages("/v1/datasets/%s/versions" % name, 2)] == [5, 4, 3, 2, 1]
    assert versions(server, name, after=1) == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    problem(server.get("/v1/datasets/none-such/versions"), 404, "not_found")
    problem(server.get("/v1/datasets/%s@1/versions" % name), 422, "invalid")
    for after in ("0", "x", "-1"):
        problem(server.get("/v1/datasets/%s/versions?after=%s" % (name, after)), 422, "invalid")


def test_both_ways_between_data_and_models(server):
    name, model, other = dataset(server), unique("line-m"), unique("line-m")
    first, second = train(server, name, model), train(server, name, model)
    server.upload(name, "x0,y\n1,2.5\n3,4.5\n5,6\n", "&replace=1")
    third = train(server, name, other)
    fourth = train(server, name + "@1", other)
    for job, of, version, data in ((first, model, 1, 1), (second, model, 2, 1), (third, other, 1, 2), (fourth, other, 2, 1)):
        told = server.get("/v1/models/%s/versions/%d" % (of, version)).json
        assert told["dataset"] == job["dataset"] == {"name": name, "version": data} and told["job"] == job["id"]
    assert used(server, name + "@2") == used(server, name) == {
        "jobs_count": 1, "jobs": [{"id": third["id"], "status": "succeeded", "model": other, "model_version": 1}],
        "versions_count": 1, "versions": [{"model": other, "version": 1, "job": third["id"]}]}
    old = used(server, name + "@1")
    assert [(j["id"], j["model"], j["model_version"]) for j in old["jobs"]] == [(fourth["id"], other, 2), (second["id"], model, 2), (first["id"], model, 1)]
    assert [(v["model"], v["version"]) for v in old["versions"]] == [(other, 2), (model, 2), (model, 1)]
    assert [v["used_by"]["jobs_count"] for v in versions(server, name)["data"]] == [1, 3]

    def jobs(reference):
        return [j["id"] for j in server.all_pages("/v1/jobs?dataset=" + reference, 2)]
    assert jobs(name) == [fourth["id"], third["id"], second["id"], first["id"]] and jobs(name + "@1") == [fourth["id"], second["id"], first["id"]]
    assert jobs(name + "@3") == [] and jobs(unique("none")) == []
    assert [j["id"] for j in server.get("/v1/jobs?dataset=%s@1&model=%s&status=succeeded" % (name, model)).json["data"]] == [second["id"], first["id"]]

    assert server.delete("/v1/jobs/" + second["id"]).status == 204  # the job is deleted, its model stays
    old = used(server, name + "@1")
    assert (old["jobs_count"], old["versions_count"]) == (2, 3) and old["versions"][1] == {"model": model, "version": 2, "job": second["id"]}
    assert server.delete("/v1/models/" + model).status == 204
    old = used(server, name + "@1")
    assert old["versions"] == [{"model": other, "version": 2, "job": fourth["id"]}] and old["versions_count"] == 1
    assert server.delete("/v1/datasets/" + name).status == 204  # the data is deleted, the model still names it
    assert server.get("/v1/models/%s/versions/1" % other).json["dataset"] == {"name": name, "version": 2}


def test_jobs_without_a_model_are_listed_too(server):
    name = dataset(server)
    answer = server.post("/v1/jobs", {**ENDLESS, "dataset": name, "target": "y", "task": "regression"})
    job = answer.json["id"]
    assert used(server, name)["jobs"][0]["model_version"] is None and used(server, name)["jobs"][0]["status"] in ("queued", "running")
    server.post("/v1/jobs/%s/cancel" % job)
    server.wait(job)
    assert used(server, name) == {"jobs_count": 1, "jobs": [{"id": job, "status": "cancelled", "model": answer.json["model"], "model_version": None}],
                                  "versions_count": 0, "versions": []}


def test_data_that_only_validates_is_used_too(server):
    name, other = dataset(server, 6), dataset(server)
    job = server.train(model=TINY, dataset=name, target="y", task="regression", epochs=1, validation={"dataset": other})
    assert [j["id"] for j in used(server, other)["jobs"]] == [job["id"]] and used(server, other)["versions_count"] == 0
    assert used(server, name)["versions_count"] == 1
    assert [j["id"] for j in server.get("/v1/jobs?dataset=" + other).json["data"]] == [job["id"]]


def test_data_inside_a_job(server):
    job = server.train(**xor())
    hidden = server.get("/v1/datasets/" + job["dataset"]["name"]).json
    assert hidden["parent"] is None and [j["id"] for j in hidden["used_by"]["jobs"]] == [job["id"]] and hidden["used_by"]["versions_count"] == 1


@pytest.mark.parametrize("dataset", ["Upper", "a@0", "a@x", "a@-1", "", "a@1x", "x" * 80])
def test_wrong_dataset_of_a_list_of_jobs(server, dataset):
    assert "name of a dataset" in problem(server.get("/v1/jobs?dataset=" + dataset), 422, "invalid")["detail"]


def test_twenty_are_shown_all_are_counted(fresh):
    server = fresh("--workers", "1")
    server.post_json("data", x=[[1], [2]], y=[1.5, 2])
    blocking = server.submit(model={"layers": harness.SLOW}, dataset={"x": [[1], [2]], "y": [1.5, 2]}, target="y", epochs=1000000)
    ids = [server.submit(model={"name": "m", **TINY}, dataset="data", target="y", epochs=1, validation={"fraction": 0})["id"] for _ in range(23)]
    told = used(server, "data")
    assert told["jobs_count"] == 23 and [j["id"] for j in told["jobs"]] == ids[:2:-1]
    in_use = problem(server.delete("/v1/datasets/data"), 409, "in_use")["detail"]
    assert all(i in in_use for i in ids[:5]) and ids[5] not in in_use and "18 more" in in_use
    server.post("/v1/jobs/%s/cancel" % blocking["id"])


def test_a_folder_of_before_gets_its_lineage(fresh):
    """A database as the first release left it: versions record their data only in their document."""
    server = fresh()
    server.post_json("data", x=[[1], [2]], y=[1.5, 2])
    job = train(server, "data", "m")
    assert server.stop() == 0
    with sqlite3.connect(server.folder + "/backpropd.db") as database:
        database.executescript("DROP TRIGGER changes_model_new; DROP TRIGGER changes_model_set; DROP TRIGGER changes_model_gone; DROP TRIGGER changes_version_new;"
                               "DROP TRIGGER changes_version_set; DROP TRIGGER changes_version_gone; DROP TRIGGER changes_alias_set; DROP TRIGGER changes_alias_gone;"
                               "DROP TRIGGER changes_notes_new; DROP TRIGGER changes_notes_set; DROP TRIGGER changes_calibration_new; DROP TRIGGER changes_calibration_set;"
                               "DROP TABLE changes; DROP TABLE following; ALTER TABLE jobs DROP COLUMN launcher; ALTER TABLE jobs DROP COLUMN label;"
                               "ALTER TABLE jobs DROP COLUMN memory_mb; ALTER TABLE jobs DROP COLUMN processes; ALTER TABLE jobs DROP COLUMN launch;"
                               "DROP TABLE rungs; DROP TABLE trials; DROP TABLE sweeps; DROP TABLE version_drift; DROP TABLE version_calibrations; DROP TABLE results; DROP TABLE evaluations; DROP TABLE version_tests; DROP INDEX jobs_by_kind;"
                               "DROP INDEX jobs_unfinished_by_version; DROP INDEX jobs_unfinished_by_compared; ALTER TABLE jobs DROP COLUMN kind; ALTER TABLE jobs DROP COLUMN reads_version;"
                               "ALTER TABLE jobs DROP COLUMN compared_model; ALTER TABLE jobs DROP COLUMN compared_version; DROP TABLE IF EXISTS job_inits; DROP TABLE aliases; DROP TABLE alias_changes; DROP TABLE version_notes; DROP TABLE version_tags; DROP INDEX jobs_ended; ALTER TABLE jobs DROP COLUMN publish;"
                               "ALTER TABLE jobs DROP COLUMN publication; ALTER TABLE jobs DROP COLUMN key_id; ALTER TABLE jobs DROP COLUMN key_name; DROP TABLE keys; DROP TABLE keys_revision; DROP TABLE audit; DROP TABLE attempts; DROP INDEX jobs_queue; DROP INDEX jobs_retries; ALTER TABLE jobs DROP COLUMN priority; ALTER TABLE jobs DROP COLUMN retry_at;"
                               "ALTER TABLE jobs DROP COLUMN training_ms; ALTER TABLE jobs DROP COLUMN stop_reason; DROP TABLE trainings; DROP INDEX jobs_by_dataset; DROP INDEX jobs_by_validation; ALTER TABLE datasets DROP COLUMN parent;"
                               "ALTER TABLE datasets DROP COLUMN change; PRAGMA user_version = 2")
        (document,) = database.execute("SELECT document FROM versions").fetchone()
        assert json.loads(document)["dataset"] == {"name": "data", "version": 1}
    database.close()
    server.start()
    assert used(server, "data")["versions"] == [{"model": "m", "version": 1, "job": job["id"]}]
    assert server.get("/v1/datasets/data").json["parent"] is None
    assert server.post("/v1/datasets/data/rows", body=b"x0,y\n3,4\n", headers={"Content-Type": "text/csv"}).json["parent"]["change"] == "append_rows"
