"""Goal: keys with scopes, made, rotated and revoked while the server runs; wrong keys limited; an audit log of who changed what."""
import datetime
import json
import re
import sqlite3

import pytest

import harness
from harness import problem, unique, xor

SCOPES = {"read": {"any", "read"}, "predict": {"any", "predict"}, "train": {"any", "read", "predict", "train"},
          "admin": {"any", "read", "predict", "train", "admin"}}
WRONG = "bpd_00000000_" + "0" * 52


def keys(folder, *arguments, code=0):
    done = harness.run("keys", *arguments, "--data-dir", folder)
    assert done.returncode == code, done
    return done


def create(folder, name, scope, *more):
    text = keys(folder, "create", "--name", name, "--scope", scope, *more).stdout.strip()
    assert re.fullmatch("bpd_[0-9a-z]{8}_[0-9a-z]{52}", text)
    return text


def bearer(key):
    return {"Authorization": "Bearer " + key}


def status(server, key, path="/v1/models", method="GET"):
    return server.raw(method, path, headers=bearer(key) if key else {}).status


def until_status(server, key, expected):
    harness.until(lambda: status(server, key) == expected, what="the status %d" % expected)


@pytest.fixture
def keyed(fresh, tmp_path):
    """A server with a key of each scope, made before it starts."""
    folder = str(tmp_path / "data")
    made = {scope: create(folder, "the-" + scope, scope) for scope in SCOPES}
    server = fresh(folder=folder)
    server.keys = made
    return server


def audit(server, *more):
    done = harness.run("audit", "--format", "json", "--limit", "1000", "--data-dir", server.folder, *more)
    assert done.returncode == 0, done
    return [json.loads(line) for line in done.stdout.splitlines()]


def operations(contract):
    """(operationId, method, path with some name for each parameter, needed scope) of every operation."""
    for path, methods in contract["paths"].items():
        for method, operation in methods.items():
            if method == "parameters":
                continue
            security = operation["security"]
            needed = "open" if not security else (security[1]["key"] or ["any"])[0]
            yield operation["operationId"], method.upper(), re.sub(r"\{[^}]*\}", "nothing", path), needed


def test_every_route_with_every_scope(keyed):
    """401 without a key, 403 with the name of the needed scope, and otherwise the route's own answer."""
    contract = keyed.raw("GET", "/openapi.json", headers=bearer(keyed.keys["read"])).json
    table = list(operations(contract))
    assert {needed for *_, needed in table} == {"open", "any", "read", "predict", "train", "admin"}
    for name, method, path, needed in table:
        answer = keyed.request(method, path)
        if needed == "open":
            assert answer.status not in (401, 403), name
            continue
        assert problem(answer, 401, "unauthorized") and answer.headers["WWW-Authenticate"] == "Bearer", name
        for scope, included in SCOPES.items():
            answer = keyed.request(method, path, headers=bearer(keyed.keys[scope]))
            if needed in included:
                assert answer.status not in (401, 403), (name, scope, answer)
            else:
                detail = problem(answer, 403, "insufficient_scope")["detail"]
                assert "the scope %s;" % needed in detail and '"the-%s" is %s' % (scope, scope) in detail


def test_a_scope_does_real_work(keyed):
    train, predict = bearer(keyed.keys["train"]), bearer(keyed.keys["predict"])
    job = keyed.post("/v1/jobs", xor(model={"name": "xor", "layers": [{"type": "dense", "units": 4}]}), headers=train).json
    harness.until(lambda: keyed.get("/v1/jobs/" + job["id"], headers=train).json["status"] == "succeeded", what="the job")
    body = {"instances": [[0, 1]]} 
    assert keyed.post("/v1/models/xor/predict", body, headers=predict).status == 200
    problem(keyed.get("/v1/models/xor", headers=predict), 403, "insufficient_scope")
    problem(keyed.delete("/v1/models/xor", headers=train), 403, "insufficient_scope")
    assert keyed.delete("/v1/models/xor", headers=bearer(keyed.keys["admin"])).status == 204


def test_the_guide_has_the_scope_of_every_route(server):
    guide = (harness.ROOT / "clients/guides/security.md").read_text()
    rows = dict(re.findall(r"^\| `(any|read|predict|train|admin)` \| (.*?) \|", guide, re.M))
    for name, _, _, needed in operations(server.contract()):
        assert needed == "open" or "`%s`" % name in rows[needed], (name, needed)
        assert sum("`%s`" % name in row for row in rows.values()) == (needed != "open"), name


