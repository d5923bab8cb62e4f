"""Goal: HTTPS with a modern policy; everything that is written beside libmicrohttpd goes through the session; clear refusals at the start; a new certificate
without a restart."""
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess

import pytest

import harness
from harness import DIGITS, ENDLESS, problem, xor


def openssl(*arguments, stdin=""):
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def certificate(folder, name, issuer=None, days=30, kind="ec", san="DNS:localhost,IP:127.0.0.1"):
    """NAME.pem and NAME.key, signed by the issuer or by themselves."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if kind == "ec" else ["-newkey", "rsa:2048"]
    cert, secret = folder / (name + ".pem"), folder / (name + ".key")
    by = ["-CA", folder / (issuer + ".pem"), "-CAkey", folder / (issuer + ".key")] if issuer else []
    constraint = [] if issuer and san else ["-addext", "basicConstraints=critical,CA:TRUE"]
    said = openssl("req", "-x509", *key, "-nodes", "-keyout", secret, "-out", cert, "-days", days, "-subj", "/CN=" + name, *by, *constraint,
                   *(["-addext", "subjectAltName=" + san] if san else []))
    assert cert.exists() and cert.stat().st_size, said
    secret.chmod(0o600)
    return cert, secret


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    certificate(folder, "one")
    certificate(folder, "two")
    return folder


def trust(cert):
    context = ssl.create_default_context(cafile=str(cert))
    return context


def serve(files, *flags):
    one = harness.Server("--tls-cert", str(files / "one.pem"), "--tls-key", str(files / "one.key"), "--workers", "1", *flags, tls=trust(files / "one.pem"))
    yield one
    code = one.stop()
    one.remove()
    assert code == 0


@pytest.fixture(scope="module")
def secure(files):
    yield from serve(files)


@pytest.fixture(scope="module")
def strict(files):
    """Small limits, soon over."""
    yield from serve(files, "--head-timeout", "2", "--body-max", "1K")


def s_client(server, *arguments, stdin=""):
    return openssl("s_client", "-connect", "127.0.0.1:%d" % server.port, *arguments, stdin=stdin)


def test_protocols_and_ciphers(secure, files):
    for version, name in (("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")):
        said = s_client(secure, version, "-CAfile", files / "one.pem", "-verify_return_error", "-verify_hostname", "localhost")
        assert "New, " + name in said and "Verify return code: 0 (ok)" in said and re.search(r"Cipher is \S*(GCM|CHACHA20)", said), said
    for old in ("-tls1_1", "-tls1", "-ssl3"):
        assert "Cipher is (NONE)" in s_client(secure, old, "-cipher", "ALL:@SECLEVEL=0") or "nknown option" in s_client(secure, old)
    for weak in ("AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "DHE-RSA-AES128-GCM-SHA256", "AES128-SHA", "NULL"):
        assert "Cipher is (NONE)" in s_client(secure, "-tls1_2", "-cipher", weak + ":@SECLEVEL=0"), weak


def test_curl(secure, files):
    curl = shutil.which("curl") or pytest.skip("curl is not installed")
    url = "https://localhost:%d/v1/catalog" % secure.port
    for limits in ([], ["--tls-max", "1.2"]):
        done = subprocess.run([curl, "-sS", "--cacert", files / "one.pem", *limits, url], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and json.loads(done.stdout)["object"] == "catalog", done
    assert subprocess.run([curl, "-sS", url], capture_output=True, timeout=60).returncode == 60  # not trusted
    assert subprocess.run([curl, "-sS", "--cacert", files / "one.pem", "--tls-max", "1.1", url], capture_output=True, timeout=60).returncode == 35


def test_plain_http_gets_no_answer(secure):
    with socket.create_connection((secure.host, secure.port), timeout=30) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            got = connection.recv(65536)
        except ConnectionError:
            got = b""
    assert b"HTTP" not in got  # an alert at most
    assert secure.get("/livez").status == 200


def test_uploads_and_downloads(secure):
    text = "a,b\n" + "".join("%d,%s\n" % (i, "xyz" * (i % 7)) for i in range(200000))
    assert secure.upload("big", text)["rows"] == 200000
    back = secure.raw("GET", "/v1/datasets/big/rows?format=csv")
    assert back.status == 200 and back.body.decode() == text
    pieces = [text.encode()[i:i + 16384] for i in range(0, len(text), 16384)]  # chunked, in records of the largest size
    connection = secure.connection()
    connection.request("POST", "/v1/datasets?name=pieces", body=iter(pieces), headers={"Content-Type": "text/csv"}, encode_chunked=True)
    assert connection.getresponse().status == 201
    connection.close()


def test_a_job_and_its_stream(secure):
    job = secure.submit(**xor(epochs=30))["id"]
    events = list(secure.stream("/v1/jobs/%s/events" % job))
    assert events[-1][1] == "end" and len([e for e in events if e[1] == "metrics"]) == 30
    ended = secure.wait(job)
    assert ended["status"] == "succeeded"
    assert secure.get("/v1/jobs/" + job, headers={"Prefer": "wait=1"}).status == 200


def test_a_stream_that_is_not_read(secure):
    """More than the sockets hold: a part of a record waits for room, and a stream beside it goes on."""
    for _ in range(3):
        secure.wait(secure.submit(**xor(epochs=8000))["id"])
    last = max(int(event["id"]) for event in secure.all_pages("/v1/events?type=end"))

    def follow():
        connection = secure.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(b"GET /v1/events HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\nLast-Event-ID: 0\r\n\r\n")
        return connection

    def read(connection):
        got = b""
        while b"id: %d\n" % last not in got[-4096:]:
            piece = connection.recv(65536)
            assert piece
            got += piece
        return [int(n) for n in re.findall(rb"^id: (\d+)$", got, re.M)]

    with follow() as slow, follow() as fast:
        expected = read(fast)
        assert len(expected) > 20000 and expected == sorted(set(expected)) and read(slow) == expected


def test_long_poll_of_a_client_that_leaves(secure):
    secure.upload("digits", harness.DATA / "digits.csv")
    job = secure.submit(**ENDLESS)["id"]
    secure.wait(job, lambda j: j["status"] == "running")
    for _ in range(3):
        gone = secure.socket()
        gone.sendall(b"GET /v1/jobs/%s HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=50\r\n\r\n" % job.encode())
        gone.close()
    assert secure.post("/v1/jobs/%s/cancel" % job).status in (200, 202)
    secure.wait(job)


def test_refusals_go_through_the_session(strict):
    """Responses before the body has come, after too much of it, and to bad framing: encrypted, complete, then the end."""
    early = strict.plain(b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/html\r\nContent-Length: 50000000\r\n\r\n")
    assert early.startswith(b"HTTP/1.1 415 ")
    with strict.socket() as connection:  # one that sends on, beyond what is read in the end
        connection.sendall(b"POST /v1/models/x/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall((b"10000\r\n" + b"x" * 65536 + b"\r\n") * 40)
        got = b""
        while piece := connection.recv(65536):
            got += piece
    assert got.startswith(b"HTTP/1.1 415 ") and got.endswith(b"}\n")
    twice = strict.plain(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2, 2\r\n\r\n{}")
    assert twice.startswith(b"HTTP/1.1 400 ") and twice.count(b"HTTP/1.1") == 1
    assert strict.get("/livez").status == 200


def raw_bytes_of(server, send, context):
    """What comes over the wire, encrypted, after the handshake and `send`, until the server closes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection((server.host, server.port), timeout=60) as plain:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65536))
        tls.write(send)
        plain.sendall(outgoing.read())
        got = b""
        while True:
            try:
                piece = plain.recv(65536)
            except ConnectionError:
                break
            if not piece:
                break
            got += piece
    return got


