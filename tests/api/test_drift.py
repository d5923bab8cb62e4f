"""Goal: what live rows are counted as, and their stability index, is what numpy computes from the rows that were sent; counts outlive a restart, stay with
their version, are at the model and in /metrics, and say so when they say nothing."""
import json
import re
import sqlite3

import numpy
import pytest

import harness
from harness import problem, run, unique

DENSE = {"type": "dense", "units": 8, "activation": "relu"}
JSON = {"Content-Type": "application/json"}


def records(n, seed, shift=0.0):
    """Every kind of column that is counted; shift moves them."""
    random = numpy.random.default_rng(seed)
    a, kind = random.normal(shift, 1, n), random.choice(["x", "y", "z"], n, p=[0.6 - 0.4 * bool(shift), 0.3, 0.1 + 0.4 * bool(shift)])
    rows = [{"a": float(v) if i % 10 else None, "flag": bool(f), "when": "2024-%02d-01" % m, "kind": str(k), "same": 5}
            for i, (v, f, m, k) in enumerate(zip(a, random.random(n) < 0.3, random.integers(1, 13, n), kind))]
    return [{**row, "y": (row["a"] or 0) * 2 + row["flag"]} for row in rows]


def train(server, rows, name, **job):
    server.train(model={"name": name, "layers": [DENSE]}, dataset={"records": rows}, target="y", validation={"fraction": 0}, **{"epochs": 5, **job})


def predict(server, name, rows, size=200):
    got = []
    for i in range(0, len(rows), size):
        answer = server.raw("POST", "/v1/models/%s/predict" % name, json.dumps({"instances": [{k: v for k, v in r.items() if k != "y"} for r in rows[i:i + size]]}).encode(), JSON)
        assert answer.status == 200, answer
        got += answer.json["predictions"]
    return got


def index(reference, live):
    """Half a row is added to each bin."""
    e, a = ((numpy.array(c, float) + 0.5) / (numpy.sum(c) + len(c) / 2) for c in (reference, live))
    return ((a - e) * numpy.log(a / e)).sum()


def number_counts(values, edges):
    there = numpy.array([v for v in values if v is not None], float)
    return numpy.bincount(numpy.searchsorted(edges, there, side="right"), minlength=len(edges) + 1).tolist() + [sum(v is None for v in values)]


def seconds(text):
    return (numpy.datetime64(text) - numpy.datetime64("1970-01-01")).astype("timedelta64[s]").astype(int)


def column(rows, name):
    return [None if r[name] is None else seconds(r[name]) if name == "when" else float(r[name]) for r in rows]


def windows(server, name, version=None):
    report = server.get("/v1/models/%s%s/drift" % (name, "/versions/%d" % version if version else "")).json
    assert report["message"] is None
    return {w["window"]: w for w in report["windows"]}