def test_commands_take_effect_without_a_restart(fresh):
    server = fresh()
    assert status(server, None) == 200  # nobody has made a key yet
    first = create(server.folder, "first", "admin")
    until_status(server, None, 401)  # on the loopback interface, too
    until_status(server, first, 200)
    second = create(server.folder, "second", "read", "--expires", "1h")
    until_status(server, second, 200)
    rotated = keys(server.folder, "rotate", "second").stdout.strip()
    assert rotated.split("_")[1] == second.split("_")[1] and rotated != second
    until_status(server, rotated, 200)
    assert status(server, second) == 401
    with_grace = keys(server.folder, "rotate", "second", "--grace", "1h").stdout.strip()
    until_status(server, with_grace, 200)
    assert status(server, rotated) == 200
    keys(server.folder, "revoke", "second")
    until_status(server, with_grace, 401)
    assert status(server, rotated) == 401 and status(server, first) == 200
    keys(server.folder, "revoke", "first")
    until_status(server, first, 401)
    server.restart()
    assert status(server, None) == 401  # it does not open again
    assert "there is no key" in keys(server.folder, "revoke", "first", code=1).stderr


def test_an_expired_key_is_refused(fresh):
    server = fresh()
    key = create(server.folder, "brief", "read", "--expires", "1s")
    until_status(server, None, 401)
    harness.until(lambda: "has expired" in server.raw("GET", "/v1/models", headers=bearer(key)).body.decode(), what="the end of the key")
    assert "has expired" in server.raw("GET", "/v1/models", headers=bearer(key)).json["detail"]
    again = keys(server.folder, "rotate", "brief", "--expires", "never").stdout.strip()
    until_status(server, again, 200)


def test_the_key_is_nowhere_in_the_folder(keyed):
    for key in keyed.keys.values():
        assert status(keyed, key, "/v1/catalog") == 200
    assert keyed.stop() == 0
    for path in harness.pathlib.Path(keyed.folder).rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not [key for key in keyed.keys.values() if key.encode() in content or key.split("_")[2].encode() in content], path
    assert not [key for key in keyed.keys.values() if key.split("_")[2] in keyed.log_text()]


def test_list_shows_the_last_use(keyed):
    def row(name):
        return next(line for line in keys(keyed.folder, "list").stdout.splitlines() if line.startswith(name + " "))

    assert row("the-train").split()[-1] == "never"
    assert status(keyed, keyed.keys["train"]) == 200
    harness.until(lambda: row("the-train").endswith(" 127.0.0.1"), what="the last use")
    used = datetime.datetime.fromisoformat(row("the-train").split()[-2].replace("Z", "+00:00"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - used).total_seconds()) < 3600
    assert row("the-read").split()[-1] == "never" and keyed.keys["train"] not in keys(keyed.folder, "list").stdout


def test_uses_and_readiness_do_not_write(keyed):
    """Once the first use is stored, requests and probes leave the database file alone."""
    def changes():
        with sqlite3.connect("file:%s/backpropd.db?mode=ro" % keyed.folder, uri=True) as database:
            return database.execute("SELECT max(last_used_at) FROM keys").fetchone()[0], (harness.pathlib.Path(keyed.folder) / "backpropd.db-wal").read_bytes()

    assert status(keyed, keyed.keys["read"]) == 200
    harness.until(lambda: changes()[0], what="the first use")
    before = changes()
    for _ in range(200):  # longer than two turns of the thread that stores uses
        assert status(keyed, keyed.keys["read"]) == 200 and keyed.raw("GET", "/readyz").status == 200 and keyed.raw("GET", "/livez").status == 200
    assert changes() == before


def test_wrong_keys_are_limited_per_address(fresh, tmp_path):
    folder, short, long = str(tmp_path / "data"), tmp_path / "short", "k" * 32
    made = create(folder, "made", "read")
    short.write_text("sixteen-letters-\n")
    server = fresh("--wrong-keys-max", "3", "--api-key-file", str(short), folder=folder)
    for _ in range(3):
        problem(server.get("/v1/models", headers=bearer(WRONG)), 401, "unauthorized")
    limited = server.get("/v1/models", headers=bearer(WRONG))
    problem(limited, 429, "wrong_keys")
    assert 1 <= int(limited.headers["Retry-After"]) <= 20
    assert status(server, made) == 200  # nobody guesses 260 bits
    assert status(server, "sixteen-letters-") == 429  # but perhaps this
    assert status(server, None) == 401 and server.get("/livez").status == 200
    short.write_text(long + "\n")
    server.restart()
    for _ in range(4):
        server.raw("GET", "/v1/models", headers=bearer(WRONG))
    assert status(server, WRONG) == 429 and status(server, long) == 200


