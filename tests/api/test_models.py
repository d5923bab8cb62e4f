"""Goal: definitions are checked as far as they can be, all problems at once at their pointers; versions are numbered and never change."""
import json

import pytest

import harness
from harness import pointers, problem, remarks, unique

DENSE = {"type": "dense", "units": 4}


def define(server, name, **definition):
    return server.post("/v1/models", {"name": name, **definition})


def validate(server, **body):
    return server.post("/v1/models/validate", body)


# ---- define ----

def test_define_read_replace_delete(server):
    name = unique("model")
    first = define(server, name, layers=[DENSE])
    assert first.status == 201 and first.headers["Location"] == "/v1/models/" + name
    assert first.json["definition"] == {"layers": [DENSE]} and first.json["latest_version"] is None and first.json["versions"] == 0
    second = define(server, name, layers=["flatten", DENSE], loss="mse", metrics=["mae"], outputs=["dense_1"], inputs={"features": {"shape": [3]}})
    assert second.status == 200 and second.json["definition"]["loss"] == "mse"
    assert second.json["created_at"] == first.json["created_at"] and second.json["updated_at"] >= first.json["updated_at"]
    assert server.get("/v1/models/" + name).json == {**second.json, "drift": None}
    assert server.delete("/v1/models/" + name).status == 204
    problem(server.get("/v1/models/" + name), 404, "not_found")
    problem(server.delete("/v1/models/" + name), 404, "not_found")


def test_shorthand_and_long_form_are_the_same_network(server):
    short = validate(server, definition={"layers": [{"type": "dense", "units": 2, "activation": "relu"}, "flatten"], "inputs": {"features": {"shape": [3]}}})
    long = validate(server, definition={"layers": [{"type": "dense", "units": 2.0, "activation": {"type": "relu"}}, {"type": "flatten"}], "inputs": {"features": {"shape": [3]}}})
    assert short.status == long.status == 200
    assert short.json == long.json and short.json["parameters"] == 8


def test_list_paging(fresh):
    server = fresh()
    names = ["m%d" % i for i in range(5)]
    for name in names:
        define(server, name, layers=[DENSE])
    assert [m["name"] for m in server.all_pages("/v1/models", limit=2)] == names
    assert server.get("/v1/models?limit=2&after=m3").json["last_id"] == "m4"


@pytest.mark.parametrize("name", ["Upper", "", "a b", "x" * 64, "a@1", 5, None])
def test_invalid_names(server, name):
    assert set(pointers(define(server, name, layers=[DENSE]))) == {"/name"}


def test_all_problems_at_once_with_nearest_names(server):
    got = pointers(define(server, "Bad Name", layers=[
        {"type": "dens", "units": 4}, {"type": "dense", "unitz": 4}, {"type": "dense", "units": 0}, {"type": "dense", "units": "8"},
        {"type": "dense", "units": 4, "activation": "rleu"}, {"type": "dropout", "rate": 1}, {"type": "dropout"}, 7, {"units": 3},
        {"type": "dense", "units": 4, "activation": {"type": "elu", "alhpa": 1}}, {"type": "dense", "units": 2.5}, {"type": "dense", "units": True}],
        loss="mes", metrics=["acuracy", "mae", "mae"], lyers=[], outputs=5))
    assert '"dense"' in got["/layers/0/type"] and '"units"' in got["/layers/1/unitz"] and "at least 1" in got["/layers/2/units"]
    assert "the string" in got["/layers/3/units"] and '"relu"' in got["/layers/4/activation"] and "below 1" in got["/layers/5/rate"]
    assert '"rate"' in got["/layers/6"] and "/layers/7" in got and '"type"' in got["/layers/8"] and '"alpha"' in got["/layers/9/activation/alhpa"]
    assert "2.5" in got["/layers/10/units"] and "true" in got["/layers/11/units"]
    assert '"mse"' in got["/loss"] and '"accuracy"' in got["/metrics/0"] and "twice" in got["/metrics/2"] and '"layers"' in got["/lyers"]
    assert "/outputs" in got and "/name" in got and "/layers/1" in got  # the layer without units too


