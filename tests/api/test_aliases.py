"""Aliases of versions. Goal: what is served is what somebody chose, a change can be taken back and made on condition, and switching under load loses or mixes no answer."""
import json
import os
import signal
import sqlite3
import threading

import harness
import pytest
from harness import problem, unique

DENSE = {"type": "dense", "units": 1}


@pytest.fixture(scope="module")
def two(server):
    """A server with data whose versions answer recognizably: version n of a model trained on the dataset level-n predicts about n * 100."""
    for n in (1, 2, 3):
        server.post_json("level-%d" % n, x=[[i % 2] for i in range(8)], y=[n * 100.0] * 8)
    return server


def train(server, model, n, **more):
    return server.train(model={"name": model, "layers": [DENSE]}, dataset="level-%d" % n, target="y", task="regression", epochs=1, seed=n, **more)


def served(server, model, at=""):
    """(version that answers, its value)."""
    answer = server.post("/v1/models/%s%s/predict" % (model, at), {"instances": [[1]]})
    assert answer.status == 200, answer
    return answer.json["version"], round(answer.json["predictions"][0]["value"], -2)


def put(server, model, alias, version, **headers):
    return server.request("PUT", "/v1/models/%s/aliases/%s" % (model, alias), {"version": version}, headers={k.replace("_", "-"): v for k, v in headers.items()})


def alias(server, model, name):
    answer = server.get("/v1/models/%s/aliases/%s" % (model, name))
    assert answer.status == 200, answer
    return answer.json


def test_the_alias_default_decides_what_is_served(two):
    server, m = two, unique("served")
    job = train(server, m, 1)
    assert served(server, m) == (1, 100) and job["publish"] is True
    assert job["publication"] == {"requested": True, "published": True, "served_version": None, "reason": "publish is true"}
    held = train(server, m, 2, publish=False)
    assert held["model_version"] == 2 and held["publication"] == {"requested": False, "published": False, "served_version": 1, "reason": "publish is false"}
    log = [e["message"] for e in server.get("/v1/jobs/%s/events" % held["id"]).json["data"] if e["type"] == "log"]
    assert log[-1] == "version 2 of model %s is not published: publish is false" % m
    assert served(server, m) == (1, 100) and served(server, m, "/versions/latest") == (2, 200)
    answer = put(server, m, "default", 2)
    assert answer.status == 200 and answer.json["previous_version"] == 1 and served(server, m) == (2, 200)
    assert server.get("/v1/models/" + m).json["aliases"] == {"default": 2}
    assert train(server, m, 3)["publication"]["served_version"] == 2 and served(server, m) == (3, 300)
    # without the alias nothing is served, and the message says what to do
    assert server.delete("/v1/models/%s/aliases/default" % m).status == 204
    detail = problem(server.post("/v1/models/%s/predict" % m, {"instances": [[1]]}), 409, "conflict")["detail"]
    assert detail == 'no version of model %s is published; publish one: PUT /v1/models/%s/aliases/default {"version":3}' % (m, m)
    assert served(server, m, "/versions/3") == (3, 300) and put(server, m, "default", 3).status == 201


def test_a_first_version_that_is_held_back(two):
    server, m = two, unique("held")
    train(server, m, 1, publish=False)
    problem(server.post("/v1/models/%s/predict" % m, {"instances": [[1]]}), 409, "conflict")
    problem(server.get("/v1/models/%s/aliases/default" % m), 404, "not_found")
    assert served(server, m, "/versions/1") == (1, 100)
    assert put(server, m, "default", "latest").json["version"] == 1 and served(server, m) == (1, 100)


def test_aliases_name_versions_everywhere(two):
    server, m = two, unique("everywhere")
    for n in (1, 2):
        train(server, m, n)
    answer = put(server, m, "production", 1)
    assert answer.status == 201 and answer.headers["Location"] == "/v1/models/%s/aliases/production" % m
    assert served(server, m, "/versions/production") == served(server, m + "@production") == served(server, m + "@1") == (1, 100)
    assert server.get("/v1/models/%s@production" % m).json["version"] == server.get("/v1/models/%s/versions/production" % m).json["version"] == 1
    again = server.submit(model=m + "@production", dataset="level-1", target="y", task="regression", epochs=1)
    assert again["model"] == m
    server.wait(again["id"])
    assert put(server, m, "canary", "production").json["version"] == 1  # the version that it names now
    put(server, m, "production", 2)
    assert alias(server, m, "canary")["version"] == 1
    names = [a["name"] for a in server.all_pages("/v1/models/%s/aliases" % m, limit=1)]
    assert names == ["canary", "default", "production"]
    assert {v["version"]: v["aliases"] for v in server.get("/v1/models/%s/versions" % m).json["data"]} == {3: ["default"], 2: ["production"], 1: ["canary"]}
    for model in (m + "@nobody", m + "@9"):
        problem(server.post("/v1/models/%s/predict" % model, {"instances": [[1]]}), 404, "not_found")
    problem(server.post("/v1/jobs", {"model": m + "@nobody", "dataset": "level-1", "target": "y"}), 422, "invalid")
    problem(server.post("/v1/models/%s@1/versions/1/predict" % m, {"instances": [[1]]}), 404, "not_found")


