"""The server as a stranger meets it: a process with a data folder, spoken to over HTTP with the standard library only.

Every answer that goes through Server.request is checked against schema/openapi.yaml (as the running server tells it at /openapi.json): status,
headers, Content-Type, body; so is every JSON body that was accepted. A route that answers well is noted in the file
EXERCISED_ROUTES, so that test_routes.py can report the routes that no test has exercised. No answer may be a 5xx but the 503 of a limit."""
import contextlib
import functools
import http.client
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import tempfile
import time
import urllib.parse

import jsonschema
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "fixtures" / "data"
BACKPROPD = os.path.abspath(os.environ.get("BACKPROPD", ROOT / "build" / "backpropd"))
FINAL = ("succeeded", "failed", "cancelled")
exercised = set()
_contract = None
_validators = {}
_numbers = itertools.count(1)


@functools.lru_cache(None)
def has_sanitizer():
    """Whether the server was built with AddressSanitizer or ThreadSanitizer."""
    program = pathlib.Path(BACKPROPD).read_bytes()
    return b"__asan_init" in program or b"__tsan_init" in program


def preload_library(folder, name, source):
    """The path of a library for LD_PRELOAD, compiled from C source; skips the test if a sanitizer has to be loaded first."""
    if has_sanitizer():
        pytest.skip("a sanitizer must be the first library that is loaded")
    (folder / (name + ".c")).write_text(source)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", folder / (name + ".so"), folder / (name + ".c"), "-ldl"], check=True)
    return folder / (name + ".so")


def unique(prefix):
    """A name that no other test uses."""
    return "%s-%d" % (prefix, next(_numbers))


class TooLate(AssertionError):
    """A job has succeeded before the test could disturb it: nothing was tested."""


def again_if_too_late(test):
    """For a test that disturbs a job which has to end by itself afterwards, so that it cannot be endless: it is repeated if the test was held up until the
    job was over. Only then: whatever else fails, fails at once. Servers of the first time stay until the end of the test."""
    @functools.wraps(test)
    def repeated(*arguments, **more):
        for _ in range(3):
            try:
                return test(*arguments, **more)
            except TooLate:
                pass
        return test(*arguments, **more)
    return repeated


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "<%d %s>" % (self.status, self.body[:1500])


def _operation(contract, method, path):
    """The path template and operation of the contract that serve this request."""
    for template, operations in contract["paths"].items():
        pattern = "^" + re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template)) + "$"
        if re.match(pattern, path) and method.lower() in operations:
            return template, operations[method.lower()]
    return None, None


def _validate(contract, schema, value, what):
    key = json.dumps(schema, sort_keys=True)
    if key not in _validators:
        _validators[key] = jsonschema.Draft202012Validator({**schema, "components": contract["components"]})
    fault = jsonschema.exceptions.best_match(_validators[key].iter_errors(value))
    assert fault is None, "%s is not as the contract says: %s at %s" % (what, fault.message[:600], list(fault.absolute_path))


def check_component(server, name, value):
    _validate(server.contract(), {"$ref": "#/components/schemas/" + name}, value, name)


def _note(operation):
    """Appends an operation to the file that the processes of a run share, once for each process."""
    if operation not in exercised:
        exercised.add(operation)
        if "EXERCISED_ROUTES" in os.environ:
            with open(os.environ["EXERCISED_ROUTES"], "a") as file:
                file.write(operation + "\n")


def _check_contract(contract, method, path, answer, sent):
    template, operation = _operation(contract, method, path.split("?")[0])
    what = "the answer %d of %s %s" % (answer.status, method, template or path)
    assert answer.status < 500 or answer.status == 503, "%s: %r" % (what, answer)
    if operation is None:
        assert answer.status in (400, 403, 404, 405), "%s %s is not in the contract and answered %r" % (method, path, answer)
        return
    if answer.status < 400:  # an error shows no more than that the path is there
        _note(operation["operationId"])
    responses = operation["responses"]
    described = responses.get(str(answer.status)) or responses.get("default")
    assert described, what + " is not in the contract"
    described = _resolve(contract, described)
    for name, header in described.get("headers", {}).items():
        header = _resolve(contract, header)
        if name in answer.headers:
            _validate(contract, header["schema"], answer.headers[name], what + ": the header " + name)
        else:
            assert not header.get("required"), what + " has no header " + name
    content = described.get("content", {})
    kind = answer.headers.get("Content-Type", "").split(";")[0]
    if answer.body:
        assert kind in content, "%s has the type %s, the contract says %s" % (what, kind, list(content))
    if answer.body and kind.endswith("json") and kind != "application/x-ndjson":
        _validate(contract, content[kind]["schema"], answer.json, what)
    if sent is not None and answer.status < 300:
        body = _resolve(contract, operation["requestBody"])
        _validate(contract, body["content"]["application/json"]["schema"], sent, "the accepted body of %s %s" % (method, template))