@pytest.mark.parametrize("definition, pointer, words", [
    ({}, "", '"layers"'),
    ({"layers": {}}, "/layers", "list"),
    ({"layers": None}, "/layers", "list"),
    ({"layers": [DENSE] * 2000}, "/layers", "at most"),
    ({"layers": [{**DENSE, "name": "a", "inputs": ["b"]}, {**DENSE, "name": "b", "inputs": ["a"]}]}, "/layers", "cycle"),
    ({"layers": [{**DENSE, "name": "a", "inputs": ["a"]}]}, "/layers/0", ""),
    ({"layers": [{**DENSE, "name": "a"}, {**DENSE, "name": "a"}]}, "/layers/1", "a"),
    ({"layers": [{**DENSE, "inputs": ["nowhere"]}], "inputs": {"features": {"shape": [3]}}}, "/layers/0", "nowhere"),
    ({"layers": [{**DENSE, "name": "features"}], "inputs": {"features": {"shape": [3]}}}, "/layers/0", "features"),
    ({"layers": [{**DENSE, "name": "a/b"}]}, "/layers/0/name", "name"),
    ({"layers": [{**DENSE, "name": ""}]}, "/layers/0/name", "name"),
    ({"layers": [{**DENSE, "inputs": []}]}, "/layers/0/inputs", "list"),
    ({"layers": [{**DENSE, "inputs": {"a": 1}}]}, "/layers/0/inputs", "list"),
    ({"layers": [DENSE], "outputs": ["nope"]}, "/outputs", "nope"),
    ({"layers": [DENSE], "inputs": {"features": {"shape": []}}}, "/inputs/features/shape", "shape"),
    ({"layers": [DENSE], "inputs": {"features": {"shape": [0]}}}, "/inputs/features/shape", "positive"),
    ({"layers": [DENSE], "inputs": {"features": {"shape": [1 << 20, 1 << 20, 1 << 20, 1 << 20]}}}, "/inputs/features/shape", ""),
    ({"layers": [DENSE], "inputs": {"features": {"size": [3]}}}, "/inputs/features", "shape"),
    ({"layers": [DENSE], "inputs": []}, "/inputs", "object"),
    ({"layers": [{"type": "reshape", "target_shape": [5, 2]}], "inputs": {"features": {"shape": [9]}}}, "/layers/0", "9"),
    ({"layers": [{"type": "reshape", "target_shape": [-1, -1]}], "inputs": {"features": {"shape": [9]}}}, "/layers/0", "-1"),
    ({"layers": [{"type": "reshape", "target_shape": []}]}, "/layers/0/target_shape", "integers"),
    ({"layers": [{"type": "dense", "units": 65536}] * 3, "inputs": {"features": {"shape": [1 << 20]}}}, "/layers", ""),
], ids=lambda v: json.dumps(v)[:60] if isinstance(v, dict) else "")
def test_wrong_definitions(server, definition, pointer, words):
    for answer in (define(server, unique("wrong"), **definition), validate(server, definition=definition)):
        got = pointers(answer)
        pointer_here = pointer if "/definition" not in json.dumps(answer.json["errors"]) else "/definition" + pointer
        found = [d for p, d in got.items() if p.startswith(pointer_here)]
        assert found and words in " ".join(found), answer


@pytest.mark.parametrize("status, body", [(400, ""), (400, "{"), (422, "[]"), (422, '"x"'), (422, "null"), (400, '{"name":"a","name":"b","layers":[]}'),
                                          (400, '{"name":"a","layers":' + "[" * 100 + "]" * 100 + "}"), (400, "{'name':1}")])
def test_bodies_that_are_no_object(server, status, body):
    for path in ("/v1/models", "/v1/models/validate", "/v1/jobs"):
        answer = server.post(path, body=body.encode(), headers={"Content-Type": "application/json"})
        assert answer.status == status and answer.json["detail"], answer


# ---- validate ----

def test_validate_alone(server):
    unknown = validate(server, definition={"layers": [{"type": "dense", "units": 8}, {"type": "dense", "units": 3}]}).json
    assert unknown["complete"] is False and unknown["parameters"] is None
    known = validate(server, definition={"layers": [{"type": "dense", "units": 8}, {"type": "dropout", "rate": 0.5}, {"type": "dense", "units": 3, "use_bias": False}],
                                         "inputs": {"features": {"shape": [4]}}}).json
    assert known["complete"] is True and known["parameters"] == 4 * 8 + 8 + 8 * 3
    assert [(layer["name"], layer["output_shape"], layer["parameters"]) for layer in known["layers"]] == [("dense_1", [8], 40), ("dropout_1", [8], 0), ("dense_2", [3], 24)]
    assert validate(server, definition={"layers": []}).json["layers"] == []


