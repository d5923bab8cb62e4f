"""Goal: GET /v1/compare says what Python finds in the documents and histories of the jobs."""
import csv
import io

import pytest

import harness
from harness import problem

ROWS = "a,b,y\n" + "".join("%d,%d,%s\n" % (i % 7, i % 5, "yes" if (i % 7) + (i % 5) > 5 else "no") for i in range(60))
HIGHER = {"accuracy", "balanced_accuracy", "f1", "matthews_correlation", "pr_auc", "precision", "r2", "recall", "roc_auc", "subset_accuracy", "top_k_accuracy"}


def network(units, **more):
    return {"layers": [{"type": "dense", "units": units, "activation": "tanh"}], "metrics": ["accuracy", "f1", "log_loss"], **more}


@pytest.fixture(scope="module")
def jobs(server):
    server.upload("sides", ROWS)
    made = [server.train(model=network(4), dataset="sides", target="y", epochs=6, seed=1, metadata={"n": "a,\"b\""}),
            server.train(model=network(8), dataset="sides", target="y", epochs=9, seed=1, optimizer={"type": "sgd", "learning_rate": 0.5}, early_stopping={"patience": 2}),
            server.train(model=network(4), dataset="sides", target="y", epochs=6, seed=1)]
    return [server.get("/v1/jobs/" + j["id"]).json for j in made]


def compare(server, jobs, query=""):
    answer = server.get("/v1/compare?jobs=%s%s" % (",".join(j["id"] for j in jobs), query))
    assert answer.status == 200, answer
    return answer.json


