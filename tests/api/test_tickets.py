"""Goal: a browser follows events with a ticket in place of a key; a page of another origin gets no more than the settings allow; streams end with their key."""
import http.client
import time

import pytest

import harness
from harness import problem, xor
from test_keys import bearer, create, keys, until_status

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("tickets") / "data")
    made = {scope: create(folder, "the-" + scope, scope) for scope in ("read", "predict", "train", "admin")}
    server = harness.Server("--access-log", folder=folder)
    server.keys = made
    server.job = server.post("/v1/jobs", xor(epochs=5), headers=bearer(made["train"])).json["id"]
    harness.until(lambda: server.get("/v1/jobs/" + server.job, headers=bearer(made["read"])).json["status"] == "succeeded", what="the job")
    yield server
    assert server.stop() == 0
    server.remove()


def ticket(server, path, key):
    answer = server.post("/v1/tickets", {"path": path}, headers=bearer(server.keys[key]))
    assert answer.status == 201 and answer.headers["Cache-Control"] == "no-store", answer
    assert answer.json["path"] == path
    return answer.json["ticket"]


def test_a_ticket_opens_its_stream(keyed):
    path = "/v1/jobs/%s/events" % keyed.job
    one = ticket(keyed, path, "read")
    events = list(keyed.stream("%s?ticket=%s" % (path, one)))
    assert [e[1] for e in events].count("metrics") == 5 and events[-1][1] == "end"
    later = list(keyed.stream("%s?ticket=%s&after=%d" % (path, one, events[3][0])))  # as a new EventSource resumes
    assert later == events[4:]
    assert list(keyed.stream("%s?ticket=%s&after=0" % (path, one), last=events[3][0])) == events[4:]  # as a browser reconnects
    ended = keyed.raw("GET", "%s?ticket=%s&after=%d" % (path, one, events[-1][0]), headers=STREAM)
    assert ended.status == 204  # nothing more: an EventSource stops
    problem(keyed.get(path + "?after=x", headers={**STREAM, **bearer(keyed.keys["read"])}), 422, "invalid")


def test_a_ticket_is_for_one_path_and_scope(keyed):
    path = "/v1/jobs/%s/events" % keyed.job
    one = ticket(keyed, path, "admin")
    for other in ("/v1/events", "/v1/jobs/job_0/events"):
        problem(keyed.get("%s?ticket=%s" % (other, one), headers=STREAM), 401, "unauthorized")
    for closed in ("/v1/jobs", "/v1/jobs/" + keyed.job):
        assert keyed.get("%s?ticket=%s" % (closed, one)).status == 401
    assert keyed.get("/v1/jobs?ticket=" + one, headers=bearer(keyed.keys["read"])).status == 422  # no such parameter there
    head, key, expires, mac = one.split("_")
    for forged in ("", "x", "bpt_", one[:-1], one + "0", "_".join([head, key, "%x" % (int(expires, 16) + 1), mac]), "_".join([head, keyed.keys["train"].split("_")[1], expires, mac]),
                   "_".join([head, key, expires, "0" * 32]), "bpt__ffffffffffff_" + "0" * 32, "bpt_" + "k" * 200):
        problem(keyed.get("%s?ticket=%s" % (path, forged), headers=STREAM), 401, "unauthorized")
    problem(keyed.get("%s?ticket=%s" % (path, one), headers={**STREAM, **bearer("x" * 40)}), 401, "unauthorized")  # a key comes first
    for key, expected in (("predict", 403), ("read", 201), ("train", 201)):
        assert keyed.post("/v1/tickets", {"path": path}, headers=bearer(keyed.keys[key])).status == expected
    problem(keyed.post("/v1/tickets", {"path": path}), 401, "unauthorized")
    for wrong in ({}, {"path": 1}, {"path": "/v1/jobs"}, {"path": "/v1/jobs/x/events/"}, {"path": "/v1/events?x=1"}, {"path": "/v1/events", "seconds": 5}):
        problem(keyed.post("/v1/tickets", wrong, headers=bearer(keyed.keys["read"])), 422, "invalid")