def test_history_and_rollback(two):
    server, m = two, unique("history")
    jobs = [train(server, m, n) for n in (1, 2, 3)]
    back = "/v1/models/%s/aliases/default/rollback" % m
    assert server.post(back).json["version"] == 2 and served(server, m) == (2, 200)
    assert server.post(back).json["version"] == 1 and served(server, m) == (1, 100)
    assert "no other version" in problem(server.post(back), 409, "conflict")["detail"]
    put(server, m, "default", 3)
    now = alias(server, m, "default")
    assert now["version"] == 3 and now["previous_version"] == 1 and now["action"] == "set" and now["changed_by"] is None and now["job"] is None
    changes = [(c["action"], c["from"], c["to"], c["job"]) for c in now["history"]]
    assert changes == [("set", 1, 3, None), ("rollback", 2, 1, None), ("rollback", 3, 2, None), ("publish", 2, 3, jobs[2]["id"]),
                       ("publish", 1, 2, jobs[1]["id"]), ("publish", None, 1, jobs[0]["id"])]
    pages = server.all_pages("/v1/models/%s/aliases/default/history" % m, limit=2)
    assert pages == now["history"] and all(a["changed_at"] >= b["changed_at"] for a, b in zip(pages, pages[1:]))
    server.delete("/v1/models/%s/aliases/default" % m)  # its history stays
    gone = server.get("/v1/models/%s/aliases/default/history" % m).json["data"][0]
    assert (gone["action"], gone["from"], gone["to"]) == ("delete", 3, None)
    problem(server.post(back), 404, "not_found")


def test_changes_on_condition(two):
    server, m = two, unique("condition")
    train(server, m, 1), train(server, m, 2)
    first = put(server, m, "a", 1, If_None_Match="*")
    assert first.status == 201
    problem(put(server, m, "a", 2, If_None_Match="*"), 412, "precondition_failed")
    tag = first.headers["ETag"]
    read = server.get("/v1/models/%s/aliases/a" % m)
    assert read.headers["ETag"] == tag and read.headers["Cache-Control"] == "no-cache"
    assert server.request("GET", "/v1/models/%s/aliases/a" % m, headers={"If-None-Match": tag}).status == 304
    second = put(server, m, "a", 2, If_Match='"no", %s' % tag)
    assert second.status == 200 and second.headers["ETag"] != tag
    detail = problem(put(server, m, "a", 1, If_Match=tag), 412, "precondition_failed")["detail"]
    assert "changed in between" in detail and second.headers["ETag"] in detail
    for method, path in (("DELETE", ""), ("POST", "/rollback")):
        problem(server.request(method, "/v1/models/%s/aliases/a%s" % (m, path), headers={"If-Match": tag}), 412, "precondition_failed")
    assert server.request("POST", "/v1/models/%s/aliases/a/rollback" % m, headers={"If-Match": second.headers["ETag"]}).json["version"] == 1
    assert server.request("DELETE", "/v1/models/%s/aliases/a" % m, headers={"If-Match": "*"}).status == 204
    problem(put(server, m, "a", 1, If_Match="*"), 412, "precondition_failed")
    problem(put(server, m, "a", 1, If_None_Match='"1"'), 422, "invalid")


