"""Goal: every form of a predict request gives the right predictions, warns about unusual rows, and refuses invalid ones."""
import json
import random
import threading

import pytest

import harness
from harness import pointers, problem, unique

PENGUIN = {"island": "Biscoe", "bill_length_mm": 49.9, "bill_depth_mm": 16.1, "flipper_length_mm": 213, "body_mass_g": 5400, "sex": "male"}
ROW = list(PENGUIN.values())


@pytest.fixture(scope="module")
def penguins(server):
    name = unique("penguins")
    server.train(model={"name": name, "layers": [{"type": "dense", "units": 16, "activation": "relu"}]}, dataset="penguins", target="species", epochs=60, seed=1)
    return name


@pytest.fixture(scope="module")
def mixed(server):
    """A model with a feature of every plain type; `code` holds numbers as categories."""
    draw, name = random.Random(5), unique("mixed")
    records = [{"n": draw.random(), "flag": draw.random() < 0.5, "code": draw.choice([1, 2, 6]), "word": draw.choice(["a", "b"])} for _ in range(200)]
    for r in records:
        r["y"] = r["n"] + 2 * r["flag"] + r["code"] + 3 * (r["word"] == "a")
    server.train(model={"name": name, "layers": []}, dataset={"records": records, "types": {"code": "categorical"}}, target="y", epochs=150, seed=1,
                 optimizer={"type": "adam", "learning_rate": 0.02})
    return name


def ask(server, model, body, **more):
    return server.post("/v1/models/%s/predict" % model, body, **more)


def value(server, model, **instance):
    return server.predict(model, [instance])[0]["value"]


# ---- forms of a request ----

