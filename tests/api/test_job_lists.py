"""Goal: the order, the filters and the fields of GET /v1/jobs are those that Python computes from the full documents."""
import functools
import itertools
import urllib.parse

import pytest

import harness
from harness import problem

DENSE = {"type": "dense", "units": 4, "activation": "tanh"}
ROWS = "a,b,y\n" + "".join("%d,%d,%s\n" % (i % 7, i % 5, "yes" if (i % 7) + (i % 5) > 5 else "no") for i in range(40))
TIMES = ("created_at", "started_at", "finished_at")


@pytest.fixture(scope="module")
def fleet():
    """A server with jobs of every kind: succeeded ones that differ in much, one without validation, failed, cancelled, paused."""
    server = harness.Server("--workers", "2")
    server.upload("small", ROWS)
    for name, units in (("narrow", 2), ("wide", 8)):
        server.post("/v1/models", {"name": name, "layers": [{**DENSE, "units": units}]})
    optimizers = itertools.cycle(["adam", {"type": "sgd", "learning_rate": 0.05}, {"type": "rmsprop", "learning_rate": 0.01}, {"type": "adam", "learning_rate": 0.1}])
    ids = []
    for i in range(14):
        metadata = {"team": "vision é" if i % 3 else "text", **({"n.a": str(i % 4), "odd&key": "+ %"} if i % 2 else {})}
        ids.append(server.submit(model=("narrow", "wide")[i % 2], dataset="small", target="y", epochs=1 + i % 5, optimizer=next(optimizers), l2=(0, 0.001)[i % 3 == 0],
                                 priority=i % 3, metadata=metadata, validation={"fraction": 0 if i == 5 else 0.25}, **({"early_stopping": {"patience": 1}} if i == 7 else {}))["id"])
    ids.append(server.submit(model="wide", dataset={"x": [[1e30, 1], [2e30, 2], [3e30, 3], [-4e30, 4]] * 8, "y": [1e30, -2e30, 3e30, 1.0] * 8}, target="y", epochs=3,
                             optimizer={"type": "sgd", "learning_rate": 1000}, validation={"fraction": 0})["id"])
    for job in ids:
        server.wait(job)
    endless = [server.submit(model="narrow", dataset="small", target="y", epochs=1000000, batch_size=1, metadata={"team": "text"})["id"] for _ in range(2)]
    for job in endless:  # the first is cancelled, the second stays paused
        server.wait(job, until=("running",))
        server.post("/v1/jobs/%s/%s" % (job, "cancel" if job == endless[0] else "pause"))
        server.wait(job, until=("cancelled", "paused"))
    yield server
    server.post("/v1/jobs/%s/cancel" % endless[1])
    assert server.stop() == 0
    server.remove()


@pytest.fixture(scope="module")
def documents(fleet):
    found = fleet.all_pages("/v1/jobs")
    assert len(found) == 17 and {j["status"] for j in found} >= {"succeeded", "cancelled", "paused"}
    return found


def seconds(job, name):
    return None if job[name] is None else __import__("datetime").datetime.fromisoformat(job[name].replace("Z", "+00:00")).timestamp()


def value(job, name, final):
    """What a job has under a name of `sort` and `where`: from its documents alone."""
    if name in TIMES:
        return seconds(job, name)
    if name == "duration":
        return None if None in (job["started_at"], job["finished_at"]) else round(seconds(job, "finished_at") - seconds(job, "started_at"), 6)
    if name == "epochs":
        return job["progress"]["epoch"]
    if name == "dataset":
        return job["dataset"]["name"]
    if name in ("training_seconds", "parameters", "priority", "attempt", "status", "stop_reason", "kind", "model", "model_version", "id"):
        return job[name]
    kind, _, rest = name.partition(".")
    if kind == "metadata":
        return job["metadata"].get(rest)
    if kind == "final":
        return final[job["id"]].get(rest)
    if kind == "options":
        found = functools.reduce(lambda node, part: node.get(part) if isinstance(node, dict) else None, rest.split("."), job["options"])
        found = found["type"] if isinstance(found, dict) and "type" in found else found
        return {True: "true", False: "false"}.get(found, found) if isinstance(found, bool) else found
    return job["metrics"].get(rest if kind == "metrics" else name)