def test_counts_and_index_are_those_of_numpy(server):
    name, seen, live = unique("drifting"), records(900, 1), records(700, 2, shift=1.2)
    train(server, seen, name)
    reference = {f["name"]: f for f in server.get("/v1/models/%s/versions/1" % name).json["reference"]["features"]}
    assert list(reference) == ["a", "flag", "when", "kind", "same"]
    for feature in ("a", "flag", "when", "same"):
        values = column(seen, feature)
        counts = number_counts(values, reference[feature]["edges"])
        assert reference[feature]["counts"] + [reference[feature]["missing"]] == counts, feature
    deciles = numpy.quantile([v for v in column(seen, "a") if v is not None], numpy.arange(1, 10) / 10)
    assert numpy.allclose(reference["a"]["edges"], deciles) and reference["same"]["counts"] == [0, 900, 0]
    assert reference["kind"]["categories"] == ["x", "y", "z"] and reference["kind"]["other"] == reference["kind"]["missing"] == 0
    assert server.get("/v1/models/" + name).json["drift"] is None
    empty = windows(server, name)["day"]
    assert empty["rows"] == 0 and empty["status"] is None and {f["status"] for f in empty["features"]} == {"no_rows"}
    live[3] = {**live[3], "kind": "unheard of"}
    live[4] = {**live[4], "kind": None}
    live[5] = {**live[5], "same": 6}
    predictions = predict(server, name, live)
    for window in windows(server, name).values():
        assert window["rows"] == 700
        found = {f["feature"]: f for f in window["features"]}
        for feature, bins in found.items():
            if feature == "kind":
                told = [r["kind"] for r in live]
                counts = [told.count(c) for c in ("x", "y", "z")] + [1, 1]
            else:
                counts = number_counts(column(live, feature), reference[feature]["edges"])
            before = reference[feature]["counts"] + ([0] if feature == "kind" else []) + [reference[feature]["missing"]]
            assert bins["live"] == counts and bins["reference"] == before and bins["rows"] == 700, feature
            assert numpy.isclose(bins["stability_index"], index(before, counts)), feature
            assert numpy.isclose(bins["expected_by_chance"], (len(counts) - 1) * (1 / 700 + 1 / 900))
            expected = "major" if bins["stability_index"] >= 0.25 else "moderate" if bins["stability_index"] >= 0.1 else "stable"
            assert bins["status"] == expected
        assert found["a"]["status"] == found["kind"]["status"] == "major" and found["flag"]["status"] == found["when"]["status"] == "stable"
        order = [f["stability_index"] for f in window["features"]]
        assert order == sorted(order, reverse=True) and window["worst_feature"] == window["features"][0]["feature"] and window["status"] == "major"
        (output,) = window["outputs"]
        assert output["live"] == number_counts([p["value"] for p in predictions], output["edges"])[:-1] and output["output"] == "y"
        assert numpy.isclose(output["stability_index"], index(output["reference"], output["live"]))
    summary = server.get("/v1/models/" + name).json["drift"]
    day = windows(server, name)["day"]
    assert (summary["rows"], summary["status"], summary["worst"]["feature"]) == (700, "major", day["worst_feature"])
    assert numpy.isclose(summary["worst"]["stability_index"], day["features"][0]["stability_index"])
    said = run("drift", "--url", server.url, "--model", name)
    assert said.returncode == 0 and "last day: 700 rows, beside 900" in said.stdout and "#" not in said.stdout
    assert [line.split()[1] for line in said.stdout.splitlines() if line.startswith("feature")] == [f["feature"] for f in day["features"]]
    assert json.loads(run("drift", "--url", server.url, "--model", name + "@1", "--json").stdout)["windows"][1]["features"] == day["features"]
    assert run("drift", "--url", server.url, "--model", name, "--window", "year").returncode == 2
    # the largest ones in /metrics, as many as the setting says
    lines = [line for line in server.raw("GET", "/metrics").body.decode().splitlines() if 'model="%s"' % name in line and line.startswith("backpropd_drift")]
    shown = {re.search('feature="([^"]+)"', line).group(1): float(line.split()[-1]) for line in lines if "_psi" in line}
    assert shown == pytest.approx({f["feature"]: f["stability_index"] for f in day["features"][:5]})
    assert 'backpropd_drift_rows{model="%s",version="1"} 700' % name in lines


def test_few_rows_say_nothing_and_a_large_shift_does(server):
    name = unique("few")
    train(server, records(500, 1), name)
    predict(server, name, records(20, 3))
    assert {f["status"] for f in windows(server, name)["day"]["features"]} == {"too_few_rows"}
    predict(server, name, [{"a": 50.0, "flag": True, "when": "2031-01-01", "kind": "q", "same": 9}] * 30)
    found = {f["feature"]: f["status"] for f in windows(server, name)["day"]["features"]}
    assert found["a"] == found["same"] == "major"


def test_classes_forms_of_rows_and_versions(server):
    """Each version has its own counts; rows of CSV and JSON lines count, rows that fail or only are evaluated do not."""
    name = unique("counted")
    for _ in range(2):
        server.train(model={"name": name, "layers": [DENSE]}, dataset="penguins", target="species", epochs=3)
    rows = [{k: v for k, v in r.items() if k != "species"} for r in server.rows("penguins")[:60]]
    server.raw("POST", "/v1/models/%s/versions/1/predict" % name, json.dumps({"instances": rows}).encode(), JSON)
    lines = "\n".join(json.dumps(r) for r in rows[:40]) + '\n{"bill_length_mm":"wide"}\n'
    assert server.raw("POST", "/v1/models/%s/versions/1/predict" % name, lines.encode(), {"Content-Type": "application/x-ndjson"}).headers["X-Failed-Rows"] == "1"
    text = ",".join(rows[0]) + "\n" + "\n".join(",".join("" if v is None else str(v) for v in r.values()) for r in rows[:30])
    server.raw("POST", "/v1/models/%s/versions/1/predict" % name, text.encode(), {"Content-Type": "text/csv"})
    assert server.raw("POST", "/v1/models/%s/versions/1/predict" % name, json.dumps({"instances": [{"bill_length_mm": "wide"}]}).encode(), JSON).status == 422
    assert server.post("/v1/models/%s/versions/1/evaluate" % name, {"dataset": "penguins", "bootstrap": 0}).status == 200
    found = windows(server, name, 1)["hour"]
    assert found["rows"] == 130 and {f["rows"] for f in found["features"]} == {130}
    (output,) = found["outputs"]
    assert output["labels"] == ["Adelie", "Chinstrap", "Gentoo"] and sum(output["live"]) == 130
    assert windows(server, name)["hour"]["rows"] == 0
    problem(server.get("/v1/models/%s/versions/9/drift" % name), 404, "not_found")
    problem(server.get("/v1/models/no-such-model/drift"), 404, "not_found")