def test_validate_with_a_dataset_resolves_as_a_job_does(server):
    definition = {"layers": [{"type": "dense", "units": 16, "activation": "relu"}]}
    got = validate(server, definition=definition, dataset="iris", target="class").json
    assert got["complete"] and got["definition"]["loss"]["type"] == "cross_entropy" and got["definition"]["metrics"] == ["accuracy"]
    assert [layer["output_shape"] for layer in got["layers"]] == [[16], [3]] and got["parameters"] == 4 * 16 + 16 + 16 * 3 + 3
    assert got["memory_bytes"] > 0 and remarks(got) == []
    job = server.submit(model=definition, dataset="iris@1", target="class", epochs=1)
    assert job["definition"] == got["definition"] and job["layers"] == got["layers"] and job["parameters"] == got["parameters"]
    fewer = validate(server, definition=definition, dataset="iris@1", target="class", features=["petal_width", "petal_length"]).json
    assert fewer["layers"][0]["parameters"] == 2 * 16 + 16


@pytest.mark.parametrize("body, pointer, words", [
    ({}, "", '"layers"'),
    ({"model": {"layers": []}, "definition": {"layers": []}}, "/definition", "mean the same"),
    ({"model": "nope", "dataset": "iris", "target": "class"}, "/model", "nope"),
    ({"layers": [{"type": "dens"}]}, "/layers/0/type", "dense"),
    ({"model": {"layers": [{"type": "dens"}]}}, "/model/layers/0/type", "dense"),
    ({"definition": {"layers": [DENSE]}, "datset": "iris"}, "/datset", '"dataset"'),
    ({"definition": {"layers": [DENSE]}, "dataset": "nope", "target": "class"}, "/dataset", "nope"),
    ({"definition": {"layers": [DENSE]}, "dataset": "No Name", "target": "class"}, "/dataset", "No Name"),
    ({"definition": {"layers": [DENSE]}, "dataset": "iris@7", "target": "class"}, "/dataset", "iris@7"),
    ({"definition": {"layers": [DENSE]}, "dataset": 5, "target": "class"}, "/dataset", "name"),
    ({"definition": {"layers": [DENSE]}, "dataset": "iris"}, "", '"target"'),
    ({"definition": {"layers": [DENSE]}, "dataset": "iris", "target": "klass"}, "/target", '"class"'),
    ({"definition": {"layers": [DENSE]}, "dataset": "iris", "target": "class", "features": ["petal_widht"]}, "/features/0", '"petal_width"'),
    ({"definition": {"layers": [{**DENSE, "activation": "softmax"}]}, "dataset": "iris", "target": "class"}, "/definition/layers/0", "set units to 3"),
    ({"definition": {"layers": [{"type": "dense", "units": 1, "activation": "sigmoid"}], "loss": "mse"}, "dataset": "breast_cancer", "target": "class"}, "/definition", "mse"),
    ({"definition": {"layers": [DENSE], "loss": "cross_entropy"}, "dataset": "iris", "target": "petal_width"}, "/definition/loss", "regression"),
    ({"definition": {"layers": [DENSE], "metrics": ["r2"]}, "dataset": "iris", "target": "class"}, "/definition/metrics/0", "regression"),
    ({"definition": {"layers": [{**DENSE, "inputs": ["nowhere"]}]}, "dataset": "iris", "target": "class"}, "/definition/layers/0", "nowhere"),
    ({"definition": {"layers": [{"type": "reshape", "target_shape": [3, 3]}, DENSE]}, "dataset": "iris", "target": "class"}, "/definition/layers/0", "4"),
], ids=lambda v: json.dumps(v)[:80] if isinstance(v, dict) else "")
def test_wrong_validations(server, body, pointer, words):
    got = pointers(validate(server, **body))
    found = [d for p, d in got.items() if p == pointer or p.startswith(pointer + "/")]
    assert found and words in " ".join(found), got


# ---- versions ----