@pytest.fixture(scope="module")
def final(fleet, documents):
    """The last point of each job's history."""
    points = {j["id"]: fleet.get("/v1/jobs/%s/metrics?max_points=2" % j["id"]).json["data"] for j in documents}
    return {job: data[-1] if data else {} for job, data in points.items()}


def ordered(documents, final, sort):
    """By Python: stable sorts from the last key to the first, of what has a value; the newest first where all keys are equal."""
    jobs = sorted(documents, key=lambda j: j["id"], reverse=True)
    for key in reversed(sort.split(",")):
        name = key.lstrip("-")
        have = [j for j in jobs if value(j, name, final) is not None]
        lack = [j for j in jobs if value(j, name, final) is None]
        text = lambda j: value(j, name, final).encode() if isinstance(value(j, name, final), str) else value(j, name, final)  # noqa: E731
        # reverse=True keeps the order of equals, too
        jobs = sorted(have, key=text, reverse=key.startswith("-")) + lack
    return [j["id"] for j in jobs]


def pages(server, query, limit):
    ids, after = [], None
    while True:
        more = "&after=" + after if after else ""
        page = server.get("/v1/jobs?%s&limit=%d%s" % (query, limit, more)).json
        ids += [j["id"] for j in page["data"]]
        assert (page["next_cursor"] is not None) == page["has_more"]
        if not page["has_more"]:
            return ids
        after = page["next_cursor"]


@pytest.mark.parametrize("sort", [
    "created_at", "-created_at", "-val_accuracy", "val_accuracy,-created_at", "val_loss", "-loss", "metrics.loss", "-final.val_loss", "final.loss", "duration", "-training_seconds",
    "-epochs,val_loss", "parameters,-val_accuracy", "-priority,epochs,loss", "status,-val_loss", "kind,model,-id", "-model_version", "stop_reason,id", "dataset", "metadata.team,-val_loss",
    "-metadata.n.a,created_at", "options.optimizer,options.optimizer.learning_rate,-loss", "-options.l2", "options.keep_optimizer_state", "-finished_at", "attempt,-started_at"])
def test_order_is_that_of_python(fleet, documents, final, sort):
    expected = ordered(documents, final, sort)
    for limit in (3, 7, 1000):
        assert pages(fleet, "sort=" + urllib.parse.quote(sort), limit) == expected, limit


CONDITIONS = [("val_accuracy>=0.7", lambda v: v >= 0.7), ("metrics.val_loss<0.7", lambda v: v < 0.7), ("final.loss>0.6", lambda v: v > 0.6), ("epochs<=3", lambda v: v <= 3),
              ("epochs!=3", lambda v: v != 3), ("options.optimizer=adam", lambda v: v == "adam"), ("options.optimizer!=adam", lambda v: v != "adam"),
              ("options.optimizer.learning_rate>0.01", lambda v: v > 0.01), ("options.l2=0", lambda v: v == 0), ("options.keep_optimizer_state=false", lambda v: v == "false"),
              ("metadata.team=vision é", lambda v: v == "vision é"), ("metadata.n.a!=1", lambda v: v != "1"), ("metadata.odd&key=+ %", lambda v: v == "+ %"), ("parameters>20", lambda v: v > 20),
              ("model=wide", lambda v: v == "wide"), ("status=cancelled", lambda v: v == "cancelled"), ("priority>=1", lambda v: v >= 1), ("duration<100000", lambda v: v < 100000),
              ("stop_reason=early_stopping", lambda v: v == "early_stopping"), ("created_at>=2020-01-01", lambda v: True), ("created_at<2020-01-01T00:00:00Z", lambda v: False)]


