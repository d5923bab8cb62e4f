"""Goal: a browser signs in with a key and works with a cookie that no other site and no script can use; the pages are served with a strict policy, or not at all."""
import re

import pytest

import harness
from harness import problem
from test_keys import bearer, create, keys


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("session") / "data")
    made = {scope: create(folder, "the-" + scope, scope) for scope in ("read", "predict", "train", "admin")}
    server = harness.Server(folder=folder)
    server.keys = made
    yield server
    assert server.stop() == 0
    server.remove()


def sign_in(server, key):
    answer = server.post("/v1/session", {"key": key})
    assert answer.status == 201 and answer.headers["Cache-Control"] == "no-store", answer
    cookie = answer.headers["Set-Cookie"]
    assert re.fullmatch(r"backpropd_[0-9a-f]{8}=bpt_[0-9a-z]+_[0-9a-f]+_[0-9a-f]{32}; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict", cookie), cookie
    assert key not in cookie
    return {"Cookie": cookie.split(";")[0]}


def test_a_session_takes_the_place_of_the_key(keyed):
    assert keyed.get("/v1/session").json == {"object": "session", "key_required": True, "signed_in": False, "scope": "none", "name": None, "expires_at": None}
    for scope, status in (("read", 200), ("predict", 403), ("train", 200), ("admin", 200)):
        cookie = sign_in(keyed, keyed.keys[scope])
        who = keyed.get("/v1/session", headers=cookie).json
        assert (who["signed_in"], who["scope"], who["name"]) == (True, scope, "the-" + scope)
        assert keyed.get("/v1/jobs", headers=cookie).status == status
        other = {"Cookie": "theme=dark; %s; x=1" % cookie["Cookie"]}
        assert keyed.get("/v1/jobs", headers=other).status == status
    cookie = sign_in(keyed, keyed.keys["train"])
    assert keyed.post("/v1/models", {"name": "of-a-session", "layers": [{"type": "dense", "units": 1}]}, headers=cookie).status == 201
    problem(keyed.delete("/v1/models/of-a-session", headers=cookie), 403, "insufficient_scope")
    stream = keyed.raw("GET", "/v1/events", headers={**cookie, "Accept": "application/json"})
    assert stream.status == 200


def test_the_list_of_keys_has_no_key(keyed):
    answer = keyed.get("/v1/keys", headers=sign_in(keyed, keyed.keys["admin"]))
    assert [(one["name"], one["scope"]) for one in sorted(answer.json["data"], key=lambda one: one["name"])] == [("the-" + scope, scope) for scope in ("admin", "predict", "read", "train")]
    text = answer.body.decode()
    assert not any(key in text or key.split("_")[2] in text for key in keyed.keys.values()) and "hash" not in text
    problem(keyed.get("/v1/keys", headers=bearer(keyed.keys["train"])), 403, "insufficient_scope")


def test_signing_out_forgets_the_cookie(keyed):
    answer = keyed.delete("/v1/session", headers=sign_in(keyed, keyed.keys["read"]))
    assert answer.status == 200 and answer.json["signed_in"] is False
    assert re.match(r"backpropd_[0-9a-f]{8}=; Path=/; Max-Age=0;", answer.headers["Set-Cookie"])
    problem(keyed.get("/v1/jobs", headers={"Cookie": answer.headers["Set-Cookie"].split(";")[0]}), 401, "unauthorized")


