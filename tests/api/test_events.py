"""Goal: the history of a job, its events as a list and as a stream, and its checkpoints agree, completely and once."""
import http.client
import threading

import pytest

import harness
from harness import DIGITS, ENDLESS, problem, unique, xor

LONG = {**xor(), "epochs": 3000, "optimizer": {"type": "sgd", "learning_rate": 0.5}, "model": {"layers": [{"type": "dense", "units": 64, "activation": "relu"}, {"type": "dropout", "rate": 0.8}]}}


@pytest.fixture(scope="module")
def long_job(server):
    """3000 epochs whose loss jumps about, as most units are dropped: none of its extremes is at either end."""
    job = server.train(**LONG)["id"]
    points = history(server, job, "?max_points=100000")["data"]
    values = [p["loss"] for p in points]
    assert max(values[0], values[-1]) < max(values) and min(values[0], values[-1]) > min(values)
    return job


def history(server, job, query=""):
    answer = server.get("/v1/jobs/%s/metrics%s" % (job, query))
    assert answer.status == 200, answer
    return answer.json


# ---- metrics ----

def test_one_point_per_epoch(server, long_job):
    whole = history(server, long_job, "?max_points=100000")
    assert [p["epoch"] for p in whole["data"]] == list(range(1, 3001)) and whole["epochs_kept"] == 3000
    assert whole["names"] == ["loss", "accuracy"] and all(set(p) == {"epoch", "loss", "accuracy"} for p in whole["data"])
    job = server.get("/v1/jobs/" + long_job).json
    assert {k: v for k, v in whole["data"][-1].items() if k != "epoch"} == job["metrics"]
    assert job["best"]["value"] == min(p["loss"] for p in whole["data"])


@pytest.mark.parametrize("points", [6, 20, 100, 999])
def test_thinning_keeps_first_last_and_extremes(server, long_job, points):
    whole = history(server, long_job, "?max_points=100000")["data"]
    thin = history(server, long_job, "?max_points=%d" % points)
    assert thin["epochs_kept"] == 3000 and 2 <= len(thin["data"]) <= points
    assert thin["data"][0] == whole[0] and thin["data"][-1] == whole[-1]
    assert all(p == whole[p["epoch"] - 1] for p in thin["data"])
    epochs = [p["epoch"] for p in thin["data"]]
    assert epochs == sorted(set(epochs))
    for name in ("loss", "accuracy"):
        for extreme in (min, max):
            assert extreme(p[name] for p in thin["data"]) == extreme(p[name] for p in whole)
    one = history(server, long_job, "?names=loss&max_points=%d" % points)
    assert one["names"] == ["loss"] and all(set(p) == {"epoch", "loss"} for p in one["data"])


def test_default_is_a_thousand_points(server, long_job):
    assert 100 < len(history(server, long_job)["data"]) <= 1000


@pytest.mark.parametrize("query", ["max_points=1", "max_points=0", "max_points=x", "max_points=", "max_points=100001", "names=nope", "names=loss,nope", "limit=5"])
def test_wrong_history_queries(server, long_job, query):
    problem(server.get("/v1/jobs/%s/metrics?%s" % (long_job, query)), 422, "invalid")


def test_history_beyond_ten_thousand_epochs(server):
    """Every k-th epoch is kept, and the first, the last and the best."""
    job = server.train(**{**xor(), "epochs": 10500, "optimizer": {"type": "sgd", "learning_rate": 3.0}})
    got = history(server, job["id"], "?max_points=100000")
    epochs = [p["epoch"] for p in got["data"]]
    assert epochs == sorted(set(epochs)) and len(epochs) <= 10000 and epochs[0] == 1 and epochs[-1] == 10500
    assert job["best"]["epoch"] in epochs and set(epochs) >= set(range(2, 10501, 2))


# ---- events ----