@pytest.mark.parametrize("where,holds", CONDITIONS, ids=[c[0] for c in CONDITIONS])
def test_conditions_are_those_of_python(fleet, documents, final, where, holds):
    name = __import__("re").split("[<>=!]", where)[0]
    kept = [j for j in documents if value(j, name, final) is not None and holds(value(j, name, final))]
    for query, jobs in (("", kept), ("&status=succeeded,paused", [j for j in kept if j["status"] in ("succeeded", "paused")]),
                        ("&where=" + urllib.parse.quote("epochs>1"), [j for j in kept if j["progress"]["epoch"] > 1])):
        listed = fleet.all_pages("/v1/jobs?where=" + urllib.parse.quote(where) + query, limit=5)
        assert [j["id"] for j in listed] == [j["id"] for j in jobs]
        assert pages(fleet, "sort=-val_loss&where=" + urllib.parse.quote(where) + query, 4) == ordered(jobs, final, "-val_loss")
    if where == "epochs<=3":  # as people type it
        assert [j["id"] for j in fleet.get("/v1/jobs?limit=1000&where=" + where).json["data"]] == [j["id"] for j in kept]


def test_short_filters(fleet, documents):
    def ids(query):
        return [j["id"] for j in fleet.all_pages("/v1/jobs?" + query)]

    assert ids("option.optimizer=sgd") == [j["id"] for j in documents if j["options"]["optimizer"]["type"] == "sgd"]
    assert ids("option.optimizer.learning_rate=1e-1&metadata.team=text") == [j["id"] for j in documents if j["options"]["optimizer"]["learning_rate"] == 0.1 and j["metadata"].get("team") == "text"]
    assert ids("metadata.team=text&metadata.n.a=3") == [j["id"] for j in documents if j["metadata"].get("team") == "text" and j["metadata"].get("n.a") == "3"]
    middle = sorted(j["created_at"] for j in documents)[8]
    assert ids("created_since=" + middle) == [j["id"] for j in documents if j["created_at"] >= middle]
    assert ids("created_until=" + middle) == [j["id"] for j in documents if j["created_at"] < middle]
    assert ids("created_since=2999-01-01") == [] and ids("model=wide&status=failed,cancelled,queued") == [j["id"] for j in documents if j["model"] == "wide" and j["status"] in ("failed", "cancelled")]


def test_fields(fleet, documents):
    assert fleet.get("/v1/jobs?fields=id&limit=1000").json["data"] == [{"id": j["id"]} for j in documents]
    asked = "id,status,metrics.val_accuracy,options.optimizer.learning_rate,options.optimizer.type,metadata.n.a,best.epoch,dataset.version,progress"
    for got, job in zip(fleet.get("/v1/jobs?limit=1000&fields=" + asked).json["data"], documents):
        assert got["metrics"] == {"val_accuracy": job["metrics"].get("val_accuracy")}
        assert got["options"] == {"optimizer": {k: job["options"]["optimizer"][k] for k in ("learning_rate", "type")}}
        assert (got["metadata"].get("n.a") == job["metadata"]["n.a"]) if "n.a" in job["metadata"] else got["metadata"] == {"n": None}
        assert got["dataset"] == {"version": job["dataset"]["version"]} and got["progress"] == job["progress"] and "model" not in got
        assert got["best"] == (job["best"] and {"epoch": job["best"]["epoch"]})
    every = set(fleet.contract()["components"]["schemas"]["TrainingJob"]["properties"]) - {"object"}
    whole = fleet.get("/v1/jobs?limit=1000&fields=" + ",".join(sorted(every))).json["data"]
    for got, job in zip(whole, documents):
        assert set(got) == every and {k: got[k] for k in job if k != "object"} == {k: v for k, v in job.items() if k != "object"}


def test_cursors_belong_to_their_sort(fleet, documents, final):
    cursor = fleet.get("/v1/jobs?sort=-val_loss&limit=3").json["next_cursor"]
    assert "sort=val_loss" in problem(fleet.get("/v1/jobs?sort=val_loss&after=" + cursor), 422, "invalid")["detail"]
    assert "next_cursor" in problem(fleet.get("/v1/jobs?sort=-val_loss&after=" + documents[0]["id"]), 422, "invalid")["detail"]
    assert "without sort" in problem(fleet.get("/v1/jobs?after=" + cursor), 422, "invalid")["detail"]
    for broken in (cursor[:-7], cursor[:20] + "~" + cursor[21:], "A" * 5000, "bnVsbA", "e30", "%00", "%F0%9F%98%80"):
        assert problem(fleet.get("/v1/jobs?sort=-val_loss&after=" + broken), 422, "invalid")["detail"]
    # with another filter the place is the same
    kept = [j for j in documents if j["progress"]["epoch"] >= 2]
    place = ordered(documents, final, "-val_loss")[2]
    after = [i for i in ordered(kept, final, "-val_loss") if ordered(documents, final, "-val_loss").index(i) > ordered(documents, final, "-val_loss").index(place)]
    assert pages(fleet, "sort=-val_loss&where=epochs>=2&after=" + cursor, 1000) == after


