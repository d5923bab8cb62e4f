"""Goal: every command and request body in README.md and clients/guides works as printed, and their tables are those of the program."""
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

import harness

sys.path.insert(0, str(harness.ROOT / "clients/guides"))
import reference  # noqa: E402

README = (harness.ROOT / "README.md").read_text()
GUIDES = {path.stem: path.read_text() for path in (harness.ROOT / "clients/guides").glob("*.md")}
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
    """The curl lines as printed, against a server on another port. `curl` is the real one, made to print its status on stderr."""
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


def test_evaluation_guide_pasted_into_a_shell(fresh):
    """Every job of the guide succeeds."""
    server = fresh()
    server.upload("penguins", (harness.ROOT / "clients/examples/penguins.csv").read_bytes())
    script = "set -e\n" + "\n".join(shell_blocks(GUIDES["evaluation"])).replace("http://127.0.0.1:8080", server.url)
    done = subprocess.run(["bash", "-c", script], cwd=harness.ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    jobs = [server.wait(j["id"]) for j in server.get("/v1/jobs").json["data"]]
    assert [(j["status"], j["options"]["validation"]) for j in jobs] == [
        ("succeeded", {"fraction": 0.2}), ("succeeded", {"fraction": 0.2}), ("succeeded", {"dataset": "held@1"}), ("succeeded", {"folds": 5})], jobs
    assert len(jobs[3]["cross_validation"]["folds"]) == 5 and jobs[2]["metrics"]["val_accuracy"] > 0.7 and "test_accuracy" in jobs[1]["metrics"]
    assert '"object":"evaluation"' in done.stdout and '"slices":[{"column"' in done.stdout


def paste(guide, server, folder, curl="curl -sSf "):
    """Every command of the guide in one shell, in its order, in a folder with the clients and the program."""
    (folder / "clients").symlink_to(harness.ROOT / "clients")
    (folder / "backpropd").symlink_to(harness.BACKPROPD)
    script = "set -e\n" + "\n".join(shell_blocks(GUIDES[guide])).replace("http://127.0.0.1:8080", server.url).replace("curl ", curl)
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=120, env={**os.environ, "PATH": "%s:%s" % (folder, os.environ["PATH"])})
    assert done.returncode == 0, done.stderr
    return done


def test_export_guide_pasted_into_a_shell(fresh, tmp_path):
    """Every command works in the order of the guide, and the C program predicts what the server predicts."""
    server = fresh()
    server.upload("penguins", (harness.ROOT / "clients/examples/penguins.csv").read_bytes())
    server.train(model={"name": "penguins", "layers": [{"type": "dense", "units": 8, "activation": "relu"}]}, dataset="penguins", target="species", epochs=20)
    done = paste("export", server, tmp_path, curl="curl ")
    assert [v["version"] for v in server.get("/v1/models/penguins-copy/versions").json["data"]] == [2, 1]
    lines = [line.split(",") for line in done.stdout.splitlines()]
    of_command, of_c = [line[0] for line in lines if len(line) == 2], [line[0] for line in lines if len(line) == 4]
    assert len(of_c) == 344 and of_command[1:] == of_c and set(of_c) == {"Adelie", "Chinstrap", "Gentoo"}


def test_versions_guide_pasted_into_a_shell(fresh, tmp_path):
    """Every command works in the order of the guide."""
    server = fresh()
    done = paste("versions", server, tmp_path)
    assert '"version":1,"predictions":' in done.stdout and '"requested":"if_better"' in done.stdout
    assert [v["version"] for v in server.get("/v1/models/penguins/versions").json["data"]] == [1]
    history = server.get("/v1/models/penguins/aliases/production/history").json["data"]
    assert [(c["action"], c["to"]) for c in history] == [("rollback", 1), ("set", 2), ("rollback", 1), ("set", 2), ("set", 1)]


def test_calibration_guide_pasted_into_a_shell(fresh, tmp_path):
    server = fresh()
    done = paste("calibration", server, tmp_path)
    assert '"set":["' in done.stdout and "label,probability,set" in done.stdout and '"thresholds":{"male":0.7}' in done.stdout
    assert server.get("/v1/models/sure/versions/1/calibration").json["targets"]["island"]["conformal"]["method"] == "aps"


