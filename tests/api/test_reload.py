"""Goal: SIGHUP changes settings while the server runs: at once, without losing anything in flight; what is invalid changes nothing; a closed terminal stops it."""
import concurrent.futures
import os
import pty
import re
import signal
import ssl
import subprocess
import tempfile
import threading

import pytest

import harness
import test_tls


@pytest.fixture(autouse=True)
def default_signals():
    """The tests themselves may run under nohup, which servers would inherit."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


class Configured:
    """A server with a config file that can be written again."""

    def __init__(self, fresh, path, *flags, tls=None, **settings):
        self.path = path
        self.write(**settings)
        self.server = fresh("--config", str(path), *flags, tls=tls)

    def write(self, **settings):
        self.path.write_text("".join("%s = %s\n" % item for item in settings.items()))

    def events(self, event):
        return [line for line in self.server.log_text().splitlines() if " event=%s " % event in line]

    def reload(self, event="reloaded", **settings):
        """Writes the file, signals, waits for the line in the log, and returns it."""
        before = len(self.events(event))
        self.write(**settings)
        self.server.process.send_signal(signal.SIGHUP)
        harness.until(lambda: len(self.events(event)) > before, what=event)
        return self.events(event)[-1]


@pytest.fixture
def configured(fresh, tmp_path):
    return lambda *flags, **settings: Configured(fresh, tmp_path / "backpropd.conf", *flags, **settings)


def limits(server):
    return server.get("/v1/server").json["limits"]


def test_limits_change_at_once(configured):
    c = configured(body_max="2K")
    body = {"instances": [[0.123456789] * 400]}
    assert limits(c.server)["body_max"] == 2048 and c.server.raw("POST", "/v1/models/x/predict", "x" * 3000, {"Content-Type": "application/json"}).status == 413
    line = c.reload(body_max="1M", queue_max=3)
    assert "changed=2 need_restart=0" in line
    assert c.events("setting_changed")[0].endswith("name=body_max from=2048 to=1048576")
    assert limits(c.server)["body_max"] == 1 << 20 and limits(c.server)["queue_max"] == 3
    assert c.server.post("/v1/models/x/predict", body).status == 404
    assert "changed=2" in c.reload() and limits(c.server)["body_max"] == 64 << 20


def test_hosts_and_origins_change(configured):
    c = configured()
    get = {"Host": "models.example", "Origin": "https://app.example"}
    assert c.server.raw("GET", "/livez", headers=get).status == 403
    c.reload(allow_host="models.example", cors_origin="https://app.example")
    answer = c.server.raw("GET", "/livez", headers=get)
    assert answer.status == 200 and answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    c.reload()
    assert c.server.raw("GET", "/livez", headers=get).status == 403


def test_the_key_file_is_read_again(configured, tmp_path):
    key = tmp_path / "key"

    def write(text):
        key.write_text(text + "\n")
        key.chmod(0o600)

    def status(text):
        return c.server.raw("GET", "/v1/jobs", headers={"Authorization": "Bearer " + text}).status

    write("the-first-key-0123456789abcdefgh")
    c = configured(api_key_file=key)
    assert status("the-first-key-0123456789abcdefgh") == 200
    write("the-second-key-0123456789abcdefg")
    c.reload(api_key_file=key)
    assert status("the-first-key-0123456789abcdefgh") == 401 and status("the-second-key-0123456789abcdefg") == 200
    write("short")
    assert "at least 16" in c.reload("reload_failed", api_key_file=key, body_max="2K")
    assert status("the-second-key-0123456789abcdefg") == 200
    key.unlink()
    assert "cannot read" in c.reload("reload_failed", api_key_file=key)
    c.reload()
    assert status("the-second-key-0123456789abcdefg") == 401 and c.server.raw("GET", "/v1/jobs").status == 401


def test_the_certificate_is_read_again(configured, tmp_path):
    for name in ("one", "two"):
        test_tls.certificate(tmp_path, name)
    served = {name: ssl.PEM_cert_to_DER_cert((tmp_path / (name + ".pem")).read_text()) for name in ("one", "two")}
    c = configured("--tls-cert", str(tmp_path / "one.pem"), "--tls-key", str(tmp_path / "one.key"), tls=test_tls.trust(tmp_path / "one.pem"))

    def certificate():
        return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", c.server.port)))

    assert certificate() == served["one"]
    (tmp_path / "two.key").replace(tmp_path / "one.key")
    assert "one.key" in c.reload("reload_failed", body_max="2K")
    assert certificate() == served["one"]
    (tmp_path / "two.pem").replace(tmp_path / "one.pem")
    c.reload()
    assert certificate() == served["two"]


def test_flags_still_override_the_file(configured):
    c = configured("--body-max", "5K", body_max="2K")
    assert "changed=0" in c.reload(body_max="3K") and limits(c.server)["body_max"] == 5120


def test_others_need_a_restart(configured):
    c = configured(http_threads=1)
    line = c.reload(http_threads=2, data_dir="/elsewhere")  # --data-dir overrides it
    assert "changed=0 need_restart=1" in line
    warning, = c.events("setting_needs_restart")
    assert "level=warning" in warning and warning.endswith("name=http_threads from=1 to=2")


@pytest.mark.parametrize("text, why", [("body_max = lots\n", "line 1: body_max must be"), ("rows_max = 5\nbody_maxx = 1\n", 'line 2: unknown setting'),
                                       ("nonsense\n", "line 1: expected"), ("kernels = neon\n", "kernels neon"), ("cors_origin = *\ncors_credentials = true\n", "name the origins"),
                                       (None, "cannot read the config file")])
def test_an_invalid_file_changes_nothing(configured, text, why):
    c = configured(body_max="2K", rows_max=9)
    if text is None:
        c.path.unlink()
    else:
        c.path.write_text(text)
    c.server.process.send_signal(signal.SIGHUP)
    line = harness.until(lambda: c.events("reload_failed"), what="the line in the log")[0]
    assert why in line and "level=error" in line and "as they were" in line
    assert (limits(c.server)["body_max"], limits(c.server)["rows_max"]) == (2048, 9)
    assert re.search(r"^backpropd_config_last_reload_successful 0$", c.server.get("/metrics").body.decode(), re.M)
    c.reload(body_max="4K")
    assert limits(c.server)["body_max"] == 4096
    metrics = c.server.get("/metrics").body.decode()
    assert re.search(r"^backpropd_config_last_reload_successful 1$", metrics, re.M) and re.search(r"^backpropd_config_reloads_total 2$", metrics, re.M)


def test_more_and_fewer_workers(configured):
    c = configured(workers=1)
    c.server.upload("digits", harness.DATA / "digits.csv")
    jobs = [c.server.submit(**harness.ENDLESS)["id"] for _ in range(3)]

    def running():
        return sum(c.server.get("/v1/jobs/" + job).json["status"] == "running" for job in jobs)

    harness.until(lambda: running() == 1)
    c.reload(workers=3)
    harness.until(lambda: running() == 3, what="three jobs at once")
    c.reload(workers=1)
    assert running() == 3 and c.server.get("/v1/server").json["workers"] == {"slots": 1, "running": 3}
    last = c.server.submit(**harness.xor())["id"]
    for job in jobs[:2]:
        c.server.post("/v1/jobs/%s/cancel" % job)
        c.server.wait(job)
    assert c.server.get("/v1/jobs/" + last).json["status"] == "queued"
    c.server.post("/v1/jobs/%s/cancel" % jobs[2])
    assert c.server.wait(last)["status"] == "succeeded"


def test_models_are_evicted_when_memory_shrinks(configured):
    c = configured()
    c.server.train(**harness.xor(model={"name": "wide", "layers": [{"type": "dense", "units": 4000}, {"type": "dense", "units": 100}]}))
    c.server.predict("wide", [[0, 1]])

    def loaded():
        return re.search(r"^backpropd_model_cache_models (\d+)$", c.server.get("/metrics").body.decode(), re.M).group(1)

    assert loaded() == "1"
    c.reload(models_memory_max="1M")
    assert loaded() == "0"
    c.server.predict("wide", [[0, 1]])


def test_a_storm_of_reloads_loses_nothing(configured):
    """Signals from two processes while requests of all kinds run, a stream is open and a job trains."""
    c = configured(workers=2)
    server = c.server
    server.train(**harness.xor(model={"name": "xor", "layers": [{"type": "dense", "units": 4}]}))
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**harness.ENDLESS)["id"]
    over = threading.Event()
    variants = ["allow_host = a%d.example\ncors_origin = https://o%d.example\nbody_max = %dK\nworkers = 2\n" % (i, i, 100 + i) for i in range(10)]

    def signals():
        sent = 0
        while not over.is_set() or sent < 40:
            c.path.with_suffix(".new").write_text(variants[sent % 10])
            os.replace(c.path.with_suffix(".new"), c.path)
            subprocess.run(["kill", "-HUP", str(server.process.pid), str(server.process.pid)], check=True)
            sent += 1

    def ask(i):
        host = {"Host": "a%d.example" % (i % 10), "Origin": "https://o%d.example" % (i % 10)}
        return server.raw("GET", "/livez", headers=host).status, server.predict("xor", [[0, 1]])

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        storm = pool.submit(signals)
        stream = pool.submit(list, server.stream("/v1/jobs/%s/events" % job))
        answers = list(pool.map(ask, range(150)))
        over.set()
        storm.result(60)
        server.post("/v1/jobs/%s/cancel" % job)
        events = stream.result(60)
    assert {status for status, _ in answers} <= {200, 403} and len({str(p) for _, p in answers}) == 1
    ids = [number for number, _, _ in events]
    assert ids == sorted(set(ids)) and events[-1][1] == "end" and server.get("/v1/jobs/" + job).json["attempt"] == 1
    assert len(c.events("reloaded")) > 5 and not c.events("reload_failed")
    assert "changed=" in c.reload(body_max="7K") and limits(server)["body_max"] == 7168


def test_a_signal_right_after_the_start(fresh):
    for _ in range(5):
        server = fresh()
        server.process.send_signal(signal.SIGHUP)
        harness.until(lambda: "event=reloaded" in server.log_text())
        assert server.get("/livez").status == 200 and server.stop() == 0


@pytest.mark.parametrize("background", [False, True])
def test_a_closed_terminal_stops_the_server(background):
    """In the foreground of a shell, and as a job of it."""
    with tempfile.TemporaryDirectory() as folder:
        errors = os.open(folder + "/log", os.O_WRONLY | os.O_CREAT, 0o600)
        pid, terminal = pty.fork()
        if pid == 0:
            os.dup2(errors, 2)
            command = "%s serve --listen 127.0.0.1:0 --data-dir %s/data" % (harness.BACKPROPD, folder)
            os.execvp("bash", ["bash", "--norc", "-ic", command + (" & wait" if background else "; true")])

        def log():
            with open(folder + "/log") as lines:
                return lines.read()

        harness.until(lambda: "event=started" in log(), what="the start")
        os.close(errors)
        os.close(terminal)
        harness.until(lambda: "event=stopped" in log(), what="the end")
        assert "event=stopping signal=Hangup" in log()
        os.waitpid(pid, 0)


def test_check_config(tmp_path):
    config = tmp_path / "backpropd.conf"
    config.write_text("body_max = 5K\n")
    good = harness.run("serve", "--check-config", "--config", config)
    assert (good.returncode, good.stdout, good.stderr) == (0, "the settings are valid\n", "")
    config.write_text("body_max = 5 apples\n")
    bad = harness.run("serve", "--config", config, "--check-config")
    assert bad.returncode == 2 and bad.stdout == "" and "line 1: body_max must be" in bad.stderr
    missing = harness.run("serve", "--check-config", "--api-key-file", tmp_path / "none")
    assert missing.returncode == 2 and "cannot read" in missing.stderr


def test_every_row_of_reload_is_a_setting():
    settings = re.findall(r"^SETTING\(\w+, (\w+)", (harness.ROOT / "server/settings.def").read_text(), re.M)
    rows = re.findall(r"^RELOAD\((\w+)\)", (harness.ROOT / "server/reload.def").read_text(), re.M)
    assert rows and set(rows) <= set(settings)
