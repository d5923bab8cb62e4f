"""Goal: a column of lists of labels goes through everything: upload in each format, view, statistics, more rows, export, jobs with every kind of
validation, kills, the command line."""
import csv
import io
import json

import pytest

import harness
import labeled
from harness import pointers, remarks, unique
from labeled import LABELS, LAYERS

SMALL = [["red", "round"], [], None, ["round"], ['say "hi", é', "red"], ["round", "red"]]


def lines(cells):
    return "".join(json.dumps({"n": i, "tags": cell}) + "\n" for i, cell in enumerate(cells))


def table(cells, write=json.dumps):
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["n", "tags"])
    rows.writerows([i, "" if cell is None else write(cell)] for i, cell in enumerate(cells))
    return out.getvalue()


def upload(server, body, kind, query=""):
    name = unique("tagged")
    answer = server.request("POST", "/v1/datasets?name=%s%s" % (name, query), body=body.encode(), headers={"Content-Type": kind})
    assert answer.status == 201, answer
    return name


FORMS = {"records": (json.dumps({"records": [{"n": i, "tags": cell} for i, cell in enumerate(SMALL)]}), "application/json"),
         "columns": (json.dumps({"columns": {"n": list(range(6)), "tags": SMALL}}), "application/json"),
         "lines": (lines(SMALL), "application/x-ndjson"), "csv": (table(SMALL), "text/csv"), "python": (table(SMALL, repr), "text/csv")}


@pytest.mark.parametrize("form", FORMS)
def test_every_format(server, form):
    """The same column whatever the format; and every way out gives the lists as they came, in their order."""
    name = upload(server, *FORMS[form])
    column = server.get("/v1/datasets/" + name).json["columns"][1]
    assert column == {"name": "tags", "type": "labels", "missing": 1, "labels": {"min": 0, "max": 2, "mean": 1.4}, "categories_count": 3,
                      "categories": [{"value": "red", "count": 3}, {"value": "round", "count": 3}, {"value": 'say "hi", é', "count": 1}]}
    assert [row["tags"] for row in server.get("/v1/datasets/%s/rows" % name).json["data"]] == SMALL
    out = server.get("/v1/datasets/%s/rows?format=ndjson" % name)
    assert [json.loads(line)["tags"] for line in out.body.decode().splitlines()] == SMALL
    out = server.get("/v1/datasets/%s/rows?format=csv" % name).body.decode()
    assert [json.loads(row["tags"]) if row["tags"] else None for row in csv.DictReader(io.StringIO(out))] == SMALL
    again = upload(server, out, "text/csv")
    assert server.get("/v1/datasets/" + again).json["columns"] == server.get("/v1/datasets/" + name).json["columns"]


def test_statistics_and_inspection(server):
    name = upload(server, *FORMS["csv"])
    column = server.get("/v1/datasets/%s/statistics?columns=tags" % name).json["columns"][0]
    assert (column["type"], column["count"], column["missing"], column["other_count"]) == ("labels", 5, 1, 0)
    assert (column["min"], column["max"], column["mean"]) == (0, 2, 1.4)
    assert column["categories"][0] == {"value": "red", "count": 3}
    assert server.get("/v1/datasets/%s/statistics?target=tags" % name).status == 422
    seen = server.request("POST", "/v1/datasets/inspect", body=FORMS["csv"][0].encode(), headers={"Content-Type": "text/csv"}).json
    assert seen["columns"][1]["type"] == "labels" and seen["reasons"]["tags"] == "5 cells are lists of texts"


