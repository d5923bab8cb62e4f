"""Goal: a model leaves and enters a server in every form without changing a prediction, and no file from outside does harm."""
import copy
import gzip
import json
import os
import random
import struct
import threading

import numpy
import pytest

import harness

PENGUINS = harness.ROOT / "clients/examples/penguins.csv"
IRIS = harness.DATA / "iris.csv"
BINARY = {"Content-Type": "application/octet-stream"}


def read_safetensors(data):
    """(metadata, {name: array}), by the description of the format (github.com/huggingface/safetensors)."""
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    metadata = header.pop("__metadata__", {})
    assert all(isinstance(v, str) for v in metadata.values())
    body, tensors, end = data[8 + size:], {}, 0
    for name, t in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        first, last = t["data_offsets"]
        assert first == end and t["dtype"] == "F32", "no gaps, and float32"
        tensors[name] = numpy.frombuffer(body[first:last], "<f4").reshape(t["shape"])
        end = last
    assert end == len(body)
    return metadata, tensors


def write_safetensors(tensors, metadata=None):
    """What safetensors.numpy.save writes."""
    types = {"float32": "F32", "float64": "F64", "float16": "F16", "int64": "I64"}
    header, body = {"__metadata__": metadata} if metadata else {}, b""
    for name, array in tensors.items():
        raw = numpy.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": types[str(array.dtype)], "shape": list(array.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def export(server, model, form, version="latest"):
    answer = server.get("/v1/models/%s/versions/%s/export?format=%s" % (model, version, form))
    assert answer.status == 200, answer
    assert answer.headers["Content-Disposition"].endswith(".%s\"" % form)
    return answer.body


def load(server, name, body, query="", headers=BINARY, status=201):
    answer = server.post("/v1/models/import?name=%s%s" % (name, query), body=body, headers=headers)
    assert answer.status == status, answer
    return answer.json


def rows_of(path, target):
    header, *lines = [line.split(",") for line in path.read_text().splitlines()]
    return [{k: v if k in ("island", "sex") else float(v) for k, v in zip(header, line) if v != "" and k != target} for line in lines]


def train_file(tmp_path, *arguments):
    out = tmp_path / "model.bpd"
    done = harness.run("train", "--out", out, "--quiet", "--seed", 3, *arguments)
    assert done.returncode == 0, done.stderr
    return out