def test_addresses_behind_a_proxy(fresh):
    server = fresh("--trusted-proxy", "127.0.0.1,192.0.2.9", "--wrong-keys-max", "1")
    create(server.folder, "k", "admin")
    until_status(server, None, 401)

    def wrong(*forwarded):
        lines = "".join("X-Forwarded-For: %s\r\n" % value for value in forwarded)
        return int(server.plain(("GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer %s\r\n%s\r\n" % (WRONG, lines)).encode()).split()[1])

    assert [wrong("198.51.100.1"), wrong("198.51.100.1"), wrong("198.51.100.2")] == [401, 429, 401]
    assert wrong("203.0.113.5, 198.51.100.1") == 429  # what a client made up stands before
    assert wrong("203.0.113.5", "198.51.100.1") == 429  # also as a header of its own
    assert wrong("198.51.100.1, 192.0.2.9") == 429  # two proxies
    assert [wrong("2001:db8:0:1::1"), wrong("2001:db8:0:1:ffff::2"), wrong("2001:db8:0:2::1")] == [401, 429, 401]  # by /64
    denied = [e["address"] for e in harness.until(lambda: [e for e in audit(server) if e["denied"]][3:] and [e for e in audit(server) if e["denied"]], what="the entries")]
    assert "198.51.100.2" in denied and "2001:db8:0:2::1" in denied and "203.0.113.5" not in denied
    plain = fresh("--wrong-keys-max", "1")  # no proxy is trusted
    create(plain.folder, "k", "admin")
    until_status(plain, None, 401)
    forged = {**bearer(WRONG), "X-Forwarded-For": "198.51.100.7"}
    assert [plain.raw("GET", "/v1/models", headers=forged).status for _ in range(2)] == [401, 429]


def test_audit_log(keyed):
    train, admin = bearer(keyed.keys["train"]), bearer(keyed.keys["admin"])
    name = unique("audited")
    made = keyed.post("/v1/models", {"name": name, "layers": []}, headers=train)
    (job,) = {keyed.post("/v1/jobs", xor(metadata={"secret": "hunter2"}), headers={**train, "Idempotency-Key": "once"}).json["id"] for _ in range(3)}
    keyed.get("/v1/models/" + name, headers=train)
    keyed.post("/v1/models/validate", {"layers": [{"type": "dense", "units": 1}]}, headers=train)
    keyed.post("/v1/models/%s/predict" % name, {"instances": [[1]]}, headers=train)
    keyed.delete("/v1/models/nothing", headers=admin)  # 404: nothing changed
    denied = keyed.delete("/v1/models/" + name, headers=train)
    keyed.get("/v1/models", headers=bearer(WRONG))
    keyed.get("/v1/models")
    keyed.delete("/v1/models/" + name, headers=admin)
    keys(keyed.folder, "revoke", "the-read")
    entries = harness.until(lambda: len(audit(keyed)) >= 10 and audit(keyed), what="ten entries")[::-1]
    assert [(e["action"], e["target"], e["status"], e["denied"]) for e in entries[:4]] == [("keys create", "the-" + s, 0, False) for s in SCOPES]
    seen = [(e["action"], e["target"], e["status"], e["key_name"], e["denied"]) for e in entries[4:]]
    assert sorted(seen[:-1] + seen[-1:]) == sorted([
        ("create_model", "/v1/models/" + name, 201, "the-train", False), ("create_job", "/v1/jobs/" + job, 202, "the-train", False),
        ("delete_model", "/v1/models/" + name, 403, "the-train", True), ("list_models", "/v1/models", 401, "", True),
        ("delete_model", "/v1/models/" + name, 204, "the-admin", False), ("keys revoke", "the-read", 0, entries[0]["key_name"], False)])
    by_request = {e["request_id"]: e for e in entries}
    assert by_request[made.headers["X-Request-Id"]]["key_id"] == keyed.keys["train"].split("_")[1]
    assert by_request[denied.headers["X-Request-Id"]]["address"] == "127.0.0.1"
    assert entries[0]["key_name"].startswith("user ") and entries[0]["address"] == "local"
    text = json.dumps(entries)
    assert "hunter2" not in text and not [k for k in keyed.keys.values() if k in text]
    newest = audit(keyed)[0]
    assert [e["id"] for e in audit(keyed, "--before", str(newest["id"]))] == [e["id"] for e in entries[-2::-1]]
    lines = harness.run("audit", "--data-dir", keyed.folder).stdout.splitlines()
    assert len(lines) == len(entries) and "changed" in lines[0] and keyed.stop() == 0
    assert audit(keyed) == entries[::-1]  # without a server


