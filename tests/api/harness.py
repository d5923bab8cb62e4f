"""The server as a stranger meets it: a process with a data folder, spoken to over HTTP with the standard library only.

Every answer that goes through Server.request is checked against schema/openapi.yaml (as the running server tells it at /openapi.json), and the
route is noted, so that test_zz_routes.py can say which routes no test has exercised."""
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "fixtures" / "data"
BACKPROPD = os.environ.get("BACKPROPD", str(ROOT / "build" / "backpropd"))
FINAL = ("succeeded", "failed", "cancelled")
exercised = set()
_contract = None


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "<%d %s>" % (self.status, self.body[:400])


def _operation(contract, method, path):
    """The path template and operation of the contract that serve this request."""
    for template, operations in contract["paths"].items():
        pattern = "^" + re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template)) + "$"
        if re.match(pattern, path) and method.lower() in operations:
            return template, operations[method.lower()]
    return None, None


def _check_contract(contract, method, path, answer):
    template, operation = _operation(contract, method, path.split("?")[0])
    if operation is None:
        assert answer.status in (400, 403, 404, 405), "%s %s is not in the contract and answered %r" % (method, path, answer)
        return
    exercised.add(operation["operationId"])
    responses = operation["responses"]
    described = responses.get(str(answer.status)) or responses.get("default")
    assert described, "%s %s answered %d, which the contract does not know" % (method, template, answer.status)
    while "$ref" in described:
        described = _resolve(contract, described["$ref"])
    content = described.get("content", {})
    kind = answer.headers.get("Content-Type", "").split(";")[0]
    if not answer.body:
        return
    assert kind in content, "%s %s answered %d with %s, the contract says %s" % (method, template, answer.status, kind, list(content))
    if kind.endswith("json"):
        schema = dict(content[kind]["schema"])
        schema["components"] = contract["components"]
        jsonschema.Draft202012Validator(schema).validate(answer.json)


def _resolve(contract, reference):
    node = contract
    for part in reference.lstrip("#/").split("/"):
        node = node[part]
    return node


class Server:
    def __init__(self, *flags, folder=None, env=None):
        self.folder = folder or tempfile.mkdtemp(prefix="backpropd-test-")
        self.flags, self.env = list(flags), env or {}
        self.process = None
        self.start()

    def start(self):
        self.log = open(os.path.join(self.folder, "..", os.path.basename(self.folder) + ".log"), "ab")
        self.process = subprocess.Popen(
            [BACKPROPD, "serve", "--listen", "127.0.0.1:0", "--data-dir", self.folder, *self.flags],
            stdout=subprocess.PIPE, stderr=self.log, text=True, env={**os.environ, **self.env})
        line = self.process.stdout.readline()
        assert "listening on http://" in line, "the server did not start: %r, see %s" % (line, self.log.name)
        self.host, self.port = re.search(r"http://([^:]+):(\d+)", line).groups()
        self.port = int(self.port)
        self.url = "http://%s:%d" % (self.host, self.port)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def restart(self, kill=False):
        if kill:
            self.kill()
        else:
            assert self.stop() == 0
        self.start()

    def raw(self, method, path, body=None, headers=None, timeout=60):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return Answer(response.status, {k: v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def contract(self):
        global _contract
        if _contract is None:
            _contract = self.raw("GET", "/openapi.json").json
        return _contract

    def request(self, method, path, json_body=None, body=None, headers=None, timeout=60):
        headers = dict(headers or {})
        if json_body is not None:
            body = json.dumps(json_body).encode()
            headers.setdefault("Content-Type", "application/json")
        answer = self.raw(method, path, body, headers, timeout)
        _check_contract(self.contract(), method, path, answer)
        return answer

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, json_body=None, **more):
        return self.request("POST", path, json_body, **more)

    def delete(self, path, **more):
        return self.request("DELETE", path, **more)

    # -- what many tests do --
    def upload(self, name, csv, query=""):
        text = csv.read_bytes() if isinstance(csv, pathlib.Path) else csv.encode() if isinstance(csv, str) else csv
        answer = self.request("POST", "/v1/datasets?name=%s%s" % (name, query), body=text, headers={"Content-Type": "text/csv"})
        assert answer.status == 201, answer
        return answer.json

    def submit(self, **job):
        answer = self.post("/v1/jobs", job)
        assert answer.status == 202, answer
        return answer.json

    def wait(self, job_id, until=FINAL, seconds=120):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job = self.get("/v1/jobs/" + job_id, headers={"Prefer": "wait=5"} if until == FINAL else {}).json
            if (until(job) if callable(until) else job["status"] in until):
                return job
            if job["status"] in FINAL:
                raise AssertionError("the job ended first: %r" % job)
        raise AssertionError("not within %d s: %r" % (seconds, job))

    def train(self, **job):
        ended = self.wait(self.submit(**job)["id"])
        assert ended["status"] == "succeeded", ended
        return ended

    def predict(self, model, instances):
        answer = self.post("/v1/models/%s/predict" % model, {"instances": instances})
        assert answer.status == 200, answer
        return answer.json["predictions"]

    def children(self):
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout
        return [int(pid) for pid in found.split()]


def problem(answer, status, code):
    """Asserts an RFC 9457 problem and returns it."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json
    assert body["status"] == status and body["code"] == code, body
    assert body["request_id"] == answer.headers["X-Request-Id"]
    assert body["detail"]
    return body
