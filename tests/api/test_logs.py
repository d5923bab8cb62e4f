"""Goal: every line of the log is logfmt that says when, how severe, what, from where; its level is a setting; no request can forge or hide a line."""
import http.client
import re
import signal
import subprocess
import threading

import pytest

import harness

PAIR = r'[a-z_]+=(?:[^\s"=\\]+|"(?:[^"\\\x00-\x1f\x7f]|\\["\\]|\\x[0-9a-f]{2}|\\u[0-9a-f]{4})*")(?:\.\.\.)?'
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=(debug|info|warning|error) event=([a-z_]+)((?: " + PAIR + ")*)")


def lines_of(server):
    """(level, event, {key: value}) of each line; every one must be well formed."""
    found = []
    with open(server.log_path, "rb") as log:
        for line in log.read().decode("utf-8").split("\n")[:-1]:  # strict: it is UTF-8
            assert all(ord(c) >= 0x20 and not 0x7f <= ord(c) < 0xa0 for c in line), line
            match = LINE.fullmatch(line)
            assert match, line
            found.append((match.group(1), match.group(2), dict(pair.split("=", 1) for pair in re.findall(PAIR, match.group(3)))))
    return found


def requests_of(server):
    return [(level, fields) for level, event, fields in lines_of(server) if event == "request"]


def test_access_log_names_client_request_and_duration(fresh):
    server = fresh("--access-log")
    ids = [server.raw("GET", path).headers["X-Request-Id"] for path in ("/livez", "/v1/jobs/none", "/nowhere")]
    assert server.stop() == 0
    logged = sorted(requests_of(server), key=lambda line: ids.index(line[1]["request_id"]))  # two threads write them
    assert [fields["request_id"] for _, fields in logged] == ids
    assert [(level, fields["client"], fields["method"], fields["path"], fields["status"]) for level, fields in logged] == [
        ("info", "127.0.0.1", "GET", "/livez", "200"), ("info", "127.0.0.1", "GET", "/v1/jobs/none", "404"), ("info", "127.0.0.1", "GET", "/nowhere", "404")]
    assert all(0 <= float(fields["ms"]) < 60000 for _, fields in logged)


def test_access_log_names_the_key(fresh, tmp_path):
    made = harness.run("keys", "create", "--name", "monitoring", "--scope", "read", "--data-dir", tmp_path / "data")
    key = re.search(r"bpd_\w+", made.stdout).group(0)
    server = fresh("--access-log", "--trusted-proxy", "127.0.0.1", folder=str(tmp_path / "data"))
    server.raw("GET", "/v1/jobs", headers={"Authorization": "Bearer " + key, "X-Forwarded-For": "192.0.2.7"})
    server.raw("GET", "/v1/jobs", headers={"Authorization": "Bearer bpd_wrong"})
    assert server.stop() == 0
    logged = sorted((fields["status"], fields["client"], fields.get("key")) for _, fields in requests_of(server))
    assert logged == [("200", "192.0.2.7", "monitoring"), ("401", "127.0.0.1", None)] and key not in server.log_text()


@pytest.mark.parametrize("level, expected", [("error", set()), ("warning", {"warning"}), ("info", {"warning", "info"}), ("debug", {"warning", "info", "debug"})])
def test_levels(fresh, level, expected):
    server = fresh("--log-level", level, env={"BACKPROPD_NO_SUCH_SETTING": "1"})
    server.train(**harness.xor(model={"name": "m", "layers": [{"type": "dense", "units": 2}]}))
    server.predict("m", [[0, 1]])
    assert server.stop() == 0
    lines = lines_of(server)
    assert {level for level, _, _ in lines} == expected
    assert ("model_loaded" in [event for _, event, _ in lines]) == (level == "debug") == bool(requests_of(server))


def test_an_unknown_level_is_refused():
    done = harness.run("serve", "--log-level", "verbose")
    assert done.returncode == 2 and 'log_level must be error, warning, info or debug, got "verbose"' in done.stderr


def test_the_level_changes_by_reload(fresh, tmp_path):
    signal_before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        config = tmp_path / "backpropd.conf"
        config.write_text("log_level = warning\n")
        server = fresh("--config", str(config))
        server.get("/livez")
        assert server.log_text() == ""
        config.write_text("log_level = debug\n")
        server.process.send_signal(signal.SIGHUP)
        harness.until(lambda: "event=reloaded" in server.log_text(), what="the reload")
        server.get("/livez")
        harness.until(lambda: requests_of(server), what="the line of the request")
    finally:
        signal.signal(signal.SIGHUP, signal_before)


def test_a_log_that_nobody_reads_holds_up_nothing(tmp_path):
    """64 KB of lines fill the pipe; requests are answered all the same, and the log says how much it lacks."""
    process = subprocess.Popen([harness.BACKPROPD, "serve", "--access-log", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    port = int(process.stdout.readline().rsplit(":", 1)[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for _ in range(300):
        connection.request("GET", "/" + 600 * "x")
        assert connection.getresponse().read()
    connection.request("GET", "/metrics")
    lost = int(re.search(r"^backpropd_log_lines_lost_total (\d+)$", connection.getresponse().read().decode(), re.M).group(1))
    assert 100 < lost < 300
    reader = threading.Thread(target=lambda: read.append(process.stderr.read()))
    read = []
    reader.start()
    connection.request("GET", "/livez")
    assert connection.getresponse().status == 200
    process.terminate()
    reader.join(60)
    assert process.wait(60) == 0
    process.stdout.close()
    counted = [int(n) for n in re.findall(r"level=warning event=log_lines_lost lines=(\d+)$", read[0], re.M)]
    assert counted and sum(counted) >= lost and read[0].count("event=request") < 250 and "event=stopped" in read[0]


PATHS = ["/%0aevent=forged", "/%1b[2J%1b]0;x%07", "/a%7fb%c2%9b31m", "/%ff%fe%c0%af", "/%22 level=error x=%22", "/%5c%22", "/" + "a" * 9000,
                                  "/" + "%01" * 3000, "/%e2%82%ac=1", "/%80" + "b" * 690, "/" + "%22" * 345]


@pytest.mark.parametrize("path", PATHS, ids=[path[:20] for path in PATHS])
def test_no_path_breaks_a_line(fresh, path):
    server = fresh("--access-log")
    server.raw("GET", path.replace(" ", "%20"))
    assert server.stop() == 0
    (level, fields), = requests_of(server)
    assert level == "info" and fields["status"] == "404" and "ms" in fields
    assert sorted(event for _, event, _ in lines_of(server)) == ["request", "started", "stopped", "stopping"]