def test_more_rows_and_columns(server):
    name = upload(server, *FORMS["lines"])
    more = [["new", "round"], [], None]
    answer = server.request("POST", "/v1/datasets/%s/rows" % name, body=lines(more).encode(), headers={"Content-Type": "application/x-ndjson"})
    assert answer.status == 201, answer
    assert [row["tags"] for row in server.get("/v1/datasets/%s/rows" % name).json["data"]] == SMALL + more
    assert [c["count"] for c in answer.json["columns"][1]["categories"]] == [4, 3, 1, 1]
    answer = server.request("POST", "/v1/datasets/%s/rows" % name, body=b'{"n": 1, "tags": "red"}\n', headers={"Content-Type": "application/x-ndjson"})
    assert answer.status == 422 and "it is not a list" in answer.json["errors"][0]["detail"], answer
    answer = server.post("/v1/datasets/%s/columns/also" % name, [["a"], [], None] * 3)
    assert answer.status == 201 and answer.json["columns"][2]["type"] == "labels", answer
    assert [row["also"] for row in server.get("/v1/datasets/%s/rows" % name).json["data"]] == [["a"], [], None] * 3


@pytest.mark.parametrize("cell, words", [(["a", 1], "not a text"), (["a", ["b"]], "list within the list"), (["a", None], "null is among them"),
                                         (["a", "b", "a"], '"a" is in it twice'), ([""], "empty"), ("a", "not a list"), (3, "single value")])
def test_lists_that_are_refused(server, cell, words):
    answer = server.post("/v1/datasets", {"name": unique("bad"), "types": {"t": "labels"}, "columns": {"t": [["x"], cell]}})
    assert answer.status == 422, answer
    assert list(pointers(answer)) == ["/columns/t/1"] and words in pointers(answer)["/columns/t/1"]


# ---- jobs ----

@pytest.fixture(scope="module")
def things(server):
    name = unique("things")
    data = labeled.columns(labeled.rows(1, 400))
    for row in (3, 50, 51):
        data["tags"][row] = None
    data["part"] = [i % 4 for i in range(400)]
    assert server.post("/v1/datasets", {"name": name, "columns": data}).status == 201
    return name


def job(things, **more):
    return {"dataset": things, "target": "tags", "features": ["a", "b"], "model": {"name": unique("net"), "layers": LAYERS}, "epochs": 12, "seed": 1,
            "optimizer": {"type": "adam", "learning_rate": 0.02}, **more}


def test_rows_without_a_list_are_left_out(server, things):
    trained = server.train(**job(things))
    assert trained["status"] == "succeeded", trained
    version = server.get("/v1/models/%s/versions/1" % trained["model"]).json
    assert (version["rows_trained"], version["rows_validated"]) == (318, 79)
    assert '3 of 400 rows have no value in "tags" and are left out' in " ".join(remarks(trained))
    assert version["preprocessing"]["target"] == {"name": "tags", "task": "classification", "labels": LABELS, "multilabel": "lists", "shares": True}


@pytest.mark.parametrize("validation", [{"folds": 3}, {"folds": 3, "group": "part"}, {"group": "part"}, {"time": "part"}, {"fraction": 0}])
def test_every_kind_of_validation(server, things, validation):
    trained = server.train(**job(things, validation=validation, thresholds={"red": 0.4}))
    assert trained["status"] == "succeeded", trained
    name = "cross_validated_red_f1" if "folds" in validation else "red_f1" if validation == {"fraction": 0} else "val_red_f1"
    metrics = server.get("/v1/models/%s/versions/1" % trained["model"]).json["metrics"]
    assert 0.6 < metrics[name] < 1
    assert trained["thresholds"]["red"] == 0.4


def test_windows_and_options_of_training(server, things):
    for more in ({"window_rows": 64}, {"threads": 2, "mixup": 0.2}, {"early_stopping": {"metric": "val_red_f1", "patience": 3}}):
        trained = server.train(**job(things, **more))
        assert trained["status"] == "succeeded" and trained["metrics"]["val_f1"] > 0.6, trained