def test_tickets_are_not_logged(keyed):
    path = "/v1/jobs/%s/events" % keyed.job
    one = ticket(keyed, path, "read")
    assert list(keyed.stream("%s?ticket=%s" % (path, one)))
    harness.until(lambda: "path=%s" % path in keyed.log_text(), what="the line of the stream")
    assert one not in keyed.log_text() and "bpt_" not in keyed.log_text()
    assert not [line for line in harness.run("audit", "--data-dir", keyed.folder).stdout.splitlines() if "bpt_" in line]


def test_a_ticket_ends_with_its_process_and_key(fresh, tmp_path):
    folder = str(tmp_path / "data")
    key, spare = create(folder, "one", "read"), create(folder, "two", "read")
    server = fresh(folder=folder)
    server.keys = {"read": key, "spare": spare}
    one, other = ticket(server, "/v1/events", "read"), ticket(server, "/v1/events", "spare")
    get = lambda text: server.raw("GET", "/v1/events?ticket=" + text).status
    assert [get(one), get(other)] == [200, 200]
    keys(folder, "revoke", "one")
    until_status(server, key, 401)
    assert [get(one), get(other)] == [401, 200]
    server.restart()
    assert get(other) == 401


@pytest.mark.parametrize("end", [["revoke", "brief"], ["rotate", "brief"], ["rotate", "brief", "--grace", "1s"]])
def test_an_open_stream_ends_with_its_key(fresh, end):
    server = fresh()
    key = create(server.folder, "brief", "read")
    until_status(server, None, 401)
    connection = server.connection()
    connection.request("GET", "/v1/events", headers={**STREAM, **bearer(key)})
    response = connection.getresponse()
    assert response.status == 200
    keys(server.folder, *end)
    with pytest.raises(http.client.IncompleteRead):  # broken off, not at its end
        response.read()
    connection.close()


def test_without_keys_no_ticket_is_needed(server):
    answer = server.post("/v1/tickets", {"path": "/v1/events"})
    assert answer.status == 201 and abs(time.time() + 60 - time.mktime(time.strptime(answer.json["expires_at"][:19], "%Y-%m-%dT%H:%M:%S")) + time.timezone) < 3600
    assert server.get("/v1/events?ticket=" + answer.json["ticket"]).status == 200
    assert server.get("/v1/events?ticket=old").status == 200


def test_cors_credentials(fresh, tmp_path):
    origin = {"Origin": "https://app.example"}
    plain, with_them = fresh("--cors-origin", "https://app.example"), fresh("--cors-origin", "https://app.example", "--cors-credentials")
    for method, path in (("GET", "/v1/jobs"), ("OPTIONS", "/v1/tickets"), ("GET", "/nothing")):
        assert "Access-Control-Allow-Credentials" not in plain.raw(method, path, headers=origin).headers
        assert with_them.raw(method, path, headers=origin).headers["Access-Control-Allow-Credentials"] == "true"
        assert "Access-Control-Allow-Credentials" not in with_them.raw(method, path, headers={"Origin": "https://evil.example"}).headers
    preflight = plain.raw("OPTIONS", "/v1/tickets", headers={**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"})
    assert preflight.status == 204 and "Authorization" in preflight.headers["Access-Control-Allow-Headers"] and "POST" in preflight.headers["Access-Control-Allow-Methods"]
    done = harness.run("serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data", "--cors-origin", "*", "--cors-credentials")
    assert done.returncode == 2 and "name the origins" in done.stderr


def test_a_stream_of_another_origin(keyed):
    """The head of a stream is written beside libmicrohttpd, and has the headers for browsers too."""
    other = harness.Server("--cors-origin", "https://app.example")
    try:
        job = other.submit(**xor())["id"]
        other.wait(job)
        answer = other.raw("GET", "/v1/jobs/%s/events" % job, headers={**STREAM, "Origin": "https://app.example"})
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example" and b"event: end" in answer.body
    finally:
        other.remove()
