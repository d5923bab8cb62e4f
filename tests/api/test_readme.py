"""Goal: what README.md tells a stranger to do works, as requests and when pasted into a shell."""
import json
import os
import re
import shutil
import subprocess

import pytest

import harness

README = (harness.ROOT / "README.md").read_text()
TOUR = README[README.index("## A tour with curl"):README.index("## Without a server")]


def shell_blocks(text):
    return re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)


def curl_bodies():
    """The JSON bodies of the tour's curl lines, in order, with their paths."""
    return [(path, json.loads(body)) for path, body in re.findall(r"curl http://127.0.0.1:8080(\S+) -H 'Content-Type: application/json' -d '(.*?)'\n", TOUR, re.S)]


def test_tour_as_requests(fresh):
    server = fresh()
    csv = (harness.ROOT / "clients/examples/penguins.csv").read_bytes()
    dataset = server.upload("penguins", csv)
    assert dataset["rows"] == 344 and [c["name"] for c in dataset["columns"]][0] == "species"
    bodies = curl_bodies()
    assert [path for path, _ in bodies] == ["/v1/models", "/v1/jobs", "/v1/models/penguins/predict", "/v1/jobs", "/v1/jobs"]
    assert server.post(*bodies[0]).status == 201
    submitted = server.post(*bodies[1])
    assert submitted.status == 202 and submitted.json["status"] == "queued"
    job = server.get("/v1/jobs?limit=1").json["data"][0]
    assert job["id"] == submitted.json["id"] and submitted.headers["Location"] == "/v1/jobs/" + job["id"]
    assert server.wait(job["id"])["status"] == "succeeded"
    assert list(server.stream("/v1/jobs/%s/events" % job["id"]))[-1][1] == "end"
    history = server.get("/v1/jobs/%s/metrics?names=loss,val_loss&max_points=20" % job["id"]).json
    assert history["names"] == ["loss", "val_loss"] and 2 <= len(history["data"]) <= 20
    assert [p["label"] for p in server.post(*bodies[2]).json["predictions"]] == ["Adelie", "Gentoo"]
    refused = harness.pointers(server.post(*bodies[3]))
    assert set(refused) == {"/epochs", "/model/layers/0/type", "/target"}
    assert "dense" in refused["/model/layers/0/type"] and "species" in refused["/target"]
    nothing = server.post(*bodies[4])
    assert nothing.status == 202
    assert server.wait(nothing.json["id"])["model_version"] == 1
    assert server.predict("xor", [[0, 0], [0, 1], [1, 0], [1, 1]])[1]["label"] == "yes"


def test_the_error_shown_is_the_error_given(server):
    """The README prints an answer of the server: its problems must be the ones that the server finds."""
    shown = json.loads(re.search(r"^```json\n(.*?)^```", TOUR, re.M | re.S).group(1))
    body = curl_bodies()[3][1]
    got = server.post("/v1/jobs", body).json
    assert set(shown) == set(got)
    for field in ("type", "title", "status", "code", "instance", "detail"):
        assert shown[field] == got[field], field
    given = {e["pointer"]: e["detail"] for e in got["errors"]}
    assert shown["errors"]
    for error in shown["errors"]:
        assert error["pointer"] in given and error["detail"] in ("...", given[error["pointer"]])


def test_tour_pasted_into_a_shell(fresh, tmp_path):
    """The curl lines as they stand, against a server on another port. `curl` is the real one, made to tell its status on stderr."""
    server = fresh()
    wrapper = tmp_path / "curl"
    wrapper.write_text("#!/bin/sh\nexec %s -sS -w '%%{stderr}STATUS %%{http_code}\\n' \"$@\"\n" % shutil.which("curl"))
    wrapper.chmod(0o755)
    script = "set -e\n" + "\n".join(block for block in shell_blocks(TOUR) if "curl" in block).replace("http://127.0.0.1:8080", server.url)
    assert "8080" not in script
    done = subprocess.run(["bash", "-c", script], cwd=harness.ROOT, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PATH": "%s:%s" % (tmp_path, os.environ["PATH"])})
    assert done.returncode == 0, done.stderr
    statuses = re.findall(r"STATUS (\d+)", done.stderr)
    assert len(statuses) == len(re.findall(r"\bcurl ", script))
    assert statuses == ["201", "200", "200", "201", "202", "200", "200", "200", "200", "200", "200", "422", "202"], done.stderr
    assert "event: end" in done.stdout and '"label":"Adelie"' in done.stdout


def test_how_good_it_is_pasted_into_a_shell(fresh):
    """Every job of that section succeeds."""
    server = fresh()
    server.upload("penguins", (harness.ROOT / "clients/examples/penguins.csv").read_bytes())
    section = README[README.index("## How good is it"):README.index("## Endpoints")]
    script = "set -e\n" + "\n".join(shell_blocks(section)).replace("http://127.0.0.1:8080", server.url)
    done = subprocess.run(["bash", "-c", script], cwd=harness.ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    jobs = [server.wait(j["id"]) for j in server.get("/v1/jobs").json["data"]]
    assert [(j["status"], j["options"]["validation"]) for j in jobs] == [("succeeded", {"dataset": "held@1"}), ("succeeded", {"folds": 5})], jobs
    assert len(jobs[1]["cross_validation"]["folds"]) == 5 and jobs[0]["metrics"]["val_accuracy"] > 0.5


def test_settings_table_is_the_settings(fresh):
    """README's table against settings.def: names, defaults, words."""
    rows = re.findall(r"^SETTING\(\w+, (\w+), \"([^\"]*)\", [^,]+, [^,]+, \"([^\"]*)\"\)", (harness.ROOT / "server/settings.def").read_text(), re.M)
    table = re.findall(r"^\| `(\w+)` \| (?:`([^`]*)`)? ?\| (.*?) \|$", README[README.index("## Settings"):README.index("## Docker")], re.M)
    assert len(rows) > 15
    assert sorted(rows) == sorted(table)


def test_commands_without_a_server(tmp_path):
    """The block "Without a server", as it stands."""
    block = shell_blocks(README[README.index("## Without a server"):README.index("## Endpoints")])[0]
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "backpropd").symlink_to(harness.BACKPROPD)
    (tmp_path / "clients").symlink_to(harness.ROOT / "clients")
    done = subprocess.run(["bash", "-ec", block], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Adelie,") > 100 and (tmp_path / "model.bpd").stat().st_size > 1000


def test_bodies_beyond_the_tour(fresh):
    """Every job of the section "What it knows" trains."""
    server = fresh()
    server.upload("penguins", (harness.ROOT / "clients/examples/penguins.csv").read_bytes())
    section = README[README.index("## What it knows"):README.index("## Endpoints")]
    bodies = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", section, re.M | re.S)]
    assert len(bodies) >= 6
    for body in bodies:
        job = server.train(**body)
        assert job["status"] == "succeeded", (body, job["error"])
    assert "values" in server.predict("mass", [{"species": "Gentoo", "sex": "male", "flipper_length_mm": 220}])[0]


def test_the_table_of_families_is_the_catalog(fresh):
    catalog = fresh().get("/v1/catalog").json
    rows = re.findall(r"^\| (\w+) \| ((?:`\w+` ?)+)\|$", README[README.index("## What it knows"):README.index("## Endpoints")], re.M)
    assert {family: re.findall(r"`(\w+)`", members) for family, members in rows} == {
        family: [e["name"] for e in entries] for family, entries in catalog.items() if family not in ("object", "formats")}