def test_labels_that_training_never_sees(server, things):
    held = unique("held")
    data = labeled.columns(labeled.rows(2, 50))
    data["tags"][7] = ["red", "unheard"]
    data["tags"][8] = None
    assert server.post("/v1/datasets", {"name": held, "columns": data}).status == 201
    trained = server.train(**job(things, validation={"dataset": held}))
    assert trained["status"] == "succeeded"
    assert server.get("/v1/models/%s/versions/1" % trained["model"]).json["rows_validated"] == 48
    said = " ".join(remarks(trained))
    assert '1 of 50 rows of %s@1 have a label in "tags" that is absent from training, like "unheard"' % held in said and "1 of 50 rows of %s@1 lack" % held in said
    other = unique("other")
    assert server.post("/v1/datasets", {"name": other, "columns": {**data, "tags": ["red"] * 50}}).status == 201
    answer = server.post("/v1/jobs", job(things, validation={"dataset": other}))
    assert answer.status == 422 and "is categorical, but in training it is labels" in pointers(answer)["/validation/dataset"], answer


def test_nothing_to_learn(server):
    data = {"a": [1, 2, 3, 4], "t": [[], [], [], []], "u": [None, ["x"], [], ["x"]], "w": [["one"], [], [], ["one"]]}
    name = unique("none")
    assert server.post("/v1/datasets", {"name": name, "types": {"t": "labels"}, "columns": data}).status == 201
    answer = server.post("/v1/jobs", {**job(name), "features": ["a"], "target": "t"})
    assert answer.status == 422 and "all its lists are empty" in pointers(answer)["/target"], answer
    trained = server.train(**{**job(name), "features": ["a"], "target": "w", "validation": {"fraction": 0}})  # a single label
    answer = server.post("/v1/models/%s/predict" % trained["model"], {"instances": [{"a": 1}]})
    assert answer.status == 200 and list(answer.json["predictions"][0]["probabilities"]) == ["one"], answer
    assert set(trained["metrics"]) == {"loss", "accuracy", "f1", "subset_accuracy"}


def test_other_columns_of_lists_are_no_features(server, things):
    layers = [{"type": "flatten", "name": "flat", "inputs": ["flags"]}, {"type": "concatenate", "inputs": ["features", "flat"]}, {"type": "dense", "units": 4}]
    trained = server.train(**job(things, target="size", features=None, model={"name": unique("net"), "layers": layers}))
    assert trained["status"] == "succeeded" and "tags" not in trained["features"], trained
    assert 'column "tags" is left out: lists of labels can be a target, not a feature' in " ".join(remarks(trained))


def test_many_labels_are_reported_as_means(server):
    """Beyond 100 labels metrics are means alone, with a warning; the labels of predictions are all there."""
    draw = labeled.random.Random(5)
    data = {"x": [draw.random() for _ in range(400)], "t": [["l%03d" % draw.randrange(120) for _ in range(1)] for _ in range(400)]}
    data["t"][:120] = [["l%03d" % i] for i in range(120)]
    name = unique("many")
    assert server.post("/v1/datasets", {"name": name, "columns": data}).status == 201
    trained = server.train(**{**job(name), "features": ["x"], "target": "t", "epochs": 2, "validation": {"fraction": 0}})
    assert trained["status"] == "succeeded" and set(trained["metrics"]) == {"loss", "accuracy", "f1", "subset_accuracy"}, trained
    assert "has 120 labels: metrics are reported as means over them" in " ".join(remarks(trained))
    answer = server.post("/v1/models/%s/predict" % trained["model"], {"instances": [[0.5]]})
    assert list(answer.json["predictions"][0]["probabilities"]) == ["l%03d" % i for i in range(120)]


@harness.again_if_too_late
def test_a_killed_job_resumes_to_the_same_bits(fresh):
    """kill -9 of the server in the middle: the resumed training ends as the unbroken one, metrics per label included."""
    server = fresh()
    data = labeled.columns(labeled.rows(1, 400))
    asked = {"dataset": "things", "target": {"tags": "tags", "size": "size"}, "features": ["a", "b"], "epochs": 1500, "seed": 3, "checkpoint_every_epochs": 5,
             "thresholds": {"tags": {"red": 0.3}}}
    assert server.post("/v1/datasets", {"name": "things", "columns": data}).status == 201
    ended = []
    for name, disturbed in (("calm", False), ("killed", True)):
        submitted = server.submit(**asked, model={"name": name, "layers": LAYERS})
        if disturbed:
            harness.until(lambda: server.get("/v1/jobs/%s/checkpoints" % submitted["id"]).json["data"] or not server.in_time(submitted["id"]), what="a checkpoint")
            server.restart(kill=True)
            server.wait(submitted["id"], lambda j: j["attempt"] > 1)
        done = server.wait(submitted["id"])
        assert done["status"] == "succeeded", done
        assert (done["resumed_from_epoch"] is not None) == disturbed
        ended.append((done["metrics"], done["thresholds"], server.weights(name)))
    assert ended[0] == ended[1] and "val_red_f1" in ended[0][0]