def test_drift_guide_pasted_into_a_shell(fresh, tmp_path):
    server = fresh()
    done = paste("drift", server, tmp_path)
    assert "outside the range of the training rows, 2700 to 6300 (row 2: 7100)" in done.stdout and done.stdout.count('"object":"drift"') == 2
    assert 'backpropd_drift_rows{model="penguins",version="1"} 2' in done.stdout and "last day: 2 rows" in done.stdout


def test_explanations_guide_pasted_into_a_shell(fresh):
    server = fresh()
    server.upload("penguins", (harness.ROOT / "clients/examples/penguins.csv").read_bytes())
    server.train(model={"name": "penguins", "layers": [{"type": "dense", "units": 8}]}, dataset="penguins", target="species", epochs=5)
    blocks = shell_blocks(GUIDES["explanations"])
    script = "set -e\n" + "\n".join(blocks).replace("http://127.0.0.1:8080", server.url)
    done = subprocess.run(["bash", "-c", script], cwd=harness.ROOT, capture_output=True, text=True, timeout=120)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [a["method"] for a in answers] == ["permutation_importance", "partial_dependence", "shapley"], done


def test_trace_guide_pasted_into_a_shell(fresh):
    server = fresh()
    server.upload("penguins", (harness.ROOT / "clients/examples/penguins.csv").read_bytes())
    server.train(model={"name": "penguins", "layers": [{"type": "dense", "units": 8}]}, dataset="penguins", target="species", epochs=5)
    script = "set -e\n" + "\n".join(shell_blocks(GUIDES["trace"])).replace("http://127.0.0.1:8080", server.url)
    done = subprocess.run(["bash", "-c", script], cwd=harness.ROOT, capture_output=True, text=True, timeout=120)
    _, by_hand, version, learning = [json.loads(line) for line in done.stdout.splitlines()]
    shown = json.loads(re.search(r"```json\n(.*?)```", GUIDES["trace"], re.S).group(1))
    assert by_hand["layers"][1]["formulas"] == shown["formulas"] and by_hand["version"] is None and version["version"] == 1 and version["batch"] == 2
    (low,), (high,) = learning["probe"][0][1], learning["probe"][0][0]
    assert len(learning["history"]) == 201 and learning["loss"] < 0.1 and low < 0.3 < 0.7 < high


@pytest.mark.parametrize("guide, heading", [("models.md", "Families"), ("data.md", "Column types"), ("settings.md", "Settings"), ("operations.md", "Metrics")])
def test_generated_tables_are_up_to_date(server, guide, heading):
    """`make docs` would change nothing."""
    assert ("%s:%s" % (guide, heading)) in ["%s:%s" % t[:2] for t in reference.TABLES]
    rows = list(next(t[2] for t in reference.TABLES if t[0] == guide)(server.get("/v1/catalog").json))
    text = GUIDES[guide[:-3]]
    assert len(rows) > 6 and reference.with_table(text, heading, rows) == text, "run `make docs` and commit the guides"


def test_limits_table_is_the_limits(server):
    """Every limit of /v1/server has a row with its setting and its default, and every row with a setting is one of them."""
    guide = GUIDES["settings"]
    lines = re.findall(r"^\| .* \|$", guide[guide.index("## Limits"):guide.index("## Data larger")], re.M)[1:]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    units = {"MB": 2**20, "GB": 2**30, "million": 10**6, "levels": 1, "s": 1}
    documented = {}
    for what, default, setting, _ in table:
        name = re.fullmatch(r"`(\w+)`", setting)
        if name or "nesting of JSON" in what:
            number, _, unit = default.partition(" ")
            documented[name.group(1) if name else "json_depth"] = int(number.replace(",", "")) * units.get(unit, 1)
    assert documented == server.get("/v1/server").json["limits"]
    assert len(table) == 23