def test_list_and_stream_are_the_same(server):
    job = server.train(**xor(epochs=30))["id"]
    path = "/v1/jobs/%s/events" % job
    listed = server.all_pages(path, limit=7)
    streamed = [event for _, _, event in server.stream(path)]
    assert listed == streamed
    ids = [int(e["id"]) for e in listed]
    assert ids == sorted(set(ids)) and all(e["job"] == job for e in listed)
    assert [e["data"]["status"] for e in listed if e["type"] == "status"] == ["queued", "running", "succeeded"]
    assert [e["data"]["epoch"] for e in listed if e["type"] == "metrics"] == list(range(1, 31))
    assert [e["type"] for e in listed].count("end") == 1 and listed[-1]["type"] == "end"
    assert listed[-1]["data"] == {"status": "succeeded", "attempt": 1, "model_version": 1, "error": None}
    assert {e["type"] for e in server.get(path + "?type=status").json["data"]} == {"status"}
    page = server.get(path + "?limit=3&after=%d" % ids[4]).json
    assert [int(e["id"]) for e in page["data"]] == ids[5:8] and (page["first_id"], page["last_id"]) == (str(ids[5]), str(ids[7]))
    for wrong in ("after=x", "after=-1", "type=nope", "limit=0"):
        problem(server.get(path + "?" + wrong), 422, "invalid")


def test_stream_resumes_after_the_last_event(server, long_job):
    path = "/v1/jobs/%s/events" % long_job
    whole = [event_id for event_id, _, _ in server.stream(path)]
    assert [i for i, _, _ in server.stream(path, last=0)] == whole
    for at in (1, 1500, len(whole) - 2):
        assert [i for i, _, _ in server.stream(path, last=whole[at])] == whole[at + 1:]
    for over in (whole[-1], 10 ** 15):
        assert server.get(path, headers={"Accept": "text/event-stream", "Last-Event-ID": str(over)}).status == 204
    for wrong in ("x", "-1", "1.5"):
        problem(server.get(path, headers={"Accept": "text/event-stream", "Last-Event-ID": wrong}), 422, "invalid")


def test_stream_while_it_happens(server):
    """Watched from the first event to the end: every epoch once, in order, and the loss of each."""
    job = server.submit(**{**DIGITS, "epochs": 12, "seed": 1})["id"]
    events = list(server.stream("/v1/jobs/%s/events" % job))
    assert [e["data"]["epoch"] for _, kind, e in events if kind == "metrics"] == list(range(1, 13))
    assert events[-1][1] == "end"
    assert [e for _, _, e in events] == server.all_pages("/v1/jobs/%s/events" % job)


def test_stream_resumed_in_the_middle_misses_nothing(server):
    job = server.submit(**{**DIGITS, "epochs": 40, "seed": 1})["id"]
    path, seen = "/v1/jobs/%s/events" % job, []
    while not seen or seen[-1][1] != "end":
        for event in server.stream(path, last=seen[-1][0] if seen else None):
            seen.append(event)
            if len(seen) % 10 == 0:
                break  # the connection is dropped every ten events
    assert [e["data"]["epoch"] for _, kind, e in seen if kind == "metrics"] == list(range(1, 41))
    assert len({i for i, _, _ in seen}) == len(seen)


def test_stream_of_a_cancelled_and_of_a_deleted_job(fresh):
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**ENDLESS)["id"]
    stream = server.stream("/v1/jobs/%s/events" % job)
    assert next(e for e in stream if e[1] == "metrics")
    server.post("/v1/jobs/%s/cancel" % job)
    rest = list(stream)
    assert rest[-1][1] == "end" and rest[-1][2]["data"]["status"] == "cancelled"
    assert [e["data"]["status"] for _, kind, e in rest if kind == "status"] == ["cancelling", "cancelled"]
    assert server.delete("/v1/jobs/" + job).status == 204
    problem(server.get("/v1/jobs/%s/events" % job, headers={"Accept": "text/event-stream"}), 404, "not_found")