def test_other_origins_cannot_use_the_cookie(keyed):
    cookie = sign_in(keyed, keyed.keys["admin"])
    own = "http://127.0.0.1:%d" % keyed.port
    model = {"name": "forged", "layers": [{"type": "dense", "units": 1}]}
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "http://127.0.0.1:1"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
        problem(keyed.post("/v1/models", model, headers={**cookie, **headers}), 401, "unauthorized")
        problem(keyed.get("/v1/jobs", headers={**cookie, **headers}), 401, "unauthorized")
    for headers in ({"Origin": own}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        assert keyed.get("/v1/jobs", headers={**cookie, **headers}).status == 200


def test_forged_and_foreign_sessions(keyed):
    cookie = sign_in(keyed, keyed.keys["read"])["Cookie"]
    name, text = cookie.split("=")
    head, key, expires, mac = text.split("_")
    train = keyed.keys["train"].split("_")[1]
    for forged in ("", "x", "bpt_", text[:-1], text + "0", "_".join([head, key, "%x" % (int(expires, 16) + 1), mac]), "_".join([head, train, expires, mac]), "_".join([head, "file", expires, mac]),
                   "_".join([head, key, expires, "0" * 32]), "bpt_" + "k" * 70, "k" * 500):
        problem(keyed.get("/v1/jobs", headers={"Cookie": "%s=%s" % (name, forged)}), 401, "unauthorized")
    problem(keyed.get("/v1/jobs", headers={"Cookie": "backpropd_00000000=" + text}), 401, "unauthorized")
    for wrong in ({}, {"key": 1}, {"key": ""}, {"key": "k" * 5000}, {"key": keyed.keys["read"], "name": "x"}):
        problem(keyed.post("/v1/session", wrong), 422, "invalid")
    problem(keyed.post("/v1/session", {"key": "bpd_00000000_" + "0" * 52}), 401, "unauthorized")


def test_a_session_survives_a_restart_and_ends_with_its_key(fresh, tmp_path):
    folder = str(tmp_path / "data")
    first, second = create(folder, "one", "read"), create(folder, "two", "read")
    server = fresh(folder=folder)
    cookies = [sign_in(server, key) for key in (first, second)]
    server.restart(kill=True)
    assert [server.get("/v1/jobs", headers=cookie).status for cookie in cookies] == [200, 200]
    assert (tmp_path / "data/session_secret").stat().st_mode & 0o777 == 0o600
    keys(folder, "revoke", "one")
    harness.until(lambda: server.get("/v1/jobs", headers=cookies[0]).status == 401, what="the end of the session")
    keys(folder, "rotate", "two")
    harness.until(lambda: server.get("/v1/jobs", headers=cookies[1]).status == 401, what="the end of the other session")
    copy = tmp_path / "copy"
    assert harness.run("backup", str(copy), "--data-dir", folder).returncode == 0
    assert not list(copy.rglob("session_secret*"))


def test_without_keys_everybody_is_signed_in(server):
    who = server.get("/v1/session").json
    assert (who["key_required"], who["signed_in"], who["scope"]) == (False, True, "admin")
    assert "Set-Cookie" not in server.post("/v1/session", {"key": "anything"}).headers
    assert server.delete("/v1/session").status == 200


def test_the_pages_and_their_policy(server):
    page = server.raw("GET", "/")
    assert page.status == 200 and page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy and "unsafe" not in policy and page.headers["X-Content-Type-Options"] == "nosniff"
    text = page.body.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>|\son\w+=|style=|https?://", text), "inline script or style, or another host"
    sizes = 0
    seen, wanted = set(), {"/", "/dashboard/vendor/dygraph.js"}
    while wanted:
        path = wanted.pop()
        seen.add(path)
        answer = server.raw("GET", path, headers={"Accept-Encoding": "gzip"})
        assert answer.status == 200 and answer.headers["Content-Encoding"] == "gzip", path
        sizes += len(answer.body)
        again = server.raw("GET", path, headers={"Accept-Encoding": "gzip", "If-None-Match": answer.headers["ETag"]})
        assert again.status == 304 and not again.body
        body = server.raw("GET", path).body.decode()
        base = path.rsplit("/", 1)[0]
        if "vendor" in path:
            continue
        for link in re.findall(r'(?:src|href)="(/[^"#]+)"', body) + [base + "/" + part for part in re.findall(r'(?:from|import\()\s*"(\.{1,2}/[^"]+)"', body)]:
            parts = []
            for part in link.strip("/").split("/"):
                parts = parts[:-1] if part == ".." else parts + ([part] if part != "." else [])
            if "/" + "/".join(parts) not in seen:
                wanted.add("/" + "/".join(parts))
    assert len(seen) > 20 and sizes < 300000, (len(seen), sizes)
    samples = server.raw("GET", "/dashboard/samples/penguins.csv")
    assert samples.headers["Content-Type"] == "text/csv; charset=utf-8" and samples.body == (harness.ROOT / "clients/examples/penguins.csv").read_bytes()
    for path in ("/dashboard/none.js", "/dashboard/lib/none.js", "/dashboard/lib/..%2fapp.js", "/dashboard/views/app.js"):
        problem(server.get(path), 404, "not_found")


def test_without_the_dashboard(fresh):
    for flags in (["--no-dashboard"], ["--dashboard=false"]):
        server = fresh(*flags)
        answer = server.get("/")
        problem(answer, 404, "not_found")
        assert "the dashboard is off" in answer.json["detail"]
        assert server.get("/v1/server").status == 200
    wrong = harness.run("serve", "--no-listen")
    assert wrong.returncode == 1 or wrong.returncode == 2
    assert "unknown flag --no-listen" in wrong.stderr