def _resolve(contract, node):
    while "$ref" in node:
        place = node["$ref"].lstrip("#/").split("/")
        node = contract
        for part in place:
            node = node[part]
    return node


def run(*arguments, stdin=None, seconds=120, env=None, cwd=None):
    """The program to its end: a CompletedProcess with texts."""
    return subprocess.run([BACKPROPD, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=patience(seconds), cwd=cwd,
                          env={**os.environ, **(env or {})})


def patience(seconds):
    """How long to wait for what should take seconds: only a fault waits so long. A sanitizer makes a server ten times slower, a busy machine a few times."""
    return seconds * (8 if has_sanitizer() else 3)


def until(condition, seconds=60, what="it"):
    """Polls until the condition gives something true, and returns that."""
    seconds = patience(seconds)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        got = condition()
        if got:
            return got
        time.sleep(0.005)
    raise AssertionError("%s did not happen within %d s" % (what, seconds))


if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup: servers inherit it, and tests reload them


class Server:
    def __init__(self, *flags, folder=None, env=None, tls=None, prefix=()):
        """tls: an ssl.SSLContext for a server that speaks HTTPS. prefix: a command that starts the program."""
        self.prefix = list(prefix)
        self.folder = folder or tempfile.mkdtemp(prefix="backpropd-test-")
        self.flags, self.env = list(flags), env or {}
        self.process, self.tls = None, tls
        self.start()

    def start(self, port=0):
        self.log_path = self.folder.rstrip("/") + ".log"
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [*self.prefix, BACKPROPD, "serve", "--listen", "127.0.0.1:%d" % port, "--data-dir", self.folder, *self.flags],
            stdout=subprocess.PIPE, stderr=self.log, text=True, env={**os.environ, **self.env})
        line = self.process.stdout.readline()
        scheme = "https" if self.tls else "http"
        assert "listening on %s://" % scheme in line, "the server did not start: %r, see %s" % (line, self.log.name)
        self.host, self.port = re.search(r"https?://([^:]+):(\d+)", line).groups()
        self.port = int(self.port)
        self.url = "%s://%s:%d" % (scheme, self.host, self.port)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def sanitized(self):
        """Whether the server is built with a sanitizer, whose own memory is added."""
        return re.search("lib[at]san", pathlib.Path("/proc/%d/maps" % self.process.pid).read_text()) is not None

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=patience(60))

    def remove(self):
        """Ends it, if it still runs, and removes all it left."""
        if self.process.poll() is None:
            self.kill()
        self.process.stdout.close()
        self.log.close()
        log = self.log_text()
        shutil.rmtree(self.folder, ignore_errors=True)
        os.unlink(self.log_path)
        assert not re.search(r"Sanitizer|runtime error", log), log  # of a sanitized build, job processes included

    def log_text(self):
        return pathlib.Path(self.log_path).read_text()

    def restart(self, kill=False, port=0):
        if kill:
            self.kill()
        else:
            assert self.stop() == 0
        self.start(port)

    def connection(self, timeout=60):
        if self.tls:
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.tls)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def raw(self, method, path, body=None, headers=None, timeout=60):
        connection = self.connection(timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return Answer(response.status, {k: v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def contract(self):
        global _contract
        if _contract is None:
            answer = self.raw("GET", "/openapi.json")
            if answer.status == 200:
                _contract = answer.json
            else:  # this one needs a key: ask one that does not
                other = Server()
                _contract = other.raw("GET", "/openapi.json").json
                other.stop()
                other.remove()
        return _contract

    def request(self, method, path, json_body=None, body=None, headers=None, timeout=60):
        headers = dict(headers or {})
        if json_body is not None:
            body = json.dumps(json_body).encode()
            headers.setdefault("Content-Type", "application/json")
        answer = self.raw(method, path, body, headers, timeout)
        _check_contract(self.contract(), method, path, answer, json_body)
        return answer

    def socket(self, timeout=60):
        plain = socket.create_connection((self.host, self.port), timeout=timeout)
        return self.tls.wrap_socket(plain, server_hostname="localhost") if self.tls else plain

    def plain(self, data, seconds=60):
        """Raw bytes over a separate socket; returns everything until the server closes it, which it must."""
        with self.socket(seconds) as connection:
            connection.sendall(data)
            got = b""
            while True:
                piece = connection.recv(65536)
                if not piece:
                    return got
                got += piece

    def stream(self, path, last=None, seconds=60, headers=None):
        """Server-sent events as (id, type, data) as they arrive. Each is checked against the contract."""
        for data in self.stream_of("Event", path, seconds, {**({} if last is None else {"Last-Event-ID": str(last)}), **(headers or {})}):
            yield int(data["id"]), data["type"], data

    def stream_of(self, component, path, seconds=60, headers=None):
        """The data of server-sent events as they arrive, each checked against this part of the contract."""
        connection = self.connection(seconds)
        try:
            connection.request("GET", path, headers={"Accept": "text/event-stream", **(headers or {})})
            response = connection.getresponse()
            assert response.status == 200, response.read()
            assert response.headers["Content-Type"] == "text/event-stream"
            fields = {}
            for line in response:
                line = line.decode().rstrip("\n")
                if line.startswith(":"):
                    continue
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif fields:
                    data = json.loads(fields["data"])
                    check_component(self, component, data)
                    assert data["id"] == fields["id"] and data["type"] == fields["event"]
                    yield data
                    fields = {}
        finally:
            connection.close()

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, json_body=None, **more):
        return self.request("POST", path, json_body, **more)

    def delete(self, path, **more):
        return self.request("DELETE", path, **more)

    # -- what many tests do --
    def upload(self, name, csv, query=""):
        text = csv.read_bytes() if isinstance(csv, pathlib.Path) else csv.encode() if isinstance(csv, str) else csv
        answer = self.post_csv(name, text, query)
        assert answer.status == 201, answer
        return answer.json

    def post_csv(self, name, text, query=""):
        path = "/v1/datasets?name=%s%s" % (urllib.parse.quote(name), query)
        return self.post(path, body=text.encode() if isinstance(text, str) else text, headers={"Content-Type": "text/csv"})

    def post_json(self, name, **dataset):
        """A dataset as JSON: the 201's body."""
        answer = self.post("/v1/datasets", {"name": name, **dataset})
        assert answer.status == 201, answer
        return answer.json

    def rows(self, dataset, limit=100000):
        """The rows of a dataset, as objects by column."""
        return [json.loads(line) for line in self.get("/v1/datasets/%s/rows?format=ndjson&limit=%d" % (dataset, limit)).body.decode().splitlines()]

    def submit(self, **job):
        """A job whose test gives the network and its epochs trains all of them, unless the test says when it stops. "seed": None sends none."""
        model = job.get("model")
        if "epochs" in job and (model not in (None, "auto") if not isinstance(model, dict) else "layers" in model):
            job.setdefault("early_stopping", False)
        job.setdefault("seed", 42)  # without one each run of the tests would train another network
        if job["seed"] is None:
            del job["seed"]
        answer = self.post("/v1/jobs", job)
        assert answer.status == 202, answer
        return answer.json

    def wait(self, job_id, until=FINAL, seconds=120):
        seconds = patience(seconds)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job = self.get("/v1/jobs/" + job_id, headers={"Prefer": "wait=5"} if until == FINAL else {}).json
            if (until(job) if callable(until) else job["status"] in until):
                return job
            if job["status"] in FINAL:
                raise (TooLate if job["status"] == "succeeded" else AssertionError)("the job ended first: %r" % job)
        raise AssertionError("not within %d s: %r" % (seconds, job))

    def train(self, **job):
        ended = self.wait(self.submit(**job)["id"])
        assert ended["status"] == "succeeded", ended
        return ended

    def pause(self, job_id):
        """The job when it is paused."""
        answer = self.post("/v1/jobs/%s/pause" % job_id)
        if answer.status == 409:
            self.in_time(job_id)
        assert answer.status == 200 and answer.json["status"] in ("pausing", "paused"), answer
        return self.wait(job_id, ("paused",))

    def in_time(self, job_id, end="succeeded"):
        """Raises TooLate if the job has come to its end; otherwise the job."""
        job = self.get("/v1/jobs/" + job_id).json
        if job["status"] == end:
            raise TooLate("nothing is left to disturb: %r" % job)
        return job

    def process_of(self, job_id, end="succeeded"):
        """The id of the job process, of the only job that runs."""
        (process,) = until(lambda: self.children() or not self.in_time(job_id, end), what="the job's process")
        return process

    @contextlib.contextmanager
    def held(self, job_id, end="succeeded"):
        """The process of the only job that runs stands still, before the end of the job."""
        process = self.process_of(job_id, end)
        try:
            os.kill(process, signal.SIGSTOP)
        except ProcessLookupError as gone:
            raise TooLate("its process has just ended") from gone
        try:
            self.in_time(job_id, end)
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)

    def kill_process_of(self, job_id):
        """kill -9 of the process of the only job that runs; the next attempt has begun when it returns."""
        attempt = self.in_time(job_id)["attempt"]
        with contextlib.suppress(ProcessLookupError):  # it has just ended: the job tells why
            os.kill(self.process_of(job_id), signal.SIGKILL)
        return self.wait(job_id, lambda j: j["attempt"] > attempt)

    def predict(self, model, instances):
        answer = self.post("/v1/models/%s/predict" % model, {"instances": instances})
        assert answer.status == 200, answer
        return answer.json["predictions"]

    def children(self):
        """The ids of the job processes. The kernel's list may lack one while others come and go (proc(5)): it is read until it stays the same."""
        found = self.listed_children()
        while (again := self.listed_children()) != found:
            found = again
        return found

    def listed_children(self):
        """The supervisor thread is their parent, so all threads are looked at."""
        found = []
        for task in pathlib.Path("/proc/%d/task" % self.process.pid).glob("*/children"):
            try:
                found += [int(pid) for pid in task.read_text().split()]
            except (FileNotFoundError, ProcessLookupError):
                pass
        return found

    def peak_memory(self, job_id):
        """The largest resident memory of the process of a job that has ended, bytes, as the process measured it itself. Nothing has to be seen while it runs."""
        def ended():
            last = self.get("/v1/jobs/%s/log" % job_id).json["attempts"][0]
            return last if (last["exit_code"], last["signal"]) != (None, None) else None  # it is recorded when the process has been waited for
        attempt = until(ended, what="the end of the job's process")
        assert attempt["peak_memory_bytes"] is not None, attempt
        return attempt["peak_memory_bytes"]

    def all_pages(self, path, limit=1000):
        """Every item of a list, page by page."""
        items, after = [], None
        while True:
            query = ("&" if "?" in path else "?") + "limit=%d" % limit + ("&after=" + urllib.parse.quote(after) if after else "")
            page = self.get(path + query).json
            assert len(page["data"]) <= limit
            items += page["data"]
            if not page["has_more"]:
                return items
            assert page["data"]
            after = page["last_id"]

    def weights(self, model, version=None):
        """The data section of a version's safetensors file, straight out of the data folder."""
        with sqlite3.connect("file:%s?mode=ro" % os.path.join(self.folder, "backpropd.db"), uri=True) as database:
            (blob,) = database.execute("SELECT blob FROM versions WHERE model = ? AND (version = ? OR ? IS NULL) ORDER BY version DESC LIMIT 1",
                                       (model, version, version)).fetchone()
        database.close()
        (size,) = struct.unpack("<Q", blob[:8])
        header = json.loads(blob[8:8 + size])
        tensors = {name: blob[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]] for name, t in header.items() if name != "__metadata__"}
        assert tensors and all(tensors.values())
        return tensors