def test_one_of_many_at_once_wins(two):
    server, m = two, unique("race")
    train(server, m, 1), train(server, m, 2)
    tag, answers = put(server, m, "a", 1).headers["ETag"], []
    threads = [threading.Thread(target=lambda: answers.append(put(server, m, "a", 2, If_Match=tag).status)) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    # setting what it names already changes nothing, but a stale tag is refused all the same
    assert sorted(answers) == [200] + [412] * 7
    assert len(alias(server, m, "a")["history"]) == 2


@pytest.mark.parametrize("body, words", [({}, "expected the number"), ({"version": 0}, "got 0"), ({"version": -1}, "got -1"), ({"version": 1.5}, "got 1.5"), ({"version": None}, "got null"),
                                         ({"version": True}, "got true"), ({"version": [1]}, "got"), ({"version": "a b"}, "a b"), ({"version": 1, "who": "me"}, "unknown member"),
                                         ([], "must be a JSON object")], ids=json.dumps)
def test_wrong_bodies(two, body, words):
    server, m = two, "wrong-bodies"
    if server.get("/v1/models/" + m).status == 404:
        train(server, m, 1)
    assert words in problem(server.request("PUT", "/v1/models/%s/aliases/a" % m, body), 422, "invalid")["detail"]


def test_wrong_names(two):
    server, m = two, unique("names")
    train(server, m, 1)
    for wrong in ("1", "007", "latest", "A", ".x", "x" * 64, "a%20b", "%C3%A9"):
        problem(put(server, m, wrong, 1), 422, "invalid")
    for missing in (9, 2 ** 62):
        problem(put(server, m, "a", missing), 404, "not_found")
    problem(put(server, m, "a", "nobody"), 404, "not_found")
    problem(put(server, "nobody", "a", 1), 404, "not_found")
    problem(put(server, m + "@1", "a", 1), 404, "not_found")
    for path in ("nobody/aliases", "nobody/aliases/a", "nobody/aliases/a/history", m + "/aliases/a", m + "/aliases/a/history"):
        problem(server.get("/v1/models/" + path), 404, "not_found")
    problem(server.delete("/v1/models/%s/aliases/a" % m), 404, "not_found")
    for publish in ("maybe", "true", "", 1, 0, [], {}, ["if_better"]):
        answer = server.post("/v1/jobs", {"model": m, "dataset": "level-1", "target": "y", "publish": publish})
        assert "true, false or" in harness.pointers(answer)["/publish"]
    assert server.submit(model=m, dataset="level-1", target="y", task="regression", epochs=1, publish=None)["publish"] is True


def test_deleting_versions(two):
    server, m = two, unique("deleted")
    for n in (1, 2, 3):
        train(server, m, n)
    put(server, m, "production", 1)
    assert "alias production" in problem(server.delete("/v1/models/%s/versions/1" % m), 409, "in_use")["detail"]
    assert "alias default" in problem(server.delete("/v1/models/%s@3" % m), 409, "in_use")["detail"]
    problem(server.delete("/v1/models/%s/versions/latest" % m), 422, "invalid")
    assert served(server, m, "/versions/2") == (2, 200)
    assert server.delete("/v1/models/%s/versions/2" % m).status == 204
    for answer in (server.get("/v1/models/%s/versions/2" % m), server.post("/v1/models/%s/versions/2/predict" % m, {"instances": [[1]]}), server.delete("/v1/models/%s/versions/2" % m),
                   server.get("/v1/models/%s/versions/2/notes" % m)):
        problem(answer, 404, "not_found")
    assert [v["version"] for v in server.get("/v1/models/%s/versions" % m).json["data"]] == [3, 1]
    assert train(server, m, 2)["model_version"] == 4  # its number is not used again
    server.post("/v1/models/%s/aliases/default/rollback" % m)
    assert served(server, m) == (3, 300)


def test_a_version_can_be_cached_for_good(two):
    server, m = two, unique("cached")
    train(server, m, 1)
    path = "/v1/models/%s/versions/1" % m
    first = server.get(path)
    assert first.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert server.request("PATCH", path + "/notes", {"notes": "fine", "tags": ["a"]}).status == 200
    put(server, m, "production", 1)
    again = server.get(path)
    assert again.body == first.body and again.headers["ETag"] == first.headers["ETag"]  # nothing that changes is in it
    named = server.get("/v1/models/%s/versions/production" % m)
    assert named.body == first.body and named.headers["Cache-Control"] == "no-cache" and named.headers["ETag"] == first.headers["ETag"]
    tag = first.headers["ETag"]
    for headers in ({"If-None-Match": tag}, {"If-None-Match": '"x", W/%s' % tag}, {"If-None-Match": "*"}):
        answer = server.request("GET", path, headers=headers)
        assert answer.status == 304 and answer.body == b"" and answer.headers["ETag"] == tag
    assert server.request("GET", path, headers={"If-None-Match": '"%s' % tag[2:]}).status == 200
    train(server, m, 2)
    assert server.request("GET", "/v1/models/%s/versions/latest" % m, headers={"If-None-Match": tag}).status == 200


def test_notes_and_tags(two):
    server, m = two, unique("notes")
    train(server, m, 1), train(server, m, 2)
    path = "/v1/models/%s/versions/1/notes" % m
    empty = server.get(path)
    assert empty.json == {"object": "notes", "model": m, "version": 1, "notes": "", "tags": []}
    answer = server.request("PATCH", path, {"notes": "größer\nals", "tags": ["good", "a b", "good"]}, headers={"If-Match": empty.headers["ETag"]})
    assert answer.json["notes"] == "größer\nals" and answer.json["tags"] == ["a b", "good"]
    problem(server.request("PATCH", path, {"notes": ""}, headers={"If-Match": empty.headers["ETag"]}), 412, "precondition_failed")
    assert server.request("GET", path, headers={"If-None-Match": answer.headers["ETag"]}).status == 304
    assert server.request("PATCH", path, {"tags": ["good"]}).json["notes"] == "größer\nals"
    assert [v["version"] for v in server.get("/v1/models/%s/versions?tag=good" % m).json["data"]] == [1]
    assert server.get("/v1/models/%s/versions?tag=bad" % m).json["data"] == []
    listed = {v["version"]: (v["notes"], v["tags"]) for v in server.get("/v1/models/%s/versions" % m).json["data"]}
    assert listed == {1: ("größer\nals", ["good"]), 2: ("", [])}
    for body in ({}, {"note": "x"}, {"notes": 1}, {"notes": None}, {"notes": "x" * 16385}, {"tags": "x"}, {"tags": [1]}, {"tags": [""]}, {"tags": ["x" * 64]}, {"tags": ["%d" % i for i in range(33)]}):
        problem(server.request("PATCH", path, body), 422, "invalid")
    assert server.request("PATCH", path, {"notes": "", "tags": []}).json["tags"] == []


def test_who_changed_an_alias(fresh, tmp_path):
    folder = str(tmp_path / "keys")
    os.mkdir(folder, 0o700)
    keys = {name: harness.run("keys", "create", "--name", name, "--scope", "train", "--data-dir", folder).stdout.split()[0] for name in ("ada", "ben")}
    server, who = fresh(folder=folder), ["ada"]
    send = server.raw
    server.raw = lambda method, path, body=None, headers=None, timeout=60: send(method, path, body, {**(headers or {}), "Authorization": "Bearer " + keys[who[0]]}, timeout)
    server.post_json("level-1", x=[[0], [1]] * 4, y=[100.0] * 8)
    train(server, "m", 1)
    who[0] = "ben"
    put(server, "m", "production", 1)
    assert alias(server, "m", "production")["changed_by"] == "ben"
    published = alias(server, "m", "default")
    assert published["changed_by"] == "ada" and published["action"] == "publish"


def test_it_outlives_a_kill(fresh):
    server = fresh()
    for n in (1, 2):
        server.post_json("level-%d" % n, x=[[0], [1]] * 4, y=[n * 100.0] * 8)
        train(server, "m", n)
    assert put(server, "m", "default", 1).status == 200
    server.kill()
    server.start()
    assert served(server, "m") == (1, 100) and alias(server, "m", "default")["previous_version"] == 2
    assert harness.run("backup", server.folder + ".copy", "--data-dir", server.folder).returncode == 0
    copy = fresh(folder=server.folder + ".copy")
    assert served(copy, "m") == (1, 100) and alias(copy, "m", "default")["history"] == alias(server, "m", "default")["history"]
    # check finds an alias that names no version, as after a damage of the database
    assert harness.run("check", "--data-dir", server.folder).returncode == 0
    server.stop()
    with sqlite3.connect(server.folder + "/backpropd.db") as db:
        db.execute("UPDATE aliases SET version = 7")
    db.close()
    checked = harness.run("check", "--data-dir", server.folder)
    assert checked.returncode != 0 and "aliases" in checked.stdout + checked.stderr


def count_versions(server, model):
    return [v["version"] for v in server.all_pages("/v1/models/%s/versions" % model)]


def test_old_versions_are_removed(fresh, tmp_path):
    """At the end of a job, and when the setting changes; aliased ones stay. Each removal is logged and audited."""
    config = tmp_path / "config"
    config.write_text("keep_versions = 2\n")
    folder = str(tmp_path / "kept")
    os.mkdir(folder, 0o700)
    server = fresh("--config", str(config), folder=folder)
    server.post_json("level-1", x=[[0], [1]] * 4, y=[100.0] * 8)
    train(server, "m", 1)
    put(server, "m", "production", 1)
    for _ in range(4):
        train(server, "m", 1)
    harness.until(lambda: count_versions(server, "m") == [5, 4, 1], what="the removal of versions 2 and 3")
    assert [e for e in (2, 3) if "event=version_expired model=m version=%d" % e in server.log_text()] == [2, 3]
    config.write_text("keep_versions = 1\n")
    server.process.send_signal(signal.SIGHUP)
    harness.until(lambda: count_versions(server, "m") == [5, 1], what="the removal of version 4")
    assert served(server, "m") == (5, 100) and served(server, "m", "/versions/production") == (1, 100)
    server.stop()
    with sqlite3.connect(folder + "/backpropd.db") as db:
        targets = [row[0] for row in db.execute("SELECT target FROM audit WHERE action = 'retention' ORDER BY id")]
    db.close()
    assert targets == ["/v1/models/m/versions/%d" % n for n in (2, 3, 4)]


def test_old_jobs_are_removed(fresh):
    """Two days old by the database: gone at the next start, unless a version goes with it."""
    server = fresh("--keep-jobs-days", "1")
    server.post_json("level-1", x=[[0], [1]] * 4, y=[100.0] * 8)
    named = train(server, "m", 1)["id"]
    own = server.train(model={"layers": [DENSE]}, dataset="level-1", target="y", task="regression", epochs=1)["id"]
    inline = server.train(model={"name": "n", "layers": [DENSE]}, dataset={"x": [[0], [1]] * 4, "y": [1.5] * 8}, target="y", epochs=1)["id"]
    recent = train(server, "m", 1)["id"]
    assert server.stop() == 0
    with sqlite3.connect(server.folder + "/backpropd.db") as db:
        db.execute("UPDATE jobs SET finished_at = finished_at - 2 * 86400000 WHERE id <> ?", (recent,))
    db.close()
    server.start()
    harness.until(lambda: server.get("/v1/jobs/" + named).status == 404, what="the removal of the job")
    for job in (own, inline, recent):  # a version needs the model or the data of the first two
        assert server.get("/v1/jobs/" + job).status == 200
    assert served(server, own) == (1, 100) and server.get("/v1/models/m/versions/1").json["job"] == named
    assert server.get("/v1/jobs/%s/log" % named).status == 404 and "event=job_expired job=" + named in server.log_text()
    assert harness.run("check", "--data-dir", server.folder).returncode == 0


@pytest.mark.parametrize("place", ["--url", "--data-dir"])
def test_on_the_command_line(fresh, place):
    server = fresh()
    for n in (1, 2):
        server.post_json("level-%d" % n, x=[[0], [1]] * 4, y=[n * 100.0] * 8)
        train(server, "m", n)
    at = server.url if place == "--url" else server.folder
    if place == "--data-dir":
        assert "in use" in harness.run("alias", "--model", "m", place, at).stderr
        server.stop()

    def alias_command(*arguments, code=0):
        done = harness.run("alias", "--model", "m", place, at, *arguments)
        assert done.returncode == code, done.stderr
        return [line.split()[:3] for line in done.stdout.splitlines()] if code == 0 else done.stderr

    assert alias_command() == [["default", "2", "publish"]]
    assert alias_command("--name", "a", "--version", "1") == [["a", "1", "set"]]
    assert alias_command("--name", "a", "--version", "latest") == [["a", "2", "set"]]
    assert alias_command("--name", "a", "--rollback") == [["a", "1", "rollback"]]
    assert "no other version" in alias_command("--name", "a", "--rollback", code=1)
    assert alias_command("--name", "a") == [["a", "1", "rollback"], ["a", "2", "set"], ["a", "1", "set"]]
    assert alias_command() == [["a", "1", "rollback"], ["default", "2", "publish"]]
    assert "no version 9" in alias_command("--name", "a", "--version", "9", code=1)
    assert alias_command("--name", "a", "--delete") == []
    assert "no alias" in alias_command("--name", "a", "--delete", code=1)
    for wrong in (["--name", "7", "--version", "1"], ["--version", "1"], ["--name", "a", "--version", "1", "--delete"], ["--name", "A"], ["--name", "a", "--version", "1x!"]):
        alias_command(*wrong, code=2)
