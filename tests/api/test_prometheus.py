"""Goal: /metrics counts what happened, in Prometheus' text format, with labels that requests cannot multiply."""
import gzip
import json
import os
import re
import signal
import subprocess
import threading

import pytest

import harness

FIXED = {"backpropd_build_info", "backpropd_jobs", "process_open_fds", "backpropd_data_dir_free_bytes", "backpropd_predict_duration_seconds"}


def scrape(server):
    answer = server.get("/metrics")
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.body.decode()


def value(server, series):
    """The value of a series, written as in the response; None when it is not there."""
    found = re.search("^%s (\\S+)$" % re.escape(series), scrape(server), re.M)
    return float(found.group(1)) if found else None


def rises_to(server, series, expected):
    """A request is counted when its response has been sent, a moment after the client has it."""
    return harness.until(lambda: value(server, series) == expected, what="%s %s" % (series, expected))


def promtool(what, text, path=None):
    return subprocess.run(["promtool", "check", what, *([str(path)] if path else [])], input=text, capture_output=True, text=True, timeout=60)


@pytest.fixture
def trained(fresh):
    server = fresh("--workers", "1")
    job = server.train(**harness.xor(model={"name": "xor", "layers": [{"type": "dense", "units": 4}]}, epochs=7))
    server.predict("xor", [[0, 1]])
    return server, job


def test_format_is_accepted_by_promtool(trained):
    server, _ = trained
    server.get("/v1/jobs/job_nosuch")
    text = scrape(server)
    checked = promtool("metrics", text)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    names = re.findall(r"^# TYPE (\w+) (?:counter|gauge|histogram)$", text, re.M)
    assert names == sorted(names) and len(names) == len(set(names)) and FIXED <= set(names)
    assert re.findall(r"^# HELP (\w+) [A-Z].*[^.]$", text, re.M) == names
    for line in text.splitlines():
        assert line.startswith("# ") or re.fullmatch(r'\w+(\{(?:\w+="[^"\n]*",?)+\})? [0-9.e+-]+', line), line


def test_promtool_finds_faults():
    assert promtool("metrics", "# HELP a_total x\n# TYPE a_total gauge\na_total 1\n").returncode != 0


def test_examples_of_the_guide_are_valid(tmp_path):
    guide = (harness.ROOT / "clients/guides/operations.md").read_text()
    config, rules = re.findall(r"^```yaml\n(.*?)^```", guide[guide.index("## Metrics"):], re.M | re.S)[:2]
    (tmp_path / "key").write_text("k")
    (tmp_path / "prometheus.yml").write_text(config.replace("/etc/prometheus/backpropd.key", str(tmp_path / "key")))
    (tmp_path / "rules.yml").write_text(rules)
    for kind, file in (("config", "prometheus.yml"), ("rules", "rules.yml")):
        checked = promtool(kind, None, tmp_path / file)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    known = set(re.findall(r"^METRIC\((\w+),", (harness.ROOT / "server/ops/metrics.def").read_text(), re.M))
    used = set(re.findall(r"\b(?:backpropd|process)_\w+", rules))
    assert used and {re.sub("_bucket$", "", name) for name in used} <= known


# What makes each alert of the guide fire within an hour, as series of promtool; and what does not.
TROUBLE = {"up": "0", "backpropd_data_dir_free_bytes": "5e8", 'backpropd_problems_total{code="damaged"}': "0+1x60", "backpropd_job_crashes_total": "0+1x60",
           'backpropd_jobs{status="queued"}': "3", "backpropd_workers_busy": "0", 'backpropd_problems_total{code="overloaded"}': "0+60x60",
           'backpropd_predict_duration_seconds_bucket{le="0.1"}': "0", 'backpropd_predict_duration_seconds_bucket{le="1"}': "0+9x60",
           'backpropd_predict_duration_seconds_bucket{le="+Inf"}': "0+9x60"}