def command_predictions(model, data):
    done = harness.run("predict", "--model", model, "--data", data, "--format", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def single(server):
    """A network of the server's, trained on iris."""
    name = harness.unique("io-iris")
    server.train(model={"name": name, "layers": [{"type": "dense", "units": 8, "activation": "tanh"}, {"type": "batch_norm"}]}, dataset="iris", target="class", epochs=10)
    return name


@pytest.fixture(scope="module")
def network_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    (folder / "net.json").write_text('{"layers":[{"type":"dense","units":6,"activation":"relu"}]}')
    return train_file(folder, "--data", IRIS, "--target", "class", "--definition", folder / "net.json", "--epochs", 5)


def test_a_served_version_predicts_the_same_in_the_command(server, single, tmp_path):
    (tmp_path / "served.bpd").write_bytes(export(server, single, "bpd"))
    assert command_predictions(tmp_path / "served.bpd", IRIS) == server.predict(single, rows_of(IRIS, "class"))


def test_folds_and_the_default_ensemble_there_and_back(server, tmp_path):
    """What jobs have made runs in `predict`; what `train` has made is served. All predictions have the same digits."""
    folds = harness.unique("io-folds")
    server.train(model={"name": folds, "layers": [{"type": "dense", "units": 4, "activation": "relu"}]}, dataset="iris", target="class", epochs=4,
                 validation={"folds": 3}, ensemble=True)
    (tmp_path / "folds.bpd").write_bytes(export(server, folds, "bpd"))
    rows = rows_of(IRIS, "class")
    assert command_predictions(tmp_path / "folds.bpd", IRIS) == server.predict(folds, rows)
    load(server, folds + "-again", (tmp_path / "folds.bpd").read_bytes())
    assert server.predict(folds + "-again", rows) == server.predict(folds, rows)
    made = train_file(tmp_path, "--data", PENGUINS, "--target", "species", "--effort", "fast")
    ensemble = harness.unique("io-ensemble")
    version = load(server, ensemble, made.read_bytes())
    assert version["version"] == 1 and version["job"] is None and version["imported"] == {"format": "bpd"} and "dataset" not in version
    assert version["cross_validation"]["families"] and version["metrics"]
    assert server.predict(ensemble, rows_of(PENGUINS, "species")) == command_predictions(made, PENGUINS)
    assert export(server, ensemble, "bpd") == made.read_bytes(), "a model file is stored as it is"
    assert server.get("/v1/models/" + ensemble).json["definition"] == {"auto": True}


def test_a_network_of_the_command_is_served(server, network_file):
    name = harness.unique("io-file")
    first = load(server, name, network_file.read_bytes())
    assert server.predict(name, rows_of(IRIS, "class")) == command_predictions(network_file, IRIS)
    second = load(server, name, gzip.compress(network_file.read_bytes()), headers={**BINARY, "Content-Encoding": "gzip"})
    assert (first["version"], second["version"]) == (1, 2)
    assert [v["version"] for v in server.get("/v1/models/%s/versions" % name).json["data"]] == [2, 1]
    job = server.train(model=name, dataset="iris", target="class", epochs=2)
    assert job["model_version"] == 3, "a model that was imported can be trained"


@pytest.mark.parametrize("form", ["safetensors", "json"])
def test_other_forms_there_and_back(server, single, form):
    body, name = export(server, single, form), harness.unique("io-" + form)
    version = load(server, name, body, headers={"Content-Type": "application/json"} if form == "json" else BINARY)
    assert version["imported"] == {"format": form}
    original = server.get("/v1/models/%s/versions/1" % single).json
    for member in ("definition", "preprocessing", "options", "metrics", "epoch", "features", "target", "task", "columns", "program"):
        assert version[member] == original[member], member
    assert server.weights(name) == server.weights(single), "every bit of every weight"
    assert server.predict(name, rows_of(IRIS, "class")) == server.predict(single, rows_of(IRIS, "class"))


def test_safetensors_is_what_its_description_says(server, single):
    metadata, tensors = read_safetensors(export(server, single, "safetensors"))
    assert {k: list(v.shape) for k, v in tensors.items()} == {
        "dense_1/kernel": [4, 8], "dense_1/bias": [8], "batch_norm_1/moving_mean": [8], "batch_norm_1/moving_variance": [8], "batch_norm_1/gamma": [8],
        "batch_norm_1/beta": [8], "dense_2/kernel": [8, 3], "dense_2/bias": [3]}
    assert "crc32" not in metadata, "other programs may change it"
    version = server.get("/v1/models/%s/versions/1" % single).json
    assert json.loads(metadata["definition"]) == version["definition"]
    assert json.loads(metadata["preprocessing"], parse_float=lambda text: float("%.15g" % float(text))) == version["preprocessing"], "answers show 15 digits"
    kernels = {name: v.tobytes() for name, v in tensors.items()}
    assert kernels == {name: bytes(v) for name, v in server.weights(single).items()}


def test_changed_weights_come_back(server, single):
    """The output's bias is moved by another program: the class with the largest bias wins everywhere."""
    metadata, tensors = read_safetensors(export(server, single, "safetensors"))
    tensors["dense_2/bias"] = numpy.array([0, 1000, 0], "float32")
    name = harness.unique("io-moved")
    load(server, name, write_safetensors(tensors, metadata))
    labels = json.loads(metadata["preprocessing"])["target"]["labels"]
    assert {p["label"] for p in server.predict(name, rows_of(IRIS, "class"))} == {labels[1]}


def test_json_has_all_digits(server, single):
    exported = json.loads(export(server, single, "json"))
    stored = server.weights(single)
    assert set(exported["weights"]) == set(stored)
    for name, numbers in exported["weights"].items():
        assert numpy.array(numbers, "float32").tobytes() == bytes(stored[name]), name


TORCH = {"definition": {"layers": [{"type": "conv1d", "name": "c", "filters": 5, "kernel_size": 3, "padding": "valid"}, {"type": "batch_norm", "name": "n", "epsilon": 1e-5},
                                   {"type": "activation", "activation": "relu"}, {"type": "flatten"}, {"type": "dense", "name": "fc", "units": 3, "activation": "softmax"}],
                        "inputs": {"wave": {"shape": [8, 2]}}},
         "target": "kind", "labels": ["a", "b", "c"]}


def test_a_state_dict_of_pytorch_with_a_definition(server):
    """Its predictions are those of PyTorch (tests/engine/golden.py)."""
    golden = json.loads((harness.ROOT / "tests/fixtures/golden/state_dict.json").read_text())
    tensors = {name: numpy.array(t["values"], t["dtype"]) for name, t in golden["tensors"].items()}
    name = harness.unique("io-torch")
    version = load(server, name, write_safetensors(tensors, {k: v if k == "target" else json.dumps(v) for k, v in TORCH.items()}))
    assert version["target"] == "kind" and version["metrics"] == {}
    got = server.predict(name, [{"wave": v} for v in golden["x"]])
    assert numpy.allclose([list(p["probabilities"].values()) for p in got], golden["predictions"], atol=1e-5)


def test_features_of_another_program_may_be_scaled(server):
    """y = 2 (a - 10) / 4 + 3 b, by hand."""
    metadata = {"definition": json.dumps({"layers": [{"type": "dense", "name": "out", "units": 1}]}), "target": "y",
                "features": json.dumps([{"name": "a", "mean": 10, "std": 4}, "b"])}
    tensors = {"out.weight": numpy.array([[2, 3]], "float32"), "out.bias": numpy.array([0.5], "float16")}
    name = harness.unique("io-hand")
    load(server, name, write_safetensors(tensors, metadata))
    assert [p["value"] for p in server.predict(name, [{"a": 10, "b": 0}, {"a": 18, "b": 1}])] == [0.5, 7.5]


def test_tensors_alone_take_the_definition_of_a_version(server, single):
    metadata, tensors = read_safetensors(export(server, single, "safetensors"))
    bare = write_safetensors(tensors)
    assert "definition" in load(server, harness.unique("io-bare"), bare, status=422)["detail"]
    name = harness.unique("io-like")
    load(server, name, bare, query="&like=" + single)
    assert server.predict(name, rows_of(IRIS, "class")) == server.predict(single, rows_of(IRIS, "class"))
    assert "like" in load(server, name, write_safetensors(tensors, metadata), query="&like=" + single, status=422)["detail"]
    assert load(server, name, bare, query="&like=nothing-there", status=404)["code"] == "not_found"


# ---- what is refused ----
def changed(tensors, **values):
    return {**tensors, **values}


@pytest.mark.parametrize("change, words", [
    (lambda t: {k: v for k, v in t.items() if k != "dense_1/bias"}, ["dense_1/bias", "no tensor"]),
    (lambda t: changed(t, **{"dense_1/kernel": t["dense_1/kernel"].T}), ["dense_1/kernel", "[8, 4]", "[4, 8]"]),
    (lambda t: changed(t, **{"dense_2/bias": numpy.zeros(3, "int64")}), ["dense_2/bias", "I64", "F32"]),
    (lambda t: changed(t, **{"dense_2/bias": numpy.array([0, numpy.nan, 0], "float32")}), ["dense_2/bias", "finite"]),
    (lambda t: {"x": numpy.zeros(2, "float32")}, ["belong"]),
])
def test_tensors_that_do_not_fit(server, single, change, words):
    metadata, tensors = read_safetensors(export(server, single, "safetensors"))
    detail = load(server, harness.unique("io-wrong"), write_safetensors(change(tensors), metadata), status=422)["detail"]
    assert all(word in detail for word in words), detail


def test_bodies_that_are_no_model(server, network_file):
    good, name = network_file.read_bytes(), harness.unique("io-refused")
    flipped = bytearray(good)
    flipped[len(good) - 10] ^= 1
    for body, words in ((b"", "empty"), (b"{", "JSON"), (b"[1]", "no model"), (b"PK\x03\x04" * 50, "no model"), (b'{"a":1}', "weights"), (good[:200], "truncated"), (good[:-1], "checksum"),
                        (bytes(flipped), "checksum"), (b'{"definition":{"layers":[]},"weights":{}}', "features"), (b'\xff' * 64, "no model"),
                        (b'{"definition":{"layers":[{"type":"dense","units":2147483}]},"features":["a"],"target":"y","weights":{"dense_1/kernel":[[1]]}}', "definition")):
        answer = server.post("/v1/models/import?name=" + name, body=body, headers=BINARY)
        assert words in harness.problem(answer, 422, "invalid")["detail"], (body[:40], answer)
    assert server.get("/v1/models/" + name).status == 404, "nothing was made"
    for query, words in (("", "name"), ("?name=Bad%20Name", "valid name"), ("?name=x%402", "valid name")):
        assert words in harness.problem(server.post("/v1/models/import" + query, body=good, headers=BINARY), 422, "invalid")["detail"]
    harness.problem(server.post("/v1/models/import?name=x&nonsense=1", body=good, headers=BINARY), 422, "invalid")
    assert "--data-binary" in harness.problem(server.post("/v1/models/import?name=x", body=good, headers={"Content-Type": "text/csv"}), 415, "unsupported_media_type")["detail"]
    harness.problem(server.post("/v1/models/import?name=x", body=b"no gzip", headers={**BINARY, "Content-Encoding": "gzip"}), 422, "invalid")
    checkpoint = write_safetensors({"weights": numpy.zeros(3, "float32")}, {"format": "backpropd-checkpoint/2"})
    assert "definition" in load(server, name, checkpoint, status=422)["detail"]


def test_a_prediction_must_fit_in_memory(server):
    """Few weights, but a gigantic row: refused before anything is taken for it."""
    body = {"definition": {"layers": [{"type": "repeat_vector", "n": 50000}, {"type": "dense", "units": 8000}, {"type": "global_average_pool"}, {"type": "dense", "units": 1}]},
            "features": ["a"], "target": "y", "weights": {"dense_1/kernel": [[0.0] * 8000], "dense_1/bias": [0.0] * 8000, "dense_2/kernel": [[0.0]] * 8000, "dense_2/bias": [0.0]}}
    detail = load(server, harness.unique("io-huge"), json.dumps(body).encode(), status=422)["detail"]
    assert "models_memory_max" in detail, detail


def test_damaged_documents_do_no_harm(server, single):
    """Members of a JSON model replaced at random: each is taken or refused, and the server predicts with what it has taken."""
    text, chance = export(server, single, "json").decode(), random.Random(5)
    values = [None, -1, 0, 1e308, "", "x", [], {}, [[]], True, 2**40, {"type": "tensor"}, "embedding", "quantile"]

    def spoil(node, depth=0):
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = chance.choice(keys)
        if depth < 6 and isinstance(node[key], (dict, list)) and node[key] and chance.random() < 0.85:
            spoil(node[key], depth + 1)
        elif isinstance(node, dict) and chance.random() < 0.3:
            del node[key]
        else:
            node[key] = copy.deepcopy(chance.choice(values))

    statuses = []
    for i in range(120):
        document = json.loads(text)
        for _ in range(1 + i % 5):
            spoil(document)
        answer = server.post("/v1/models/import?name=io-spoiled", body=json.dumps(document).encode(), headers=BINARY)
        statuses.append(answer.status)
        assert answer.status in (201, 422), (document, answer)
        if answer.status == 201:
            assert server.post("/v1/models/io-spoiled/predict", {"instances": rows_of(IRIS, "class")[:2]}).status in (200, 422)
    assert statuses.count(201) > 10 and statuses.count(422) > 10


def test_limits_of_the_server_hold(fresh, network_file):
    small = fresh("--upload-max", "4096")
    harness.problem(small.post("/v1/models/import?name=x", body=b"x" * 5000, headers=BINARY), 413, "too_large")
    bomb = gzip.compress(b"\0" * (1 << 20))
    harness.problem(small.post("/v1/models/import?name=x", body=bomb, headers={**BINARY, "Content-Encoding": "gzip"}), 413, "too_large")
    narrow = fresh("--json-values-max", "1000")
    numbers = {"definition": {"layers": [{"type": "dense", "units": 2000}]}, "features": ["a"], "target": "y", "weights": {"dense_1/kernel": [[0.0] * 2000]}}
    detail = harness.problem(narrow.post("/v1/models/import?name=x", body=json.dumps(numbers).encode(), headers=BINARY), 413, "too_large")["detail"]
    assert "json_values_max" in detail and "bpd" in detail
    assert narrow.post("/v1/models/import?name=x", body=network_file.read_bytes(), headers=BINARY).status == 201
    assert not [f for f in os.listdir(small.folder + "/checkpoints")] and not [f for f in os.listdir(narrow.folder + "/checkpoints")]


def test_a_repeated_import_creates_nothing(server, network_file):
    name = harness.unique("io-twice")
    headers = {**BINARY, "Idempotency-Key": name}
    first, second = (server.post("/v1/models/import?name=" + name, body=network_file.read_bytes(), headers=headers) for _ in range(2))
    assert (first.status, second.status) == (201, 201) and first.body == second.body and second.headers["Idempotency-Replayed"] == "true"
    assert first.headers["Location"] == second.headers["Location"] == "/v1/models/%s/versions/1" % name
    harness.problem(server.post("/v1/models/import?name=" + name, body=b"{}", headers=headers), 422, "idempotency_mismatch")
    assert server.get("/v1/models/" + name).json["versions"] == 1


def test_imports_side_by_side(server, network_file):
    name, versions = harness.unique("io-many"), []
    threads = [threading.Thread(target=lambda: versions.append(load(server, name, network_file.read_bytes())["version"])) for _ in range(6)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert sorted(versions) == [1, 2, 3, 4, 5, 6]


def test_a_name_that_belongs_to_a_job(server, network_file):
    hidden = server.train(model={"layers": [{"type": "dense", "units": 2}]}, dataset="iris", target="class", epochs=1)
    harness.problem(server.post("/v1/models/import?name=" + hidden["model"], body=network_file.read_bytes(), headers=BINARY), 409, "exists")


def test_export_refuses_what_it_does_not_know(server, single):
    assert "safetensors" in harness.problem(server.get("/v1/models/%s/versions/1/export?format=onnx" % single), 422, "invalid")["detail"]
    harness.problem(server.get("/v1/models/%s/versions/9/export" % single), 404, "not_found")
    harness.problem(server.get("/v1/models/no-such-model/versions/1/export"), 404, "not_found")
    assert export(server, single, "bpd") == server.get("/v1/models/%s/versions/1/export" % single).body


def test_scopes_and_audit(fresh, network_file):
    server = fresh()

    def key(scope):
        return {"Authorization": "Bearer " + harness.run("keys", "create", "--name", scope, "--scope", scope, "--data-dir", server.folder).stdout.split()[-1]}

    train, read = key("train"), key("read")
    path, body = "/v1/models/import?name=m", network_file.read_bytes()
    harness.until(lambda: server.get("/v1/models", headers=read).status == 200 and server.get("/v1/models").status == 401)
    harness.problem(server.post(path, body=body, headers={**BINARY, **read}), 403, "insufficient_scope")
    assert server.post(path, body=body, headers={**BINARY, **train}).status == 201
    assert server.get("/v1/models/m/versions/1/export", headers=read).body == body
    harness.problem(server.get("/v1/models/m/versions/1/export"), 401, "unauthorized")
    audit = [json.loads(line) for line in harness.run("audit", "--format", "json", "--data-dir", server.folder).stdout.splitlines()]
    assert ("import_model", "/v1/models/m/versions/1", 201) in [(e["action"], e["target"], e["status"]) for e in audit]


# ---- the command line ----
def test_commands_with_a_server_a_folder_and_files(fresh, network_file, tmp_path):
    server = fresh()
    done = harness.run("import", "--file", network_file, "--name", "m", "--url", server.url)
    assert done.returncode == 0 and "version 1 of m" in done.stdout, done.stderr
    for flags in (["--url", server.url], ["--data-dir", server.folder]):
        done = harness.run("export", "--model", "m", *flags, "--out", tmp_path / "m.bpd")
        assert done.returncode == 0 and (tmp_path / "m.bpd").read_bytes() == network_file.read_bytes(), done.stderr
    for form in ("json", "safetensors"):
        served = harness.run("export", "--model", "m@1", "--url", server.url, "--out", tmp_path / ("s." + form))
        filed = harness.run("export", "--model", network_file, "--out", tmp_path / ("f." + form))
        assert (served.returncode, filed.returncode) == (0, 0), served.stderr + filed.stderr
        assert (tmp_path / ("s." + form)).read_bytes() == (tmp_path / ("f." + form)).read_bytes()
        back = harness.run("import", "--file", tmp_path / ("s." + form), "--out", tmp_path / "back.bpd")
        assert back.returncode == 0 and command_predictions(tmp_path / "back.bpd", IRIS) == command_predictions(network_file, IRIS), back.stderr
    busy = harness.run("import", "--file", network_file, "--name", "m", "--data-dir", server.folder)
    assert busy.returncode == 1 and "server" in busy.stderr
    assert server.stop() == 0
    assert harness.run("import", "--file", network_file, "--name", "m", "--data-dir", server.folder).stdout.count("version 2 of m") == 1
    server.start()
    assert server.predict("m", rows_of(IRIS, "class")) == command_predictions(network_file, IRIS)
    assert server.get("/v1/models/m/versions/2").json["imported"] == {"format": "bpd"}


@pytest.mark.parametrize("arguments, status, words", [
    (["export"], 2, "--model"), (["export", "--model", "/nothing"], 1, "/nothing"), (["export", "--model", "m", "--format", "onnx"], 2, "safetensors"),
    (["export", "--model", "A b@1", "--url", "http://127.0.0.1:1"], 1, "A b@1"), (["export", "--model", "m", "--url", "http://127.0.0.1:1"], 1, "no server"),
    (["export", "--model", "m", "--url", "x", "--data-dir", "y"], 2, "not both"), (["import", "--file", "x"], 2, "--url"), (["import", "--file", "/nothing", "--out", "x.bpd"], 1, "/nothing"),
    (["import", "--file", str(IRIS), "--out", "x.bpd"], 1, "no model"), (["import", "--file", "x", "--name", "A b", "--data-dir", "d"], 2, "valid name"),
    (["export", "--model", str(IRIS), "--format", "json"], 1, "tensor file"), (["import", "--flie", "x"], 2, "--file"), (["import", "--file", "x", "--name", "m", "--url", "http://127.0.0.1:1", "--like", "a b"], 2, "--like"),
])
def test_commands_that_cannot_work(arguments, status, words, tmp_path):
    done = harness.run(*arguments, cwd=tmp_path)
    assert done.returncode == status and words in done.stderr and not list(tmp_path.iterdir()), done.stderr