def test_objects_arrays_and_columns_are_the_same(server, penguins):
    objects = ask(server, penguins, {"instances": [PENGUIN, {**PENGUIN, "island": "Dream"}]}).json
    arrays = ask(server, penguins, {"instances": [ROW, ["Dream", *ROW[1:]]]}).json
    columns = ask(server, penguins, {"inputs": {k: [v, "Dream" if k == "island" else v] for k, v in PENGUIN.items()}}).json
    assert objects == arrays == columns and objects["warnings"] == []
    assert (objects["model"], objects["version"]) == (penguins, 1) and objects["predictions"][0]["label"] == "Gentoo"
    assert set(objects["predictions"][0]["probabilities"]) == {"Adelie", "Chinstrap", "Gentoo"}
    assert sum(objects["predictions"][0]["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    shuffled = ask(server, penguins, {"instances": [dict(reversed(PENGUIN.items()))]}).json
    assert shuffled["predictions"] == ask(server, penguins, {"instances": [PENGUIN]}).json["predictions"]


def test_accuracy_equals_that_of_the_version(server, penguins):
    """Predicting the rows of the file gives at least what validation promised: preprocessing is the same on both ways."""
    rows = server.all_pages("/v1/datasets/penguins/rows")
    labels = [p["label"] for p in ask(server, penguins, {"instances": [{k: v for k, v in r.items() if k != "species"} for r in rows]}).json["predictions"]]
    right = sum(a == r["species"] for a, r in zip(labels, rows)) / len(rows)
    assert right > 0.97


def test_by_version_and_while_another_trains(server):
    name = unique("versioned")
    for seed in (1, 2):
        server.train(model={"name": name, "layers": []}, dataset="iris", target="class", epochs=2, seed=seed)
    body = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
    one, two = (server.post("/v1/models/%s/versions/%d/predict" % (name, v), body).json for v in (1, 2))
    assert one["predictions"] != two["predictions"] and (one["version"], two["version"]) == (1, 2)
    assert ask(server, name, body).json == two == server.post("/v1/models/%s/versions/latest/predict" % name, body).json
    assert ask(server, name + "@1", body).json == one
    job = server.submit(model=name, dataset="iris", target="class", epochs=1000000, batch_size=1)["id"]
    server.wait(job, lambda j: j["progress"]["epoch"] >= 1)
    assert ask(server, name, body).json == two  # while version 3 is being trained
    server.post("/v1/jobs/%s/cancel" % job)
    server.wait(job)
    server.train(model=name, dataset="iris", target="class", epochs=2, seed=3)
    assert ask(server, name, body).json["version"] == 3
    assert server.post("/v1/models/%s/versions/1/predict" % name, body).json == one  # a version never changes


def test_untrained_and_unknown(server):
    name = unique("untrained")
    server.post("/v1/models", {"name": name, "layers": []})
    assert "POST /v1/jobs" in problem(ask(server, name, {"instances": [[1]]}), 409, "conflict")["detail"]
    problem(ask(server, unique("unknown"), {"instances": [[1]]}), 404, "not_found")
    problem(ask(server, "No-Name", {"instances": [[1]]}), 404, "not_found")
    for version in ("1", "0", "x", "-1", "default"):
        problem(server.post("/v1/models/%s/versions/%s/predict" % (name, version), {"instances": [[1]]}), 404, "not_found")


# ---- odd rows: answered, with a warning ----

def test_missing_values(server, penguins):
    absent = {k: v for k, v in PENGUIN.items() if k != "sex"}
    answers = [ask(server, penguins, {"instances": [i]}).json for i in (absent, {**PENGUIN, "sex": None}, [*ROW[:-1], None], {**PENGUIN, "sex": ""})]
    assert all(a["predictions"] == answers[0]["predictions"] for a in answers)
    assert all(len(a["warnings"]) == 1 and '"sex"' in a["warnings"][0] and "1 of 1" in a["warnings"][0] for a in answers)
    number = [ask(server, penguins, {"instances": [{**PENGUIN, "body_mass_g": v}]}).json for v in (None, "NA", "?", "nan", "")]
    assert all(a == number[0] for a in number) and '"body_mass_g"' in number[0]["warnings"][0]
    nothing = ask(server, penguins, {"instances": [[None] * 6]}).json
    assert len(nothing["warnings"]) == 6


def test_unseen_categories_and_other_columns(server, penguins):
    unseen = ask(server, penguins, {"instances": [{**PENGUIN, "island": "Atlantis"}, {**PENGUIN, "island": "Thule"}, PENGUIN]}).json
    assert len(unseen["warnings"]) == 1 and "Atlantis" in unseen["warnings"][0] and "2 of 3" in unseen["warnings"][0]
    assert unseen["predictions"][0] == unseen["predictions"][1]
    ignored = ask(server, penguins, {"instances": [{**PENGUIN, "id": 17, "species": "Adelie", "nested": {"a": [1]}}]}).json
    assert ignored["predictions"] == ask(server, penguins, {"instances": [PENGUIN]}).json["predictions"]
    assert sorted(w.split('"')[1] for w in ignored["warnings"]) == ["id", "nested", "species"] and all("ignored" in w for w in ignored["warnings"])


def test_warnings_are_at_most_twenty(server):
    name = unique("wide")
    server.train(model={"name": name, "layers": []}, dataset={"x": [[i * k % 7 for k in range(40)] for i in range(20)], "y": [i % 3 + 0.5 for i in range(20)]}, target="y", epochs=1)
    assert len(ask(server, name, {"instances": [{"x0": 1, "q": 1, "r": 1}]}).json["warnings"]) == 20


def test_booleans_and_numeric_categories(server, mixed):
    row = {"n": 0.5, "flag": True, "code": 6, "word": "a"}
    base = value(server, mixed, **row)
    assert base == pytest.approx(11.5, abs=0.7)
    assert all(value(server, mixed, **{**row, "flag": v}) == base for v in (1, "true", "TRUE", 1.0))
    assert base - value(server, mixed, **{**row, "flag": False}) == pytest.approx(2, abs=0.5)
    assert value(server, mixed, **{**row, "flag": False}) == value(server, mixed, **{**row, "flag": "false"}) == value(server, mixed, **{**row, "flag": 0})
    assert all(value(server, mixed, **{**row, "code": v}) == base for v in (6.0, "6", "6.0"))
    assert base - value(server, mixed, **{**row, "code": 1}) == pytest.approx(5, abs=0.7)
    unseen = ask(server, mixed, {"instances": [{**row, "code": 7}]}).json
    assert "7" in unseen["warnings"][0]


def test_tensors_nested_flat_and_by_name(server):
    draw, name = random.Random(9), unique("tensor")
    x = [[[[draw.random()] for _ in range(3)] for _ in range(2)] for _ in range(50)]
    server.train(model={"name": name, "layers": ["flatten"]}, dataset={"x": x, "y": [sum(c[0] for r in i for c in r) for i in x]}, target="y", epochs=5)
    nested = x[0]
    flat = [c[0] for r in nested for c in r]
    answers = [ask(server, name, {"instances": [i]}).json["predictions"] for i in (nested, flat, {"x": nested}, {"x": flat})]
    answers.append(ask(server, name, {"inputs": {"x": [nested]}}).json["predictions"])
    assert all(a == answers[0] for a in answers)
    for wrong, words in ((flat[:-1], "6 numbers"), (flat + [1], "6 numbers"), ([[flat[:3]], [flat[3:]]], "nesting"), (["a"] * 6, "only numbers"), (5, "nested"), ("x", "nor base64"), ([], "6 numbers")):
        got = pointers(ask(server, name, {"instances": [wrong]}))
        assert words in got["/instances/0"], (wrong, got)


# ---- what cannot be meant ----

@pytest.mark.parametrize("body, pointer, words", [
    ({"instances": [{**PENGUIN, "body_mass_g": "5,400"}]}, "/instances/0/body_mass_g", "expects a number"),
    ({"instances": [PENGUIN, {**PENGUIN, "body_mass_g": "heavy"}]}, "/instances/1/body_mass_g", "heavy"),
    ({"instances": [{**PENGUIN, "body_mass_g": True}]}, "/instances/0/body_mass_g", "true"),
    ({"instances": [{**PENGUIN, "body_mass_g": [1]}]}, "/instances/0/body_mass_g", "array"),
    ({"instances": [{**PENGUIN, "island": {"a": 1}}]}, "/instances/0/island", "object"),
    ({"instances": [ROW[:-1]]}, "/instances/0", "5 values"),
    ({"instances": [ROW, ROW + [1]]}, "/instances/1", "7 values"),
    ({"instances": [[]]}, "/instances/0", "0 values"),
    ({"instances": [{}]}, "/instances/0", "empty"),
    ({"instances": [{"nothing": 1}]}, "/instances/0", "island"),
    ({"instances": [5]}, "/instances/0", "5"),
    ({"instances": [None]}, "/instances/0", "null"),
    ({"instances": ["x"]}, "/instances/0", "string"),
    ({"instances": []}, "/instances", "at least one"),
    ({"instances": {}}, "/instances", "list"),
    ({"instances": None}, "/instances", "null"),
    ({}, "", "instances"),
    ({"instance": [ROW]}, "/instance", "instances"),
    ({"instances": [ROW], "inputs": {}}, "", "not both"),
    ({"inputs": {}}, "/inputs", "columns"),
    ({"inputs": []}, "/inputs", "object"),
    ({"inputs": {"island": []}}, "/inputs/island", "at least one"),
    ({"inputs": {"island": "Dream"}}, "/inputs/island", "list"),
    ({"inputs": {"island": ["Dream"], "sex": ["male", "male"]}}, "/inputs/sex", "2 values"),
    ({"inputs": {"nothing": [1]}}, "/inputs", "feature"),
    ({"inputs": {"island": ["Dream", 5], "body_mass_g": [1, "x"]}}, "/inputs/body_mass_g/1", "x"),
], ids=lambda v: json.dumps(v)[-60:] if isinstance(v, dict) else "")
def test_wrong_bodies(server, penguins, body, pointer, words):
    answer = ask(server, penguins, body)
    assert words in pointers(answer)[pointer], answer


def test_all_wrong_cells_at_once(server, penguins):
    got = pointers(ask(server, penguins, {"instances": [{**PENGUIN, "body_mass_g": "x", "bill_depth_mm": False}, ROW[:-1], {**PENGUIN, "sex": []}]}))
    assert set(got) == {"/instances/0/body_mass_g", "/instances/0/bill_depth_mm", "/instances/1", "/instances/2/sex"}


@pytest.mark.parametrize("text", [
    "", "{", '{"instances":[[1,2', '{"instances":[[NaN,1,1,1,1,1]]}', '{"instances":[[Infinity,1,1,1,1,1]]}', '{"instances":[[1,]]}', '{"instances":[[01,1,1,1,1,1]]}',
    '{"instances":[[1e999,1,1,1,1,1]]}', "[" * 200, '{"instances":' + "[" * 70 + "]" * 70 + "}", '{"instances":[[1]],"instances":[[1]]}', "null", "[]", '"x"', "\x00",
    '{"instances":[["\\ud800",1,1,1,1,1]]}', '{"instances":[{"island":"a","island":"b"}]}', "{'instances':[]}", '{"instances":[[1,1,1,1,1,1]]}garbage',
], ids=lambda t: repr(t)[:40])
def test_broken_bodies(server, penguins, text):
    answer = server.post("/v1/models/%s/predict" % penguins, body=text.encode(), headers={"Content-Type": "application/json"})
    assert answer.status == (422 if text == "[]" else 400) and answer.json["detail"], answer


def test_too_many_and_too_large(fresh):
    server = fresh("--instances-max", "10", "--body-max", "4K")
    job = server.train(**harness.xor())["id"]
    assert len(server.predict(job, [[0, 1]] * 10)) == 10
    assert "10" in problem(ask(server, job, {"instances": [[0, 1]] * 11}), 413, "too_large")["detail"]
    assert "10" in problem(ask(server, job, {"inputs": {"x0": [0] * 11}}), 413, "too_large")["detail"]
    assert "4096" in problem(ask(server, job, {"instances": [[0, 1]] * 1000}), 413, "too_large")["detail"]


# ---- numbers ----

def test_batches_and_single_rows_agree(server, penguins):
    """1e-5 across batch sizes, whatever kernel each takes; the same batch gives the same bits."""
    draw = random.Random(2)
    rows = [[draw.choice(["Biscoe", "Dream", "Torgersen"]), *(draw.gauss(m, s) for m, s in ((44, 5), (17, 2), (200, 14), (4200, 800))), draw.choice(["male", "female"])] for _ in range(300)]
    whole = ask(server, penguins, {"instances": rows})
    assert ask(server, penguins, {"instances": rows}).body == whole.body
    for size in (1, 2, 7, 64):
        for at in range(0, 300, max(size, 30)):
            some = server.predict(penguins, rows[at:at + size])
            for one, other in zip(some, whole.json["predictions"][at:at + size]):
                assert all(abs(p - other["probabilities"][label]) <= 1e-5 for label, p in one["probabilities"].items())


def test_extreme_numbers_stay_finite(server, mixed):
    for n in (1e-320, 0, -0.0, 123456789012345678):
        answer = ask(server, mixed, {"instances": [{"n": n, "flag": True, "code": 1, "word": "a"}]})
        assert answer.status == 200, answer  # the contract has a number or null here, never NaN
        assert isinstance(answer.json["predictions"][0]["value"], (int, float))
    for n in (1e308, -1e308):
        answer = ask(server, mixed, {"instances": [{"n": n, "flag": True, "code": 1, "word": "a"}]})
        assert list(pointers(answer)) == ["/instances/0/n"]


def test_many_clients_at_once_get_the_same_bits(server, penguins):
    expected = ask(server, penguins, {"instances": [ROW] * 5}).body
    got = []

    def work():
        got.extend(ask(server, penguins, {"instances": [ROW] * 5}).body for _ in range(25))
    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    assert len(got) == 200 and set(got) == {expected}


def test_many_models_in_little_memory(fresh):
    """More models than --models-memory-max keeps loaded: each still predicts with its own weights."""
    server = fresh("--models-memory-max", "1M")
    jobs = [server.train(**harness.xor(seed=i, model={"layers": [{"type": "dense", "units": 3000, "activation": "tanh"}]}))["id"] for i in range(6)]
    first = [server.predict(j, [[0, 1]]) for j in jobs]
    assert len({json.dumps(p) for p in first}) == 6
    assert [server.predict(j, [[0, 1]]) for j in jobs[::-1]] == first[::-1]


# ---- losses whose outputs are not one value or probabilities ----

def noisy(rows=600):
    """y is x and something between -1 and 1; count is drawn about e^x."""
    draw = random.Random(3)
    records = []
    for _ in range(rows):
        x, left, count = draw.random() * 2, 1.0, -1
        while left > 2.718281828 ** -(2.718281828 ** x):
            left, count = left * draw.random(), count + 1
        records.append({"x": x, "y": x + draw.random() * 2 - 1, "count": count})
    return {"records": records}


def train_noisy(server, loss, target, features=("x",), **more):
    name = unique(loss["type"])
    server.train(model={"name": name, "layers": [], "loss": loss}, dataset=noisy(), target=target, features=list(features), task="regression", epochs=120, seed=1,
                 batch_size=64, optimizer={"type": "adam", "learning_rate": 0.02}, **more)
    return name


def test_several_quantiles_at_once(server):
    name = train_noisy(server, {"type": "quantile", "quantiles": [0.1, 0.5, 0.9]}, "y")
    for x in (0.5, 1.5):
        got = server.predict(name, [{"x": x}])[0]
        assert set(got) == {"value", "values", "quantiles"} and got["value"] == got["quantiles"]["0.5"] and got["values"] == list(got["quantiles"].values())
        assert got["quantiles"] == pytest.approx({"0.1": x - 0.8, "0.5": x, "0.9": x + 0.8}, abs=0.2)


def test_a_mean_and_its_deviation(server):
    name = train_noisy(server, {"type": "gaussian_nll"}, "y")
    got = server.predict(name, [{"x": 1}])[0]
    assert got["value"] == got["distribution"]["mean"] == pytest.approx(1, abs=0.2)
    assert got["distribution"]["deviation"] == pytest.approx(3 ** -0.5, abs=0.1)


def test_counts_are_predicted_as_rates(server):
    name = train_noisy(server, {"type": "poisson"}, "count")
    for x in (0, 1, 2):
        assert server.predict(name, [{"x": x}])[0] == {"value": pytest.approx(2.718 ** x, rel=0.2)}


@pytest.mark.parametrize("dataset, layers", [("iris", [{"type": "dense", "units": 8, "activation": "tanh"}]), ("breast_cancer", [{"type": "dense", "units": 1}])])
def test_scores_are_not_called_probabilities(server, dataset, layers):
    name = unique("hinge")
    job = server.train(model={"name": name, "layers": layers, "loss": "hinge"}, dataset=dataset, target="class", epochs=60, seed=1,
                       optimizer={"type": "adam", "learning_rate": 0.01})
    assert job["metrics"]["val_accuracy"] > 0.9
    rows = server.all_pages("/v1/datasets/%s/rows" % dataset)
    got = server.predict(name, [{k: v for k, v in r.items() if k != "class"} for r in rows])
    assert all(set(p) == {"label", "scores"} and p["label"] == max(p["scores"], key=p["scores"].get) for p in got)
    assert sum(p["label"] == r["class"] for p, r in zip(got, rows)) > 0.9 * len(rows)
    assert min(min(p["scores"].values()) for p in got) < 0 < 1 < max(max(p["scores"].values()) for p in got)


def test_a_key_that_looks_like_a_typo(server, penguins):
    """Refused beside the feature that it resembles and that is missing; any other key is ignored with a warning; "strict": false ignores them all."""
    whole = {"island": "Torgersen", "bill_length_mm": 39.1, "bill_depth_mm": 18.7, "flipper_length_mm": 181, "body_mass_g": 3750, "sex": "male"}
    typo = {**{k: v for k, v in whole.items() if k != "bill_length_mm"}, "bill_lenght_mm": 39.1}
    for body, pointer in (({"instances": [whole, typo]}, "/instances/1/bill_lenght_mm"), ({"inputs": {k: [v] for k, v in typo.items()}}, "/inputs/bill_lenght_mm")):
        refused = ask(server, penguins, body)
        assert refused.status == 422
        assert 'did you mean "bill_length_mm"' in pointers(refused)[pointer] and '"strict": false' in pointers(refused)[pointer]
        allowed = ask(server, penguins, {**body, "strict": False})
        assert allowed.status == 200 and any("bill_lenght_mm" in w for w in allowed.json["warnings"])
    for extra in ({**whole, "bill_lenght_mm": 1}, {**{k: v for k, v in whole.items() if k != "sex"}, "species": "Adelie", "year": 2007, "set": 1}):
        fine = ask(server, penguins, {"instances": [extra]})
        assert fine.status == 200 and any("not a feature" in w for w in fine.json["warnings"]), fine
    empty = ask(server, penguins, {"instances": [{}], "strict": False})
    assert empty.status == 200 and len(empty.json["warnings"]) == 6
    assert "true or false" in pointers(ask(server, penguins, {"instances": [whole], "strict": "no"}))["/strict"]


def test_neighbours_are_not_typos(server):
    """Columns that differ in a number are other columns."""
    name = unique("numbered")
    server.train(model={"name": name, "layers": []}, dataset={"columns": {"lag_11": list(range(30)), "lag_12": list(range(30)), "y": [v + 0.5 for v in range(30)]}}, target="y", epochs=1)
    answer = server.post("/v1/models/%s/predict" % name, {"instances": [{"lag_11": 1, "lag_13": 2}]})
    assert answer.status == 200 and any("lag_13" in w for w in answer.json["warnings"])


def test_values_outside_the_range_of_the_training_rows(server):
    """Each type of column that has a range, by row; categories and missing values likewise; on request nothing is said."""
    records = [{"n": i, "b": False, "t": "2024-01-%02d" % (i + 1), "v": [i, 10 - i], "c": "xyz"[i % 3], "y": i * 1.5} for i in range(11)]
    name = unique("ranged")
    server.train(model={"name": name, "layers": [{"type": "concatenate", "inputs": ["features", "v"]}, {"type": "dense", "units": 4}]},
                 dataset={"records": records, "types": {"v": {"type": "tensor", "shape": [2]}, "b": "boolean"}}, target="y", epochs=2, validation={"fraction": 0})
    inside = {k: v for k, v in records[3].items() if k != "y"}
    ask = {"instances": [inside, {**inside, "n": 12}, {**inside, "b": True, "t": "2024-02-01"}, {**inside, "v": [3, 12], "c": "w", "n": 300}]}
    warnings = server.post("/v1/models/%s/predict" % name, ask).json["warnings"]
    assert len(warnings) == 6, warnings
    for words in ('"n": 1 of 4 values are outside the range of the training rows, 0 to 10 (row 2: 12)', '"n": 1 of 4 values are far outside', "(row 4: 300)",
                  '"b" was always 0 in the training rows', "(row 3: 1)", "2024-01-11T00:00:00Z (row 3: 2024-02-01T00:00:00Z); do not rely",
                  '"v": 1 of 4 values are outside the range of the training rows, 0 to 10 (row 4: 12)', 'were not in the training rows (the first: "w")'):
        assert any(words in w for w in warnings), (words, warnings)
    assert server.post("/v1/models/%s/predict" % name, {**ask, "warnings": False}).json["warnings"] == []
    assert "true or false" in pointers(server.post("/v1/models/%s/predict" % name, {**ask, "warnings": 1}))["/warnings"]
    assert server.post("/v1/models/%s/predict" % name, {"instances": [inside]}).json["warnings"] == []
    many = [{**inside, "n": 11 + i} for i in range(9)]  # the rows of the first three
    (said,) = server.post("/v1/models/%s/predict" % name, {"instances": many[:5]}).json["warnings"]
    assert "5 of 5 values are outside" in said and said.endswith("(row 1: 11, row 2: 12, row 3: 13, ...)")