WELL = {"up": "1", "backpropd_data_dir_free_bytes": "9e11-1e9x60", 'backpropd_problems_total{code="damaged"}': "7", "backpropd_job_crashes_total": "0+0x30 1+0x30",
        'backpropd_jobs{status="queued"}': "3", "backpropd_workers_busy": "2", 'backpropd_problems_total{code="overloaded"}': "0+1x60", "backpropd_connections": "200",
        "backpropd_connections_limit": "2000", 'backpropd_predict_duration_seconds_bucket{le="0.1"}': "0+9x60", 'backpropd_predict_duration_seconds_bucket{le="+Inf"}': "0+9x60"}


def test_alerts_of_the_guide_fire(tmp_path):
    guide = (harness.ROOT / "clients/guides/operations.md").read_text()
    rules = re.findall(r"^```yaml\n(.*?)^```", guide[guide.index("## Metrics"):], re.M | re.S)[1]
    alerts = re.findall(r"alert: (\w+)", rules)
    (tmp_path / "rules.yml").write_text(rules)

    def series(values):
        return [{"series": re.sub(r"^(\w+)(?:{(.*)})?$", lambda m: '%s{job="backpropd",instance="a"%s}' % (m[1], m[2] and "," + m[2] or ""), name),
                 "values": text if "x" in text else text + "x60"} for name, text in values.items()]

    def expected(alert, fires):
        labels = {} if alert == "BackpropdPredictionsSlow" else {"job": "backpropd", "instance": "a"}
        labels.update({"BackpropdStoredDataDamaged": {"code": "damaged"}, "BackpropdOverloaded": {"code": "overloaded"}}.get(alert, {}))
        return {"eval_time": "1h", "alertname": alert, "exp_alerts": [{"exp_labels": labels}] if fires else []}

    tests = [{"interval": "1m", "input_series": series(values), "alert_rule_test": [expected(alert, fires) for alert in alerts]}
             for values, fires in ((TROUBLE, True), (WELL, False))]
    (tmp_path / "tests.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}))
    checked = subprocess.run(["promtool", "test", "rules", str(tmp_path / "tests.yml")], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0 and len(alerts) == 7, checked.stdout + checked.stderr


def test_dashboard_uses_metrics_that_exist(tmp_path):
    dashboard = json.loads((harness.ROOT / "clients/grafana/backpropd.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    types = dict(re.findall(r"^METRIC\((\w+), (\w+),", (harness.ROOT / "server/ops/metrics.def").read_text(), re.M))
    for query in queries:
        for name in re.findall(r"\b(?:backpropd|process)_\w+", query):
            assert types[name.removesuffix("_bucket")] == "HISTOGRAM" if name.endswith("_bucket") else name in types, query
    assert len(queries) > 15 and len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    rules = "".join("      - record: a:b%d\n        expr: %s\n" % (i, json.dumps(query.replace("$__rate_interval", "1m"))) for i, query in enumerate(queries))
    (tmp_path / "rules.yml").write_text("groups:\n  - name: dashboard\n    rules:\n" + rules)
    checked = promtool("rules", None, tmp_path / "rules.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_jobs_are_counted(trained):
    server, job = trained
    rises_to(server, 'backpropd_job_duration_seconds_count{status="succeeded"}', 1)
    text = scrape(server)
    for line in ('backpropd_jobs{status="succeeded"} 1', 'backpropd_jobs{status="queued"} 0', "backpropd_job_epochs_total 7", "backpropd_job_samples_total 28",
                 "backpropd_job_queue_wait_seconds_count 1", "backpropd_job_crashes_total 0", "backpropd_workers 1"):
        assert line in text.splitlines(), line
    assert job["status"] == "succeeded"


def test_folds_are_counted_with_all_their_epochs(fresh):
    server = fresh()
    server.upload("iris", harness.DATA / "iris.csv")
    job = server.train(model={"layers": [{"type": "dense", "units": 4}]}, dataset="iris", target="class", epochs=3, validation={"folds": 3})
    rises_to(server, "backpropd_job_epochs_total", job["progress"]["epoch"])
    assert job["progress"]["epoch"] == 12 and value(server, "backpropd_job_samples_total") == 3 * 150 + 3 * 3 * 100


def test_crashes_and_retries_are_counted(fresh):
    server = fresh("--workers", "1", "--retry-seconds", "0", "--attempts-max", "2")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**harness.ENDLESS, checkpoint_every_epochs=1000000)["id"]  # after a new checkpoint, a crash is the first again
    for attempt in (1, 2):
        server.wait(job, lambda j: j["status"] == "running" and j["attempt"] == attempt)
        child, = harness.until(server.children)
        os.kill(child, signal.SIGKILL)
    assert server.wait(job)["status"] == "failed"
    rises_to(server, 'backpropd_job_duration_seconds_count{status="failed"}', 1)
    assert value(server, "backpropd_job_crashes_total") == 2 and value(server, "backpropd_job_retries_total") == 1
    assert value(server, "backpropd_job_queue_wait_seconds_count") == 1


def test_requests_and_predictions_are_counted(trained):
    server, _ = trained
    rises_to(server, 'backpropd_http_requests_total{route="/v1/models/{model}/predict",method="POST",status="2xx"}', 1)
    series = 'backpropd_predict_duration_seconds_%s{model="xor",version="1"%s}'
    assert value(server, series % ("count", "")) == 1 and value(server, series % ("bucket", ',le="+Inf"')) == 1
    assert 0 < value(server, series % ("sum", "")) < 10
    server.predict("xor", [[0, 1], [1, 0]])
    assert value(server, series % ("count", "")) == 2
    rises_to(server, 'backpropd_http_request_duration_seconds_count{route="/v1/models/{model}/predict",method="POST"}', 2)
    assert value(server, "backpropd_model_cache_models") == 1 and value(server, "backpropd_model_cache_loads_total") == 1


def test_paths_methods_and_codes_do_not_become_labels(fresh):
    server = fresh()
    before = len(scrape(server).splitlines())
    for i in range(300):
        server.raw("GET", "/v1/nowhere/%d" % i)
        server.raw("GET", "/v1/models/model-%d" % i)
        server.raw("BREW%d" % i, "/v1/models")
    for method in ("GET", "other"):
        rises_to(server, 'backpropd_http_requests_total{route="none",method="%s",status="4xx"}' % method, 300)
    text = scrape(server)
    assert "nowhere" not in text and "model-" not in text and "BREW" not in text
    assert len(text.splitlines()) < before + 60
    assert 'backpropd_problems_total{code="not_found"} 600' in text and 'backpropd_problems_total{code="method_not_allowed"} 300' in text


def test_streams_and_connections_are_gauges(trained):
    server, job = trained
    assert value(server, "backpropd_event_streams") == 0
    endless = server.stream("/v1/events")
    thread = threading.Thread(target=lambda: next(endless, None), daemon=True)
    thread.start()
    rises_to(server, "backpropd_event_streams", 1)
    rises_to(server, "backpropd_http_requests_in_flight", 2)  # the stream and this one
    assert value(server, "backpropd_connections") >= 2
    server.stop()
    thread.join(30)


def test_compressed_when_accepted(trained):
    server, _ = trained
    packed = server.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip" and packed.headers["Vary"] == "Accept-Encoding"
    assert b"# TYPE backpropd_jobs gauge" in gzip.decompress(packed.body)


def test_needs_the_key(fresh, tmp_path):
    (tmp_path / "key").write_text("0123456789abcdef0123456789\n")
    (tmp_path / "key").chmod(0o600)
    server = fresh("--api-key-file", str(tmp_path / "key"))
    assert server.raw("GET", "/metrics").status == 401
    assert server.raw("GET", "/metrics", headers={"Authorization": "Bearer 0123456789abcdef0123456789"}).status == 200


def test_figures_of_disk_and_memory_are_those_of_the_system(fresh):
    server = fresh()
    used, database = value(server, "backpropd_data_dir_used_bytes"), value(server, "backpropd_database_bytes")
    server.upload("digits", harness.DATA / "digits.csv")
    assert value(server, "backpropd_data_dir_used_bytes") > used + 10000 and database > 4096
    with open("/proc/%d/status" % server.process.pid) as status:
        resident = int(dict(line.split(":", 1) for line in status)["VmRSS"].split()[0]) << 10
    assert 0.5 * resident < value(server, "process_resident_memory_bytes") < 2 * resident
    assert value(server, "process_start_time_seconds") > 1.6e9