WRONG = [("sort=val_acuracy", "did you mean \"val_accuracy\""), ("sort=creatd_at", "did you mean \"created_at\""), ("sort=", "sort expects"), ("sort=a,b,c,d,e", "has no \"a\""),
         ("sort=id,id,id,id,id", "up to 4"), ("sort=-", "sort expects"), ("sort=loss,", "sort expects"), ("sort=options.optimiser", "did you mean \"optimizer\""), ("sort=options.", "no option"),
         ("sort=metadata.", "needs a name"), ("sort=" + "x" * 500, "399 bytes"), ("sort=options.optimizer..x", "not the path"), ("sort=options.optimizer.%22", "not the path"),
         ("fields=", "fields expects"), ("fields=id,,status", "fields expects"), ("fields=statu", "did you mean \"status\""), ("fields=options.lr_rate", "no option"), ("fields=object", "no field"),
         ("fields=options.epoch", "did you mean \"epochs\""), ("fields=" + ",".join(["id"] * 65), "up to 64"), ("where=", "where expects"), ("where=loss", "where expects"), ("where==3", "where expects"),
         ("where=loss<", "with a number"), ("where=loss<nan", "with a number"), ("where=loss<0x10", "with a number"), ("where=loss>inf", "with a number"), ("where=los<3", "did you mean \"loss\""),
         ("where=created_at<yesterday", "a time as"), ("where=metadata.a=" + "x" * 300, "199 bytes"), ("&".join(["where=loss<3"] * 17), "at most 16"), ("status=running,done", "unknown status \"done\""),
         ("created_since=x", "created_since must be a time"), ("option.lr=3", "no option"), ("where=loss!3", "where expects")]


@pytest.mark.parametrize("query,words", WRONG, ids=[q[:40] for q, _ in WRONG])
def test_what_is_refused(fleet, query, words):
    assert words in problem(fleet.get("/v1/jobs?" + query), 422, "invalid")["detail"]


def test_values_are_bound(fleet, documents):
    """What would mean something in SQL or in a path of its JSON functions is a text like any other."""
    for odd in ("x' OR 1=1 --", "\"); DROP TABLE jobs; --", "$", "%", "\\", "[0]", "null", "*"):
        quoted = urllib.parse.quote(odd)
        assert fleet.get("/v1/jobs?metadata.team=" + quoted).json["data"] == []
        assert fleet.get("/v1/jobs?where=metrics.%s%%3E0" % quoted.replace("%3D", "")).status in (200, 422)
        assert [j["id"] for j in fleet.get("/v1/jobs?limit=1000&sort=metadata.%s" % quoted).json["data"]] == [j["id"] for j in documents]
    assert len(fleet.all_pages("/v1/jobs")) == len(documents)


def test_running_jobs_and_queue_positions(fresh):
    server = fresh("--workers", "1")
    server.upload("small", ROWS)
    running = server.submit(model={"layers": harness.SLOW}, dataset="small", target="y", epochs=1000000)["id"]
    server.wait(running, until=lambda j: j["progress"]["epoch"] >= 1)
    queued = [server.submit(model={"layers": [DENSE]}, dataset="small", target="y", epochs=1, priority=p)["id"] for p in (0, 5, -3, 5)]
    listed = server.get("/v1/jobs?sort=-priority,created_at&status=queued&limit=3").json["data"]
    assert [j["id"] for j in listed] == [queued[1], queued[3], queued[0]] and [j["queue_position"] for j in listed] == [1, 2, 3]
    assert server.get("/v1/jobs?sort=-loss&limit=1").json["data"][0]["id"] == running  # its latest epoch counts
    assert [j["id"] for j in server.get("/v1/jobs?where=epochs>=1").json["data"]] == [running]