def test_counts_outlive_a_restart_and_go_with_their_version(fresh):
    server = fresh()
    train(server, records(300, 1), "kept")
    predict(server, "kept", records(50, 2))
    before = windows(server, "kept")["week"]
    server.restart()
    after = windows(server, "kept")["week"]
    assert (after["features"], after["outputs"], after["rows"]) == (before["features"], before["outputs"], 50)
    predict(server, "kept", records(10, 3))  # counted before what is stored was read again
    assert windows(server, "kept")["week"]["rows"] == 60
    server.restart()
    predict(server, "kept", records(10, 4))
    assert windows(server, "kept")["week"]["rows"] == 70
    assert server.delete("/v1/models/kept").status == 204
    server.restart()
    train(server, records(300, 1), "kept")
    assert windows(server, "kept")["week"]["rows"] == 0


def test_counts_are_stored_now_and_then(fresh):
    server = fresh("--drift-save-seconds", "1")
    train(server, records(300, 1), "saved")
    predict(server, "saved", records(40, 2))

    def stored():
        with sqlite3.connect("file:%s/backpropd.db?mode=ro" % server.folder, uri=True) as database:
            found = database.execute("SELECT count(*) FROM version_drift").fetchone()[0]
        database.close()
        return found

    harness.until(stored, what="the counts in the store")
    server.restart(kill=True)
    assert windows(server, "saved")["day"]["rows"] == 40


def test_off_and_without_a_reference(fresh, tmp_path):
    server = fresh("--no-drift")
    train(server, records(100, 1), "quiet")
    predict(server, "quiet", records(20, 2))
    report = server.get("/v1/models/quiet/drift").json
    assert report["windows"] == [] and "setting drift is false" in report["message"] and server.get("/v1/models/quiet").json["drift"] is None
    server.restart()
    server.flags = []
    server.restart()
    export = server.get("/v1/models/quiet/versions/1/export?format=json").json
    del export["reference"]
    server.post("/v1/models/import?name=old", body=json.dumps(export).encode(), headers={"Content-Type": "application/octet-stream"})
    predict(server, "old", records(20, 2))
    report = server.get("/v1/models/old/drift").json
    assert report["reference_rows"] is None and report["windows"] == [] and "has no reference" in report["message"]
    assert server.get("/v1/models/old").json["drift"] is None
    # an export has the reference, and a damaged one is left out
    export = server.get("/v1/models/quiet/versions/1/export?format=json").json
    for what, good in ((export["reference"], True), ({"rows": 1, "features": [{"name": "a"}], "outputs": []}, False), (7, False)):
        name = unique("imported")
        server.post("/v1/models/import?name=" + name, body=json.dumps({**export, "reference": what}).encode(), headers={"Content-Type": "application/octet-stream"})
        assert ("reference" in server.get("/v1/models/%s/versions/1" % name).json) == good
    # a model file of the command line has one too
    (tmp_path / "rows.csv").write_text("a,y\n" + "\n".join("%d,%d" % (i, 2 * i) for i in range(40)))
    (tmp_path / "net.json").write_text(json.dumps({"layers": [DENSE]}))
    assert run("train", "--data", tmp_path / "rows.csv", "--target", "y", "--definition", tmp_path / "net.json", "--out", tmp_path / "m.bpd", "--quiet").returncode == 0
    server.post("/v1/models/import?name=trained", body=(tmp_path / "m.bpd").read_bytes(), headers={"Content-Type": "application/octet-stream"})
    predict(server, "trained", [{"a": 3.0}] * 5)
    assert windows(server, "trained")["day"]["rows"] == 5


def test_a_value_that_was_never_missing(server):
    name = unique("complete")
    train(server, records(100, 1), name)
    (said,) = server.post("/v1/models/%s/predict" % name, {"instances": [{"a": 0.1, "when": "2024-03-01", "kind": "x", "same": 5}]}).json["warnings"]
    assert '"flag": 1 of 1 values missing' in said and said.endswith("none was missing in the training rows")
    (said,) = server.post("/v1/models/%s/predict" % name, {"instances": [{"flag": True, "when": "2024-03-01", "kind": "x", "same": 5}]}).json["warnings"]
    assert '"a": 1 of 1 values missing' in said and "none was missing" not in said