def flat(value, name=""):
    if isinstance(value, dict) and value:
        return {k: v for key, inner in value.items() for k, v in flat(inner, name + "." * bool(name) + key).items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {k: v for i, inner in enumerate(value) for k, v in flat(inner, "%s.%d" % (name, i)).items()}
    return {name: value}


def history(server, job):
    return server.get("/v1/jobs/%s/metrics?max_points=100000" % job["id"]).json["data"]


def test_differences(server, jobs):
    for same in (False, True):
        got = compare(server, jobs, "&same=true" if same else "")
        for part in ("options", "definition"):
            all_flat = [flat(j[part]) for j in jobs]
            expected = {}
            for name in {n for f in all_flat for n in f}:
                values = [f.get(name) for f in all_flat]
                if same or any(v != values[0] for v in values):
                    expected[name] = (any(v != values[0] for v in values), values)
            assert {d["name"]: (d["differs"], d["values"]) for d in got[part]} == expected
    names = {d["name"] for d in compare(server, jobs)["options"]}
    assert {"optimizer.type", "optimizer.learning_rate", "epochs", "early_stopping.patience"} <= names and "seed" not in names and "batch_size" not in names
    assert [d["values"] for d in compare(server, jobs)["definition"] if d["name"] == "layers.0.units"] == [[4, 8, 4]]
    twins = compare(server, [jobs[0], jobs[2]])
    assert twins["options"] == twins["definition"] == twins["warnings"] == []


def test_metrics(server, jobs):
    got = compare(server, jobs)
    assert got["series"] is None and [j["id"] for j in got["jobs"]] == [j["id"] for j in jobs]
    for shown, job in zip(got["jobs"], jobs):
        assert shown["epochs"] == job["progress"]["epoch"] and {k: shown[k] for k in shown if k != "epochs"} == {k: job[k] for k in shown if k != "epochs"}
    histories = [history(server, j) for j in jobs]
    assert {m["name"] for m in got["metrics"]} == {n for j in jobs for n in j["metrics"]}
    for metric in got["metrics"]:
        name = metric["name"]
        bare = name.replace("val_", "", 1) if name.startswith("val_") else name
        assert metric["direction"] == ("higher_is_better" if bare in HIGHER else "lower_is_better")
        assert metric["final"] == [h[-1][name] for h in histories]
        assert metric["best"] == [j["metrics"][name] for j in jobs]
        best = (max if bare in HIGHER else min)(v for v in metric["best"] if v is not None)
        assert metric["best_jobs"] == [j["id"] for j, v in zip(jobs, metric["best"]) if v == best]
    stopped = jobs[1]
    assert stopped["best"]["epoch"] < stopped["progress"]["epoch"] or stopped["stop_reason"] is None
    assert all(m["best_jobs"] == [jobs[0]["id"], jobs[2]["id"]] for m in compare(server, [jobs[0], jobs[2]])["metrics"])  # equal ones


def test_series(server, jobs):
    got = compare(server, jobs, "&series=val_loss")["series"]
    assert got["name"] == "val_loss"
    for one, job in zip(got["jobs"], jobs):
        assert one == {"job": job["id"], "points": [{"epoch": p["epoch"], "value": p["val_loss"]} for p in history(server, job)]}
    thin = compare(server, jobs, "&series=val_loss&max_points=4")["series"]["jobs"]
    for one, whole in zip(thin, got["jobs"]):
        points = [(p["epoch"], p["value"]) for p in one["points"]]
        values = [p["value"] for p in whole["points"]]
        assert len(points) <= 4 and set(points) <= {(p["epoch"], p["value"]) for p in whole["points"]}
        assert points[0][0] == 1 and points[-1][0] == len(values) and {min(values), max(values)} <= {v for _, v in points}


def test_warnings(server, jobs):
    seeds = server.train(model=network(4), dataset="sides", target="y", epochs=2, seed=2)
    share = server.train(model=network(4), dataset="sides", target="y", epochs=2, seed=1, validation={"fraction": 0.5})
    none = server.train(model=network(4), dataset="sides", target="y", epochs=2, seed=1, validation={"fraction": 0})
    column = [server.train(model=network(4), dataset="sides", target="y", features=["a"], epochs=2, seed=s, validation={"time": "b", "fraction": 0.3}) for s in (1, 2)]
    focal = server.train(model=network(4, loss="focal"), dataset="sides", target="y", epochs=2, seed=1)
    running = server.submit(model=network(2048), dataset="sides", target="y", epochs=1000000, seed=1)
    server.upload("sides", ROWS + "1,1,no\n", "&replace=1")
    newer = server.train(model=network(4), dataset="sides", target="y", epochs=2, seed=1)
    for other, words in ((seeds, "they differ in seed"), (share, "they differ in validation"), (none, "%s has no validation rows" % none["id"]), (newer, "they differ in dataset"),
                         (focal, "different losses"), (column[0], "they differ in validation, seed"), (running, "%s is " % running["id"])):
        got = compare(server, [jobs[0], other])["warnings"]
        assert len(got) == 1 and words in got[0], got
    assert compare(server, column)["warnings"] == []  # the rows follow from the column, whatever the seed
    server.post("/v1/jobs/%s/cancel" % running["id"])


def test_csv(server, jobs):
    got = compare(server, jobs)
    answer = server.get("/v1/compare?jobs=" + ",".join(j["id"] for j in jobs), headers={"Accept": "text/csv"})
    rows = list(csv.reader(io.StringIO(answer.body.decode())))
    assert rows[0] == ["section", "name"] + [j["id"] for j in jobs] and all(len(r) == 5 for r in rows)
    table = {(r[0], r[1]): r[2:] for r in rows[1:]}
    assert table["job", "dataset"] == ["sides@1"] * 3 and table["job", "status"] == ["succeeded"] * 3
    assert table["option", "optimizer.type"] == ["adam", "sgd", "adam"] and table["definition", "layers.0.units"] == ["4", "8", "4"]
    for metric in got["metrics"]:
        for kind in ("best", "final"):
            assert [float(v) if v else None for v in table[kind, metric["name"]]] == metric[kind]


def test_what_is_refused(server, jobs):
    a, b = jobs[0]["id"], jobs[1]["id"]
    missing = "job_" + "0" * 26
    for query, words in (("", "from 2 to 20"), ("jobs=", "from 2 to 20"), ("jobs=" + a, "got 1"), ("jobs=%s,%s" % (a, a), "twice"), ("jobs=" + ",".join("job_%d" % i for i in range(21)), "at most 20"),
                         ("jobs=%s,%s&same=yes" % (a, b), "same must be"), ("jobs=%s,%s&max_points=1" % (a, b), "max_points"), ("jobs=%s,%s&series=val_nothing" % (a, b), "val_nothing")):
        assert words in problem(server.get("/v1/compare?" + query), 422, "invalid")["detail"]
    assert missing in problem(server.get("/v1/compare?jobs=%s,%s" % (a, missing)), 404, "not_found")["detail"]
    for odd in ("jobs=,,", "jobs=%s,%%00" % a, "jobs=%s,%s" % (a, "x" * 500)):
        assert server.get("/v1/compare?" + odd).status in (404, 422, 400)


# ---- on the command line ----

def test_compare_on_the_command_line(server, jobs):
    ids = ",".join(j["id"] for j in jobs)
    out = harness.run("compare", "--url", server.url, "--jobs", ids)
    assert out.returncode == 0 and out.stderr == ""
    lines = [line.split() for line in out.stdout.splitlines()]
    assert ["optimizer.type", "adam", "sgd", "adam"] in lines and ["layers.0.units", "4", "8", "4"] in lines
    got = compare(server, jobs)
    for metric in got["metrics"]:
        (line,) = [line for line in lines if line and line[0] == metric["name"]]
        marked = [cell for cell in line[1:] if cell != "*"]
        assert marked == ["%.6g" % v if v is not None else "-" for v in metric["best"]]
        assert [line[i + 1 : i + 2] == ["*"] for i in range(1, len(line)) if line[i] != "*"] == [j["id"] in metric["best_jobs"] for j in jobs]
    out = harness.run("compare", "--url", server.url, "--jobs", ids, "--json", "--series", "loss", "--same")
    assert __import__("json").loads(out.stdout) == compare(server, jobs, "&series=loss&same=true")
    assert "  epoch 1  " in harness.run("compare", "--url", server.url, "--jobs", ids, "--series", "loss").stdout
    for wrong, code, words in ((["--jobs", ids], 2, "--url"), (["--url", server.url], 2, "--jobs"), (["--url", server.url, "--jobs", "job_1,job_2"], 1, "404"),
                               (["--url", "http://127.0.0.1:1", "--jobs", ids], 1, "no server listens")):
        out = harness.run("compare", *wrong)
        assert out.returncode == code and words in out.stderr and out.stdout == ""


def test_jobs_on_the_command_line(server, jobs):
    out = harness.run("jobs", "--url", server.url, "--sort", "-val_accuracy,metadata.n", "--where", "epochs>=6 and options.optimizer=adam", "--dataset", "sides@1", "--limit", "5")
    assert out.returncode == 0 and out.stderr == ""
    lines = out.stdout.splitlines()
    assert lines[0].split() == ["id", "status", "model", "dataset", "epoch", "loss", "val_loss", "val_accuracy", "n"]
    listed = server.get("/v1/jobs?sort=-val_accuracy,metadata.n&where=epochs>=6&option.optimizer=adam&dataset=sides@1&limit=5").json["data"]
    assert len(listed) >= 2
    for line, job in zip(lines[1:], listed):
        assert line.split()[:8] == [job["id"], job["status"], job["model"], "sides@1", str(job["progress"]["epoch"])] + ["%.6g" % job["metrics"][m] for m in ("loss", "val_loss", "val_accuracy")]
    out = harness.run("jobs", "--url", server.url, "--json", "--fields", "id,metrics.loss", "--status", "succeeded", "--limit", "2")
    assert __import__("json").loads(out.stdout) == server.get("/v1/jobs?fields=id,metrics.loss&status=succeeded&limit=2").json
    assert "unknown status" in harness.run("jobs", "--url", server.url, "--status", "done").stderr and harness.run("jobs").returncode == 2
