"""Goal: `backpropd doctor --url` finds what is wrong with a deployment, through whatever is in between, says what to do, and changes nothing."""
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest

import harness


class Proxy:
    """One request per connection to the server; `request` and `response` change the bytes, None answers nothing more. With a context it ends TLS."""

    def __init__(self, server, request=lambda head, body: (head, body), response=lambda data: data, buffers=False, context=None):
        self.server, self.request, self.response, self.buffers, self.context = server, request, response, buffers, context
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            client.settimeout(60)
            if self.context:
                client = self.context.wrap_socket(client, server_side=True)
            with client, socket.create_connection((self.server.host, self.server.port), timeout=60) as upstream:
                data = b""
                while b"\r\n\r\n" not in data:
                    data += client.recv(65536)
                head, _, body = data.partition(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", head)
                while length and len(body) < int(length.group(1)):
                    body += client.recv(65536)
                changed = self.request(head, body)
                if isinstance(changed, bytes):
                    client.sendall(changed)
                    return
                upstream.sendall(changed[0] + b"\r\n\r\n" + changed[1])
                kept = b""
                while piece := upstream.recv(65536):
                    kept += piece
                    if b"\r\n\r\n" not in kept:
                        continue
                    if not self.buffers:
                        client.sendall(self.response(kept))
                        kept, self.buffers = b"\r\n\r\n", False
                        while piece := upstream.recv(65536):
                            client.sendall(piece)
                        return
                client.sendall(self.response(kept))
        except (OSError, ssl.SSLError):
            pass

    def close(self):
        self.listener.close()


@pytest.fixture(scope="module")
def trained():
    """A server with a model, and so with events."""
    server = harness.Server("--workers", "1")
    server.train(**harness.xor(model={"name": "xor", "layers": [{"type": "dense", "units": 4}]}))
    yield server
    assert server.stop() == 0
    server.remove()


@pytest.fixture
def through(trained):
    """Runs doctor through a proxy: (exit status, {what: (verdict, text)})."""
    made = []

    def run(*flags, scheme="http", host="127.0.0.1", **proxy):
        made.append(Proxy(trained, **proxy))
        return doctor("%s://%s:%d" % (scheme, host, made[-1].port), *flags)

    yield run
    for one in made:
        one.close()


def doctor(url, *flags):
    done = harness.run("doctor", "--url", url, *flags)
    assert done.stderr == "", done.stderr
    lines = done.stdout.splitlines()
    checks = {what: (verdict, text) for verdict, what, text in (re.fullmatch(r"(ok|warning|fault) +(\w+) +(.+)", line).groups() for line in lines[:-1])}
    counts = [sum(verdict == kind for verdict, _ in checks.values()) for kind in ("fault", "warning")]
    assert list(map(int, re.fullmatch(r"(\d+) faults?, (\d+) warnings?", lines[-1]).groups())) == counts, done.stdout
    assert done.returncode == (1 if counts[0] else 0)
    return done.returncode, checks


ALL = ["reachable", "latency", "ready", "clock", "key", "version", "predict", "body", "events"]


def test_a_server_that_is_well(trained):
    before = {path: trained.get(path).body for path in ("/v1/jobs", "/v1/models", "/v1/datasets", "/v1/events?limit=1000")}
    status, checks = doctor(trained.url)
    assert status == 0 and list(checks) == ALL and {verdict for verdict, _ in checks.values()} == {"ok"}
    assert checks["predict"][1].startswith("model xor ") and checks["events"][1].startswith("an event comes")
    assert {path: trained.get(path).body for path in before} == before


def test_a_proxy_that_is_well(through):
    status, checks = through()
    assert status == 0 and list(checks) == ALL and {verdict for verdict, _ in checks.values()} == {"ok"}


def test_a_prefix_of_paths(through, trained):
    def strip(head, body):
        return head.replace(b" /models/v", b" /v").replace(b" /models/livez", b" /livez").replace(b" /models/readyz", b" /readyz"), body

    proxy = Proxy(trained, request=strip)
    assert doctor("http://127.0.0.1:%d/models/" % proxy.port)[0] == 0
    proxy.close()


def test_buffered_event_streams(through):
    status, checks = through(buffers=True)
    assert status == 1 and checks["events"] == ("fault", "an event did not come at once: switch off the proxy's buffering of responses (nginx: proxy_buffering off)")
    assert [what for what, (verdict, _) in checks.items() if verdict != "ok"] == ["events"]


def test_a_limit_for_bodies(through):
    refusal = b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Type: text/html\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>"
    status, checks = through(request=lambda head, body: refusal if len(body) > 1 << 20 else (head, body))
    assert status == 0 and checks["body"][0] == "warning" and "status 413" in checks["body"][1] and "client_max_body_size" in checks["body"][1]


def test_another_host(through):
    status, checks = through(request=lambda head, body: (re.sub(rb"Host: \S+", b"Host: other.example", head), body))
    assert status == 1 and list(checks) == ["host"] and "--allow-host" in checks["host"][1]


def test_not_backpropd(through):
    refusal = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    status, checks = through(request=lambda head, body: refusal)
    assert status == 1 and list(checks) == ["reachable"] and "not backpropd" in checks["reachable"][1] and "502" in checks["reachable"][1]
    status, checks = through(request=lambda head, body: b"SSH-2.0-OpenSSH_9.2\r\n")
    assert status == 1 and "did not respond with HTTP" in checks["reachable"][1]


def test_clock_and_version(through):
    def older(data):
        return re.sub(rb"Date: [^\r]+", b"Date: Sat, 28 Nov 2015 10:00:00 GMT", data).replace(b'"version":"0.1.0"', b'"version":"0.0.9"')

    status, checks = through(response=older)
    assert status == 0 and checks["clock"][0] == "warning" and "behind" in checks["clock"][1]
    assert checks["version"] == ("warning", "the server is 0.0.9, this program is 0.1.0")


def test_origin(through, fresh):
    status, checks = through("--origin", "https://app.example")
    assert status == 1 and checks["origin"][0] == "fault" and "--cors-origin https://app.example" in checks["origin"][1]
    allowing = fresh("--cors-origin", "https://app.example")
    assert doctor(allowing.url, "--origin", "https://app.example")[1]["origin"] == ("ok", "pages of https://app.example may call the server")


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    status, checks = doctor("http://127.0.0.1:%d" % port)
    assert status == 1 and list(checks) == ["reachable"] and "no server listens" in checks["reachable"][1]
    status, checks = doctor("http://no-such-host.invalid")
    assert status == 1 and "cannot be resolved" in checks["reachable"][1]


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://", "http://user@host", "http://host:port", "http://[::1", "http://host:123456", "http://host/a?b"])
def test_urls_that_are_refused(url):
    done = harness.run("doctor", "--url", url)
    assert done.returncode == 2 and "--url expects" in done.stderr and done.stdout == ""


def test_ready_only(trained):
    done = harness.run("doctor", "--ready", "--url", trained.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok       ready        the server is ready\n", "")
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    assert harness.run("doctor", "--ready", "--url", "http://127.0.0.1:%d" % port).returncode == 1


# ---- keys ----

@pytest.fixture
def keyed(fresh, tmp_path):
    """A server with a key of each scope, in files."""
    for scope in ("read", "predict", "train", "admin"):
        made = harness.run("keys", "create", "--name", scope, "--scope", scope, "--data-dir", tmp_path / "data")
        (tmp_path / scope).write_text(re.search(r"bpd_\w+", made.stdout).group(0) + "\n")
        (tmp_path / scope).chmod(0o600)
    return fresh(folder=str(tmp_path / "data"))


@pytest.mark.parametrize("scope, may", [("read", "read"), ("predict", "predict"), ("train", "read, predict, train"), ("admin", "read, predict, train")])
def test_what_a_key_may_do(keyed, tmp_path, scope, may):
    status, checks = doctor(keyed.url, "--api-key-file", tmp_path / scope)
    assert status == 0 and checks["key"] == ("ok", "accepted; it may " + may)
    assert ("version" in checks) == ("read" in may) and ("predict" in checks) == ("predict" in may)


def test_keys_that_do_not_work(keyed, tmp_path):
    status, checks = doctor(keyed.url)
    assert status == 0 and checks["key"][0] == "warning" and "--api-key-file" in checks["key"][1] and "predict" not in checks
    (tmp_path / "wrong").write_text("bpd_wrong_key_0123456789\n")
    (tmp_path / "wrong").chmod(0o600)
    status, checks = doctor(keyed.url, "--api-key-file", tmp_path / "wrong")
    assert status == 1 and checks["key"][0] == "fault" and "not accepted" in checks["key"][1]
    proxy = Proxy(keyed, request=lambda head, body: (re.sub(rb"\r\nAuthorization: [^\r]+", b"", head), body))
    status, checks = doctor("http://127.0.0.1:%d" % proxy.port, "--api-key-file", tmp_path / "admin")
    assert status == 1 and "a proxy removes the header Authorization" in checks["key"][1]
    proxy.close()
    assert harness.run("doctor", "--url", keyed.url, "--api-key-file", tmp_path / "none").returncode == 2


# ---- TLS ----

def certificate(folder, days, name="localhost"):
    """A context with a certificate that is its own authority."""
    (folder / "ca.conf").write_text("[ca]\ndefault_ca = a\n[a]\ndatabase = %s/index\nnew_certs_dir = %s\nrand_serial = yes\ndefault_md = sha256\npolicy = p\nx509_extensions = x\n"
                                    "[p]\ncommonName = supplied\n[x]\nsubjectAltName = DNS:%s\n" % (folder, folder, name))
    (folder / "index").write_text("")
    begin, end = (time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 86400 * offset)) for offset in (-9, days + 0.5))
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", folder / "tls.key", "-out", folder / "tls.csr",
                    "-subj", "/CN=" + name], check=True, capture_output=True)
    subprocess.run(["openssl", "ca", "-batch", "-notext", "-selfsign", "-config", folder / "ca.conf", "-keyfile", folder / "tls.key", "-in", folder / "tls.csr", "-out", folder / "tls.crt",
                    "-startdate", begin, "-enddate", end], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context


@pytest.mark.parametrize("days, name, trusted, verdict, words", [
    (90, "localhost", True, "ok", "certificate trusted, valid for 90 days"), (90, "localhost", False, "fault", "not trusted"), (5, "localhost", True, "warning", "expires in 5 days"),
    (90, "other.example", True, "fault", "not trusted"), (-2, "localhost", True, "fault", "expired "),
])
def test_certificates(through, tmp_path, days, name, trusted, verdict, words):
    context = certificate(tmp_path, days, name)
    status, checks = through(*(["--ca-file", str(tmp_path / "tls.crt")] if trusted else []), scheme="https", host="localhost", context=context)
    assert checks["tls"][0] == verdict and words in checks["tls"][1], checks
    assert status == (verdict == "fault") and list(checks) == ["tls", *ALL]


def test_tls_where_there_is_none(trained):
    status, checks = doctor(trained.url.replace("http:", "https:"))
    assert status == 1 and "try http://" in checks["reachable"][1]