def test_commands_without_a_server(tmp_path):
    """The block "Without a server", as printed."""
    block = shell_blocks(README[README.index("## Without a server"):README.index("## Docker")])[0]
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "backpropd").symlink_to(harness.BACKPROPD)
    (tmp_path / "clients").symlink_to(harness.ROOT / "clients")
    done = subprocess.run(["bash", "-ec", block], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Adelie,") > 100 and (tmp_path / "model.bpd").stat().st_size > 1000


EXAMPLES = ["Several outputs and class weights", "Quantiles", "A skewed target and its range", "Shares of classes", "Several labels per row", "Learning-rate search, schedule and moving average",
            "A table as an ensemble", "A table with the settings of RealMLP",
            "Small data with L-BFGS", "A small transformer", "Images with augmentation", "Two inputs", "Numbers and categories", "Column options and grouped validation",
            "Dates, texts and target encoding"]


def test_examples_of_the_models_guide(fresh):
    """Every example has one body, and its job succeeds."""
    server = fresh()
    server.upload("penguins", (harness.ROOT / "clients/examples/penguins.csv").read_bytes())
    sections = GUIDES["models"][GUIDES["models"].index("## Examples"):].split("\n### ")[1:]
    assert [section.splitlines()[0] for section in sections] == EXAMPLES
    for section in sections:
        body, = re.findall(r"^```json\n(.*?)^```", section, re.M | re.S)
        job = server.train(**json.loads(body))
        assert job["status"] == "succeeded", (body, job["error"])
    assert "values" in server.predict("mass", [{"species": "Gentoo", "sex": "male", "flipper_length_mm": 220}])[0]


def test_table_of_formats_is_the_catalog(server):
    guide = GUIDES["data"]
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", guide[guide.index("## Formats"):guide.index("## Column types")], re.M)
    assert [name for name, _ in rows] == [e["name"] for e in server.get("/v1/catalog").json["formats"]]
    accepted = server.contract()["paths"]["/v1/datasets"]["post"]["requestBody"]["content"]
    assert {content_type for _, content_type in rows} == set(accepted) - {"application/octet-stream", "application/jsonl"}


def test_table_of_validations_is_the_contract(server):
    guide = GUIDES["evaluation"]
    rows = re.findall(r"^\| `({.*?})` \|", guide[guide.index("## Validation set"):guide.index("## Cross-validation")], re.M)
    assert len(rows) == 6
    properties = server.contract()["components"]["schemas"]["JobRequest"]["properties"]["validation"]["properties"]
    assert {key for row in rows for key in json.loads(row)} == set(properties)


def anchors(text):
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, re.M)}


def test_links_lead_somewhere():
    """Relative links of README, CONTRIBUTING, the guides and the module READMEs: the file exists, and the heading too."""
    documents = [harness.ROOT / "README.md", harness.ROOT / "CONTRIBUTING.md", *harness.ROOT.glob("*/README.md"), *(harness.ROOT / "clients/guides").glob("*.md")]
    checked = 0
    for document in documents:
        for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
            if "://" in target:
                continue
            name, _, heading = target.partition("#")
            path = document.parent / name if name else document
            assert path.exists(), (document, target)
            assert not heading or heading in anchors(path.read_text()), (document, target)
            checked += 1
    assert checked > 20


def test_readme_is_short_and_links_every_guide():
    assert len(README.splitlines()) < 250
    table = README[README.index("## Guides\n"):README.index("## Source layout")]
    assert set(re.findall(r"clients/guides/(\w+)\.md\)", table)) == set(GUIDES)


def test_files_named_in_documents_exist():
    """Each path in backquotes is a file of the project: `train/order.c` in engine/README.md, `hub.c` in server/README.md."""
    modules = ["engine", "schema", "server", "clients", "tests"]
    files = [str(path.relative_to(harness.ROOT)) for module in modules for path in (harness.ROOT / module).rglob("*") if path.is_file()]
    checked = 0
    for module in [*modules, ""]:
        documents = [harness.ROOT / module / "README.md"] if module else [harness.ROOT / "CONTRIBUTING.md", harness.ROOT / "clients/guides/decisions.md"]
        for document in documents:
            for path in re.findall(r"`((?:[\w.]+/)*\w+\.(?:c|h|inc|def|py|sh|yaml|md))`", document.read_text()):
                if path in ("engine/layers/my_layer.c", "schema/types/my_type.c"):
                    continue  # the examples of the recipes
                assert any(("/" + name).endswith("/" + path) and name.startswith((module, path.split("/")[0])) for name in files), (document, path)
                checked += 1
    assert checked > 80