def records(data):
    """The types of its TLS records; fails when it is anything else."""
    types = []
    while data:
        assert data[0] in (20, 21, 22, 23) and data[1:3] == b"\x03\x03", data[:100]
        types.append(data[0])
        size = int.from_bytes(data[3:5], "big")
        assert len(data) >= 5 + size
        data = data[5 + size:]
    return types


@pytest.mark.parametrize("send", [
    b"GET /livez HTTP/1.1\r\nHost: loc",  # never complete: head_timeout
    b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{",  # its body comes too slowly
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", b"GET /livez\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/html\r\nContent-Length: 50000000\r\n\r\n",
])
def test_no_plain_text_in_a_session(strict, send):
    assert set(records(raw_bytes_of(strict, send, strict.tls))) <= {20, 21, 22, 23}


def test_a_new_certificate_ends_no_connection(files, fresh, tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def use(name):
        shutil.copy(files / (name + ".pem"), cert)
        shutil.copy(files / (name + ".key"), key)
        key.chmod(0o600)

    use("one")
    server = fresh("--tls-cert", str(cert), "--tls-key", str(key), tls=trust(files / "one.pem"))
    kept, following = server.connection(), server.connection()
    kept.request("GET", "/livez")
    assert kept.getresponse().read()
    socket_before = kept.sock
    following.request("GET", "/v1/events", headers={"Accept": "text/event-stream"})
    events = following.getresponse()
    use("two")
    server.process.send_signal(signal.SIGHUP)
    harness.until(lambda: "CN = two" in s_client(server), what="the new certificate")
    server.tls = trust(files / "two.pem")
    job = server.submit(**xor())["id"]
    server.wait(job)
    assert json.loads(next(line for line in events if line.startswith(b"data: "))[6:])["job"] == job
    kept.request("GET", "/livez")
    assert kept.getresponse().status == 200 and kept.sock is socket_before
    kept.close()
    following.close()


@pytest.mark.parametrize("case, words", [
    ("no key", "belong together"), ("no file", "cannot read --tls-cert"), ("no key file", "cannot read --tls-key"), ("other key", "is not the key of the first certificate"),
    ("open key", "chmod 600"), ("no PEM", "no certificate in PEM form"), ("no PEM key", "no private key in PEM form"), ("encrypted", "without a passphrase"), ("order", "was not issued by"),
    ("a folder", "is not a file"),
])
def test_refusals_to_start(files, tmp_path, case, words):
    cert, key = files / "one.pem", files / "one.key"
    junk, secret = tmp_path / "junk", tmp_path / "secret"
    junk.write_text("junk\n")
    junk.chmod(0o600)
    arguments = {"no key": [cert, None], "no file": [tmp_path / "none", key], "no key file": [cert, tmp_path / "none"], "other key": [cert, files / "two.key"],
                 "no PEM": [junk, key], "no PEM key": [cert, junk], "a folder": [tmp_path, key]}.get(case, [cert, secret])
    if case == "open key":
        shutil.copy(key, secret)
        secret.chmod(0o644)
    elif case == "encrypted":
        openssl("pkcs8", "-topk8", "-in", key, "-out", secret, "-passout", "pass:abcd")
        secret.chmod(0o600)
    elif case == "order":
        shutil.copy(key, secret)
        secret.chmod(0o600)
        (tmp_path / "both.pem").write_bytes(cert.read_bytes() + (files / "two.pem").read_bytes())
        arguments[0] = tmp_path / "both.pem"
    flags = ["--tls-cert", arguments[0], *(["--tls-key", arguments[1]] if arguments[1] else [])]
    done = harness.run("serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data", *flags)
    assert done.returncode == 1 and words in done.stderr and done.stdout == "", done
    env = {"BACKPROPD_TLS_CERT": str(arguments[0]), **({"BACKPROPD_TLS_KEY": str(arguments[1])} if arguments[1] else {}), "BACKPROPD_LISTEN": "127.0.0.1:0"}
    checked = harness.run("doctor", "--data-dir", tmp_path / "data", env=env)
    assert checked.returncode == 1 and words in checked.stdout, checked


def test_doctor_reports_the_expiry(files, tmp_path):
    def doctor(name):
        env = {"BACKPROPD_TLS_CERT": str(files / (name + ".pem")), "BACKPROPD_TLS_KEY": str(files / (name + ".key")), "BACKPROPD_LISTEN": "127.0.0.1:0"}
        done = harness.run("doctor", "--data-dir", tmp_path / "data", env=env)
        return done.returncode, next(line for line in done.stdout.splitlines() if line.startswith("certificate"))

    certificate(files, "brief", days=3)
    assert re.search(r"expires in (29|30) days$", doctor("one")[1]) and doctor("one")[0] == 0
    assert "renew it" in doctor("brief")[1] and doctor("brief")[0] == 0


def test_a_chain_is_sent_whole(fresh, tmp_path):
    certificate(tmp_path, "root", san="", kind="rsa")
    certificate(tmp_path, "middle", issuer="root", san="", kind="rsa")
    certificate(tmp_path, "leaf", issuer="middle", kind="rsa")
    chain = tmp_path / "chain.pem"
    chain.write_bytes((tmp_path / "leaf.pem").read_bytes() + (tmp_path / "middle.pem").read_bytes())
    (tmp_path / "leaf.key").chmod(0o640)  # a group may read it
    server = fresh("--tls-cert", str(chain), "--tls-key", str(tmp_path / "leaf.key"), tls=trust(tmp_path / "root.pem"))
    assert server.get("/livez").status == 200
    said = s_client(server, "-CAfile", tmp_path / "root.pem", "-showcerts", "-verify_return_error", "-verify_hostname", "localhost")
    assert said.count("BEGIN CERTIFICATE") == 2 and "Verify return code: 0 (ok)" in said