def test_versions_are_numbered_kept_and_never_reused(server):
    name = unique("versions")
    assert define(server, name, layers=[DENSE]).status == 201
    problem(server.get("/v1/models/%s/versions/latest" % name), 404, "not_found")
    assert server.get("/v1/models/%s/versions" % name).json["data"] == []
    jobs = [server.train(model=name, dataset="iris", target="class", epochs=3, seed=seed) for seed in (1, 2)]
    assert [job["model_version"] for job in jobs] == [1, 2]
    versions = server.all_pages("/v1/models/%s/versions" % name, limit=1)
    assert [v["version"] for v in versions] == [2, 1] and [v["job"] for v in versions] == [jobs[1]["id"], jobs[0]["id"]]
    latest = server.get("/v1/models/%s/versions/latest" % name).json
    assert {**latest, "aliases": ["default"], "notes": "", "tags": []} == versions[0] and versions[1]["aliases"] == []
    assert latest == server.get("/v1/models/%s/versions/2" % name).json == server.get("/v1/models/%s@2" % name).json
    assert latest["options"]["seed"] == 2 and latest["dataset"] == {"name": "iris", "version": 1} and latest["metrics"] == jobs[1]["metrics"]
    assert latest["rows_trained"] + latest["rows_validated"] == 150 and latest["epoch"] == latest["epochs_trained"] == 3
    # a new definition touches no version
    before = server.predict(name, [[5.1, 3.5, 1.4, 0.2]])
    assert define(server, name, layers=[{"type": "dense", "units": 9}]).status == 200
    assert server.get("/v1/models/%s/versions/2" % name).json == latest and server.predict(name, [[5.1, 3.5, 1.4, 0.2]]) == before
    assert server.get("/v1/models/" + name).json["versions"] == 2
    # a job may take the definition of a version
    again = server.submit(model=name + "@1", dataset="iris", target="class", epochs=1)
    assert again["layers"][0]["output_shape"] == [4]
    assert server.wait(again["id"])["model_version"] == 3
    for wrong in ("4", "0", "x", "-1", "1x", "99999999999999999999"):
        problem(server.get("/v1/models/%s/versions/%s" % (name, wrong)), 404, "not_found")
    problem(server.get("/v1/models/%s/versions?after=x" % name), 422, "invalid")
    # the model goes with its versions; the next one of this name continues the numbering
    assert server.delete("/v1/models/" + name).status == 204
    problem(server.get("/v1/models/%s/versions" % name), 404, "not_found")
    problem(server.get("/v1/models/%s/versions/2" % name), 404, "not_found")
    problem(server.post("/v1/models/%s/predict" % name, {"instances": [[1, 2, 3, 4]]}), 404, "not_found")
    define(server, name, layers=[DENSE])
    assert server.train(model=name, dataset="iris", target="class", epochs=1)["model_version"] == 4


def test_used_model_and_served_version_cannot_be_deleted(server):
    name = unique("used")
    define(server, name, layers=[DENSE])
    server.train(model=name, dataset="iris", target="class", epochs=1)
    assert "alias default" in problem(server.delete("/v1/models/%s@1" % name), 409, "in_use")["detail"]
    job = server.submit(**{**harness.ENDLESS, "model": name})["id"]
    assert job in problem(server.delete("/v1/models/" + name), 409, "in_use")["detail"]
    server.post("/v1/jobs/%s/cancel" % job)
    server.wait(job)
    assert server.delete("/v1/models/" + name).status == 204


def filled(entry, catalog, integers):
    """An entry of the catalog with every parameter written out: its default, or something of its type."""
    def some(p):
        if "default" in p:
            return p["default"]
        return {"boolean": True, "integer": max(3, p.get("minimum", 3)), "number": 0.5, "integers": integers, "choice": p.get("choices", [None])[0],
                "entry": catalog[p["family"]][0]["name"] if "family" in p else None}[p["type"]]
    return {"type": entry["name"], **{p["name"]: v for p in entry["params"] for v in [some(p)] if v is not None}}