# ---- the command line ----

def test_train_and_predict(server, tmp_path):
    """A CSV of lists, no definition: the model file keeps labels and thresholds; predictions as CSV and as JSON; the server reads what it has trained on."""
    made, held = labeled.rows(1, 300), labeled.rows(2, 60)
    data = labeled.columns(made)
    (tmp_path / "rows.csv").write_text("a,b,tags\n" + "".join('%r,%r,"%s"\n' % (a, b, str(t)) for a, b, t in zip(data["a"], data["b"], data["tags"])))
    (tmp_path / "held.csv").write_text("a,b\n" + "".join("%r,%r\n" % (r["a"], r["b"]) for r in held))
    (tmp_path / "options.json").write_text(json.dumps({"thresholds": {"round": 0.25}, "epochs": 30}))
    done = harness.run("train", "--data", "rows.csv", "--target", "tags", "--options", "options.json", "--seed", "3", cwd=tmp_path)
    assert done.returncode == 0 and 'labels of "tags" (3)' in done.stderr and " red_f1 " in done.stderr, done.stderr
    said = [json.loads(line) for line in harness.run("predict", "--model", "model.bpd", "--data", "held.csv", "--format", "json", cwd=tmp_path).stdout.splitlines()]
    labeled.expected(held, said, thresholds=(0.5, 0.5, 0.25))
    out = list(csv.DictReader(io.StringIO(harness.run("predict", "--model", "model.bpd", "--data", "held.csv", cwd=tmp_path).stdout)))
    assert list(out[0]) == ["labels"] + ["probability_" + label for label in LABELS]
    for row, one in zip(out, said):
        assert json.loads(row["labels"]) == one["labels"]
        assert {label: float(row["probability_" + label]) for label in LABELS} == pytest.approx(one["probabilities"], abs=1e-7)
    other = harness.run("predict", "--model", "model.bpd", "--data", "held.csv", "--format", "json", "--thresholds", '{"red": 0.9}', cwd=tmp_path)
    labeled.expected(held, [json.loads(line) for line in other.stdout.splitlines()], thresholds=(0.5, 0.9, 0.25))
    for asked, words in (("x", "--thresholds is a number"), ("7", "got 7"), ('{"rde":0.1}', 'did you mean "red"')):
        done = harness.run("predict", "--model", "model.bpd", "--data", "held.csv", "--thresholds", asked, cwd=tmp_path)
        assert done.returncode == 1 and words in done.stderr and done.stdout == "", done


def test_train_on_a_vector(tmp_path):
    made = labeled.rows(1, 200)
    (tmp_path / "rows.json").write_text(json.dumps({"columns": {k: v for k, v in labeled.columns(made).items() if k in ("a", "b", "flags")}}))
    (tmp_path / "net.json").write_text(json.dumps({"layers": LAYERS, "loss": "binary_cross_entropy"}))
    (tmp_path / "options.json").write_text(json.dumps({"labels": LABELS, "epochs": 60, "optimizer": {"type": "adam", "learning_rate": 0.02}}))
    done = harness.run("train", "--data", "rows.json", "--target", "flags", "--definition", "net.json", "--options", "options.json", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = harness.run("predict", "--model", "model.bpd", "--data", "-", stdin="a,b\n2,-2\n-2,2\n", cwd=tmp_path).stdout.splitlines()
    assert out[0] == "labels,probability_large,probability_red,probability_round"
    assert [next(csv.reader([line]))[0] for line in out[1:]] == ['["large","red"]', '["round"]']