def test_stream_of_all_jobs(fresh):
    """Multiplexes jobs from now on, or from Last-Event-ID; it does not end with a job."""
    server = fresh("--workers", "2")
    before = server.train(**xor())["id"]
    stream = server.stream("/v1/events")
    got, ready = [], threading.Event()

    def read():
        for event in stream:
            got.append(event)
            ready.set()
            if sum(1 for _, kind, _ in got if kind == "end") == 2:
                return
    reader = threading.Thread(target=read)
    reader.start()
    harness.until(lambda: server.get("/v1/server").json["streams"] == 1, what="the stream")
    jobs = [server.submit(**xor(epochs=5))["id"] for _ in range(2)]
    reader.join(60)
    assert not reader.is_alive()
    assert {e["job"] for _, _, e in got} == set(jobs) and [i for i, _, _ in got] == sorted(i for i, _, _ in got)
    for job in jobs:
        assert [e for _, _, e in got if e["job"] == job] == server.all_pages("/v1/jobs/%s/events" % job)
    replay = server.stream("/v1/events", last=0)
    assert next(replay)[2]["job"] == before
    replay.close()
    stream.close()
    assert [e["id"] for e in server.all_pages("/v1/events", limit=6)] == sorted((e["id"] for e in server.all_pages("/v1/events")), key=int)
    assert {e["job"] for e in server.all_pages("/v1/events")} == {before, *jobs}
    harness.until(lambda: server.get("/v1/server").json["streams"] == 0, what="the end of the streams")


def test_streams_max(fresh):
    server = fresh("--streams-max", "2", "--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**ENDLESS)["id"]
    path, open_ones = "/v1/jobs/%s/events" % job, []
    for _ in range(2):
        open_ones.append(server.stream(path))
        next(open_ones[-1])
    answer = server.get(path, headers={"Accept": "text/event-stream"})
    assert "streams_max" in problem(answer, 503, "overloaded")["detail"] and int(answer.headers["Retry-After"]) >= 1
    problem(server.get("/v1/events", headers={"Accept": "text/event-stream"}), 503, "overloaded")
    assert server.get(path).status == 200  # lists are no streams
    open_ones.pop().close()
    harness.until(lambda: server.get("/v1/server").json["streams"] == 1, what="the end of a closed stream")
    again = server.stream(path)
    assert next(again)
    again.close()
    open_ones.pop().close()
    server.post("/v1/jobs/%s/cancel" % job)
    server.wait(job)


def test_stream_over_http_1_0_and_head(server, long_job):
    """An old client gets the stream without chunks; HEAD gets none."""
    path = "/v1/jobs/%s/events" % long_job
    old = server.plain(("GET %s HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n" % path).encode())
    head, _, body = old.partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0] and b"chunked" not in head.lower()
    assert body.startswith(b"id: ") and body.rstrip().split(b"\n\n")[-1].split(b"\n")[1] == b"event: end"
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    connection.request("HEAD", path)
    response = connection.getresponse()
    assert response.status == 200 and response.read() == b""
    connection.close()


# ---- checkpoints ----

def test_checkpoints_are_listed_while_they_are_needed(fresh):
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**{**ENDLESS, "checkpoint_every_epochs": 2})["id"]
    path = "/v1/jobs/%s/checkpoints" % job
    first = harness.until(lambda: server.get(path).json["data"], what="a checkpoint")
    later = harness.until(lambda: [c for c in server.get(path).json["data"] if c["epoch"] > first[-1]["epoch"]], what="the next checkpoint")
    assert all(c["job"] == job and c["epoch"] % 2 == 0 and c["step"] == c["epoch"] * 45 and c["attempt"] == 1 for c in first + later)
    kept = server.get(path).json["data"]
    assert 1 <= len(kept) <= 2  # the last and the best
    event = next(e for e in server.all_pages("/v1/jobs/%s/events?type=checkpoint" % job))
    assert event["data"]["epoch"] == 2
    server.post("/v1/jobs/%s/cancel" % job)
    server.wait(job)