def test_catalog_lists_what_definitions_accept(server):
    """Everything in the catalog is accepted with the parameters in the catalog; nothing here depends on names."""
    catalog = server.get("/v1/catalog").json
    assert {e["name"] for e in catalog["layers"]} >= {"dense", "activation", "dropout", "flatten", "reshape"}

    def accepted(definition, **data):
        return validate(server, definition=definition, **data).status == 200

    for layer in catalog["layers"]:
        assert any(accepted({"layers": [{**filled(layer, catalog, integers), "inputs": ["a", "b"][:count]}], "inputs": {"a": {"shape": shape}, "b": {"shape": shape}}} if count == 2 else
                            {"layers": [*before, filled(layer, catalog, integers)], "inputs": {"a": {"shape": shape}}})
                   for before in ([], ["ensemble"]) for shape in ([4], [8, 4], [8, 6], [8, 32], [8, 8, 4]) for integers in ([2], [-1], [2, 2], [2, 1]) for count in (1, 2)), layer
    for activation in catalog["activations"]:
        assert accepted({"layers": [{"type": "activation", "activation": filled(activation, catalog, [2])}]}), activation
    for initializer in catalog["initializers"]:
        assert accepted({"layers": [{**DENSE, "kernel_initializer": filled(initializer, catalog, [2])}]}), initializer
    for loss in catalog["losses"]:
        assert any(accepted({"layers": layers, "loss": filled(loss, catalog, [2])}, dataset=dataset, target=target)
                   for layers in ([DENSE], [{"type": "dense", "units": 1}], [{"type": "dense", "units": 1, "activation": "tanh"}], [{"type": "dense", "units": 3, "activation": "softmax"}])
                   for dataset, target in (("iris", "class"), ("breast_cancer", "class"), ("iris", "petal_width"))), loss
    tagged = server.post_json(unique("tagged"), columns={"x": [1, 2, 3, 4], "tags": [["a"], [], ["a", "b"], ["b"]]})["name"]
    for metric in catalog["metrics"]:
        assert any(accepted({"layers": [DENSE], "metrics": [metric["name"]]}, dataset=dataset, target=target)
                   for dataset, target in (("iris", "class"), ("breast_cancer", "class"), ("iris", "petal_width"), (tagged, "tags"))), metric
    for option in next(e for e in catalog["options"] if e["name"] == "job")["params"]:
        if option["name"] not in ("precision", "threads"):
            job = server.submit(**harness.xor(**{option["name"]: option["default"]}))
            assert job["options"][option["name"]] == option["default"], option
    for optimizer in catalog["optimizers"]:
        job = server.submit(**harness.xor(optimizer=filled(optimizer, catalog, [2])))
        assert job["options"]["optimizer"] == filled(optimizer, catalog, [2])


def test_one_spelling_everywhere(server):
    """What POST /v1/models and POST /v1/jobs take, validate accepts unchanged; the older form gives the same result."""
    name = unique("spelled")
    model = {"name": name, "layers": [DENSE], "metrics": ["accuracy"]}
    job = {"model": {"layers": [DENSE], "metrics": ["accuracy"]}, "dataset": "iris", "target": "class", "epochs": 3, "metadata": {"who": "me"}, "seed": 1}
    alone = server.post("/v1/models/validate", model).json
    assert alone == server.post("/v1/models/validate", {"model": model}).json == server.post("/v1/models/validate", {"definition": model}).json
    whole = server.post("/v1/models/validate", job).json
    named = {k: v for k, v in job.items() if k != "model"}
    assert whole["definition"]["metrics"] == ["accuracy"] and whole["memory_bytes"] > 0
    assert whole == server.post("/v1/models/validate", {**named, "definition": job["model"]}).json == server.post("/v1/models/validate", {**named, "layers": [DENSE], "metrics": ["accuracy"]}).json
    assert server.post("/v1/models", model).status == 201
    assert whole == server.post("/v1/models/validate", {**named, "model": name}).json
    rows = {"records": [{"a": i, "b": "xy"[i % 2]} for i in range(40)]}
    inline = server.post("/v1/models/validate", {"model": {"layers": [DENSE]}, "dataset": rows, "target": "b"})
    assert inline.status == 200 and inline.json["definition"]["loss"]["type"] == "binary_cross_entropy"
    before = [j["id"] for j in server.all_pages("/v1/jobs")]
    assert server.post("/v1/jobs", {**named, "definition": job["model"]}).status == 422
    assert [j["id"] for j in server.all_pages("/v1/jobs")] == before  # neither validation nor refusal stores anything
    assert server.submit(**job)["definition"] == whole["definition"]


def test_names_get_a_did_you_mean(server):
    name = unique("penguin-network")
    server.post("/v1/models", {"name": name, "layers": []})
    near = name.replace("network", "netwrok")
    for answer in (server.get("/v1/models/" + near), server.delete("/v1/models/" + near), server.post("/v1/models/%s/predict" % near, {"instances": [[1]]}), server.get("/v1/models/%s/versions" % near)):
        assert answer.status == 404 and 'did you mean "%s"' % name in answer.json["detail"], answer
    assert 'did you mean "%s"' % name in pointers(server.post("/v1/jobs", {"model": near, "dataset": "iris", "target": "class"}))["/model"]
    assert "did you mean" not in server.get("/v1/models/zzzzzzzzzzzz").json["detail"]