def test_denied_requests_do_not_fill_the_audit_log(keyed):
    """Strangers cause entries: only so many in a row, the rest is counted. Changes are kept apart."""
    connection = harness.http.client.HTTPConnection(keyed.host, keyed.port)
    for _ in range(300):
        connection.request("DELETE", "/v1/models/x", headers=bearer(keyed.keys["read"]))
        assert connection.getresponse().read()
    connection.close()
    assert keyed.stop() == 0
    entries = audit(keyed)
    denied = [e for e in entries if e["denied"]]
    kept = [e for e in denied if e["action"] == "delete_model"]
    (rest,) = [e for e in denied if e["action"] == "denied"]
    assert 100 <= len(kept) < 300 and rest["target"] == "%d more denied requests" % (300 - len(kept))
    assert [e["action"] for e in entries if not e["denied"]] == ["keys create"] * 4


@pytest.mark.parametrize("arguments, words", [
    (["create"], "--name and --scope"), (["create", "--name", "x"], "--scope"), (["create", "--name", "X y", "--scope", "read"], "not a valid name"),
    (["create", "--name", "x", "--scope", "root"], "read predict train admin"), (["create", "--name", "x", "--scope", "read", "--expires", "soon"], "90d"),
    (["create", "--name", "x", "--scope", "read", "--expires", "0d"], "90d"), (["create", "--name", "x", "--scope", "read", "--grace", "1h"], "takes no --grace"),
    (["revoke"], "the name of a key"), (["rotate", "--grace", "1h"], "the name of a key"), (["burn"], "create list revoke rotate"), (["list", "--all"], "unknown flag"),
])
def test_misuse_of_keys(tmp_path, arguments, words):
    done = harness.run("keys", *arguments, *(["--data-dir", tmp_path / "none"] if "revoke" not in arguments else []))
    assert done.returncode == 2 and words in done.stderr and not (tmp_path / "none").exists()


def test_commands_need_a_folder_and_a_name(tmp_path):
    folder = tmp_path / "data"
    for arguments in (["list"], ["revoke", "x"], ["rotate", "x"]):
        assert "there is no data folder" in keys(folder, *arguments, code=1).stderr and not folder.exists()
    create(folder, "x", "read")
    assert "use another name" in keys(folder, "create", "--name", "x", "--scope", "read", code=1).stderr
    keys(folder, "revoke", "x")
    create(folder, "x", "admin")  # the name is free again
    assert harness.run("audit", "--limit", "0", "--data-dir", folder).returncode == 2


def test_a_key_in_the_database_opens_other_addresses(fresh, tmp_path):
    folder = str(tmp_path / "data")
    key = create(folder, "x", "admin")
    server = fresh("--listen", "0.0.0.0:0", folder=folder)
    server.host = "127.0.0.1"
    assert status(server, key) == 200 and status(server, None) == 401
    assert server.stop() == 0
    keys(folder, "revoke", "x")
    done = harness.run("serve", "--listen", "0.0.0.0:0", "--data-dir", folder)
    assert done.returncode == 1 and "backpropd keys create" in done.stderr


def test_the_whole_key_of_a_file_counts(fresh, tmp_path):
    path, key = tmp_path / "key", "".join(chr(33 + i % 90) for i in range(4096))
    path.write_text(key + "\n")
    path.chmod(0o600)
    server = fresh("--api-key-file", str(path))
    assert status(server, key) == 200
    assert [status(server, wrong) for wrong in (key[:-1], key[:511], key[:-1] + "~", key + "x")] == [401] * 4
    path.write_text(key + "x\n")
    done = harness.run("serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data", "--api-key-file", path)
    assert done.returncode == 1 and "4096" in done.stderr


def test_commands_beside_a_busy_server_lose_nothing(fresh):
    """Commits of a command beside the writer's checkpoints."""
    server = fresh()
    admin = create(server.folder, "admin", "admin")
    until_status(server, None, 401)
    big = {"name": "big", "records": [{"a": i, "b": "x" * 20} for i in range(2000)]}
    made = []
    for i in range(8):
        for k in range(6):
            assert server.raw("POST", "/v1/models", json.dumps({"name": "m%d-%d" % (i, k), "layers": [], "metadata": {"t": "y" * 8000}}).encode(),
                              {**bearer(admin), "Content-Type": "application/json"}).status in (201, 422)
        made.append(create(server.folder, "k%d" % i, "read"))
    assert server.raw("POST", "/v1/datasets", json.dumps(big).encode(), {**bearer(admin), "Content-Type": "application/json"}).status == 201
    for key in made:
        until_status(server, key, 200)
    assert server.stop() == 0
    assert harness.run("check", "--data-dir", server.folder).returncode == 0
    assert len(keys(server.folder, "list").stdout.splitlines()) == 10