def problem(answer, status, code):
    """Asserts an RFC 9457 problem and returns it."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json
    assert body["status"] == status and body["code"] == code, body
    assert body["request_id"] == answer.headers["X-Request-Id"]
    assert body["detail"]
    return body


def pointers(answer):
    """{pointer: detail} of a 422."""
    return {e["pointer"]: e["detail"] for e in problem(answer, 422, "invalid")["errors"]}


def remarks(job):
    """Its warnings, but for the one about an output layer that was left out."""
    return [w for w in job["warnings"] if "is treated as a hidden layer: an output layer was added" not in w]


DIGITS = {"model": {"layers": [{"type": "dense", "units": 128, "activation": "relu"}]}, "dataset": "digits", "target": "digit"}
ENDLESS = {**DIGITS, "epochs": 1000000, "early_stopping": False}
SLOW = [{"type": "dense", "units": 512, "activation": "tanh"}] * 2  # a million epochs, the most there can be, take many minutes, of a few rows too


def xor(**more):
    """The smallest job there is, everything inline."""
    return {"model": {"layers": [{"type": "dense", "units": 4, "activation": "tanh"}]},
            "dataset": {"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": ["no", "yes", "yes", "no"]},
            "target": "y", "epochs": 2, "batch_size": 4, "seed": 1, "validation": {"fraction": 0}, **more}
