"""Goal: the exported C source compiles without a warning as C99 and predicts what the server predicts, for every column, layer and output that it
takes; what it does not take is refused in words. Both compute in float32 and add up in different orders: results agree within 1e-5, relative to the
larger of 1 and the value."""
import csv
import io
import json
import subprocess

import pytest

import harness

PENGUINS = harness.ROOT / "clients/examples/penguins.csv"
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
IRIS = (harness.DATA / "iris.csv").read_text()


def compiled(server, model, folder, driver=None, optimize="-O0"):
    """The program: the source's own main, or a driver that includes its declarations."""
    answer = server.get("/v1/models/%s/versions/latest/export?format=c" % model)
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == "text/x-c"
    source, name = folder / "model.c", model.replace("-", "_")
    source.write_bytes(answer.body)
    allowed = {"<math.h>", "<stddef.h>", "<string.h>"}
    library = answer.body.decode().split("#ifdef %s_MAIN" % name)[0]
    assert {line.split()[1] for line in library.splitlines() if line.startswith("#include")} == allowed
    if driver is None:
        if optimize == "-O2":
            subprocess.run(["gcc", *FLAGS, optimize, "-c", source, "-o", folder / "model.o"], check=True)
        subprocess.run(["gcc", *FLAGS, optimize, "-D%s_MAIN" % name, source, "-o", folder / "model", "-lm"], check=True)
    else:
        (folder / "driver.c").write_text('#define %s_DECLARATIONS\n#include "model.c"\n#define CALL %s_predict\n#define ROW struct %s_row\n#define OUTPUTS %s_OUTPUTS\n%s' % (*[name] * 4, driver))
        subprocess.run(["gcc", *FLAGS, optimize, "-I", folder, folder / "driver.c", source, "-o", folder / "model", "-lm"], check=True)
    return folder / "model"


def numbers_of(prediction):
    """The numbers of a prediction in the order of the C function, and the label."""
    if "outputs" in prediction:
        return [v for p in prediction["outputs"].values() for v in numbers_of(p)[0]], None
    if "value" in prediction:
        return [prediction["value"]], None
    shares = prediction.get("probabilities", prediction.get("scores"))
    return list(shares.values()), prediction.get("label")


def close(got, expected):
    return len(got) == len(expected) and all(abs(a - b) <= 1e-5 * max(1, abs(b)) for a, b in zip(got, expected))


def check_rows(server, model, text, folder, optimize="-O0"):
    """All rows of a CSV text: the program and the server."""
    program = compiled(server, model, folder, optimize=optimize)
    done = subprocess.run([program], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    features = server.get("/v1/models/%s/versions/latest" % model).json["preprocessing"]["features"]
    texts = {f["name"] for f in features if f["type"] in ("categorical", "datetime")}
    known = {f["name"] for f in features}
    instances = [{k: None if v == "" else v if k in texts else v == "true" if v in ("true", "false") else float(v) for k, v in row.items() if k in known}
                 for row in csv.DictReader(io.StringIO(text))]
    expected = server.predict(model, instances)
    got = list(csv.reader(io.StringIO(done.stdout)))
    assert len(got) == len(expected) > 0
    for line, prediction in zip(got, expected):
        numbers, label = numbers_of(prediction)
        if label is not None:
            ranked = sorted(numbers)
            assert line[0] == label or ranked[-1] - ranked[-2] < 1e-4, (line, prediction)
            line = line[1:]
        assert close([float(v) for v in line], numbers), (line, prediction)
    return got


def trained(server, dataset, target, layers, **more):
    name = harness.unique("c-model")
    job = {"epochs": 3, "model": {"name": name, "layers": layers}, **more}
    server.train(dataset=dataset, target=target, **job)
    return name


DENSE = [{"type": "dense", "units": 16, "activation": "relu"}, {"type": "dense", "units": 8, "activation": "tanh"}]


# ---- tables ----
@pytest.mark.parametrize("dataset, target", [("iris", "class"), ("wine", "class"), ("iris", "petal_width")])
def test_tables_of_numbers(server, tmp_path, dataset, target):
    text = (harness.DATA / (dataset + ".csv")).read_text()
    assert target in text.splitlines()[0]
    check_rows(server, trained(server, dataset, target, DENSE, epochs=10), text, tmp_path, "-O2")


@pytest.fixture(scope="module")
def penguins(server):
    server.upload("c-penguins", PENGUINS)
    return "c-penguins"


@pytest.mark.parametrize("target", ["species", "body_mass_g"])
def test_categories_and_missing_values(server, penguins, tmp_path, target):
    check_rows(server, trained(server, penguins, target, DENSE, epochs=10), PENGUINS.read_text(), tmp_path)


@pytest.mark.parametrize("target", ["species", "body_mass_g"])
def test_the_default_ensemble(server, penguins, tmp_path, target):
    """What a job without a network trains: several families, five folds, averaged."""
    name = harness.unique("c-ensemble")
    server.train(model={"name": name}, dataset=penguins, target=target, effort="fast")
    check_rows(server, name, PENGUINS.read_text(), tmp_path)


def test_layers_of_tables(server, penguins, tmp_path):
    """The kinds of layers that only larger efforts use: embeddings of numbers, members that share layers, RealMLP's."""
    name = harness.unique("c-families")
    layers = [{"type": "piecewise_linear_embedding", "name": "ple", "inputs": ["numbers"], "bins": 6, "output_dim": 4, "activation": "relu"},
              {"type": "periodic_embedding", "name": "plr", "inputs": ["numbers"], "frequencies": 5, "output_dim": 3, "activation": "relu"},
              {"type": "concatenate", "name": "all", "inputs": ["ple", "plr", "categories"]}, {"type": "scale", "name": "s"},
              {"type": "ensemble", "name": "members", "members": 4}, {"type": "dense", "units": 12, "activation": "mish", "parametrization": "ntk"},
              {"type": "scale", "axes": 2}, {"type": "dropout", "rate": 0.2}, {"type": "ensemble_dense", "units": 3, "activation": "softmax"}]
    server.train(model={"name": name, "layers": layers}, dataset=penguins, target="species", epochs=3)
    check_rows(server, name, PENGUINS.read_text(), tmp_path)


def test_every_scaling_encoding_and_part_of_a_date(server, tmp_path):
    """Column names that are no names in C, among them two that would become one; categories that are numbers; values far outside."""
    rows = [{"double": i * 0.37, "a b": i % 7 - 3.5, "a.b": (i * i) % 11, "Größe": 10.0 ** (i % 5), "q": i % 13, "r": i % 9 if i % 4 else None, "s": (i * 7) % 23 / 3,
             "flag": None if i % 11 == 0 else i % 3 == 0, "kind": "x%d" % (i % 5), "code": [1, 2.5, 30, 7][i % 4], "few": "no?"[i % 2:], "say \"it\"": "a\\b,%d" % (i % 3),
             "when": "2024-%02d-%02dT%02d:30:00" % (i % 12 + 1, i % 28 + 1, i % 24), "y": i % 6 * 1.5 + 1} for i in range(80)]
    name = harness.unique("c-columns")
    server.post_json(name, records=rows, types={"code": "categorical", "when": "datetime"})
    columns = {"a b": {"scale": "minmax"}, "a.b": {"scale": "robust"}, "Größe": {"scale": "log"}, "q": {"scale": "quantile"}, "r": {"missing": "indicator"}, "s": {"scale": "none"},
               "kind": {"encode": "target"}, "code": {"encode": "ordinal"}, "few": {"encode": "compact"}, "when": {"parts": ["time", "year", "month", "week", "day", "hour"]}}
    model = trained(server, name, "y", DENSE, columns=columns, transform="yeo-johnson", clamp=True)
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]))
    writer.writeheader()
    far = [{**rows[0], "double": 1e6, "kind": "unknown", "code": "2.50", "a.b": -500}, {**rows[1], "double": -1e9, "code": "3e1", "when": "1969-12-31T23:59:59"},
           {k: "" for k in rows[0]}, {**rows[2], "code": "07"}, {**rows[3], "when": "2100-03-01"}]
    for row in rows + far:
        writer.writerow({k: "" if v is None else str(v).lower() if isinstance(v, bool) else v for k, v in row.items()})
    check_rows(server, model, out.getvalue(), tmp_path)


# ---- outputs ----
@pytest.mark.parametrize("target, layers, more", [
    (["sepal_length", "petal_width"], DENSE, {}),
    (["class", "petal_width"], DENSE, {}),
    ("petal_width", DENSE, {"model": {"loss": {"type": "quantile", "quantiles": [0.1, 0.5, 0.9]}}}),
    ("petal_width", DENSE, {"model": {"loss": "gaussian_nll"}}),
    ("petal_width", DENSE, {"model": {"loss": "poisson"}}),
    ("petal_width", DENSE, {"transform": "log"}),
    ("petal_width", DENSE, {"transform": "box-cox"}),
    ("class", DENSE, {"model": {"loss": "hinge"}, "features": ["sepal_length"]}),
    ("class", DENSE, {"model": {"loss": "ordinal"}}),
    ("class", [*DENSE, {"type": "dense", "units": 3}], {"model": {"loss": "cross_entropy"}}),
])
def test_outputs(server, tmp_path, target, layers, more):
    more = dict(more)
    name = harness.unique("c-output")
    body = {"name": name, "layers": layers, **more.pop("model", {})}
    answer = server.post("/v1/jobs", {"model": body, "dataset": "iris", "target": target, "epochs": 3, "seed": 5, **more})
    if answer.status == 422 and body.get("loss") == "hinge":
        pytest.skip("hinge is for two classes")
    assert answer.status == 202, answer
    assert server.wait(answer.json["id"])["status"] == "succeeded"
    check_rows(server, name, IRIS, tmp_path)


@pytest.mark.parametrize("more", [{}, {"thresholds": 0.9}, {"loss": "hinge"}])
def test_two_classes(server, tmp_path, more):
    text = (harness.DATA / "breast_cancer.csv").read_text()
    target = text.splitlines()[0].split(",")[-1]
    name = harness.unique("c-two")
    model = {"name": name, "layers": DENSE, **({"loss": more["loss"]} if "loss" in more else {})}
    server.train(model=model, dataset="breast_cancer", target=target, epochs=2, **{k: v for k, v in more.items() if k != "loss"})
    labels = {line[0] for line in check_rows(server, name, text, tmp_path)}
    assert len(labels) == 2


# ---- layers ----
SEQUENCE = [{"type": "dense", "units": 24}, {"type": "reshape", "target_shape": [6, 4]}]
IMAGE = [{"type": "dense", "units": 72}, {"type": "reshape", "target_shape": [6, 6, 2]}]
END = [{"type": "flatten"}]
SIDE = [{"type": "dense", "units": 12, "name": "a"}, {"type": "dense", "units": 12, "name": "b", "inputs": ["features"], "activation": "sigmoid"},
        {"type": "reshape", "name": "one", "target_shape": [1, 12], "inputs": ["b"]}]
NETWORKS = {
    "activations": [{"type": "dense", "units": 5, "activation": a} for a in ("elu", "gelu", "hard_sigmoid", "hard_swish", "leaky_relu", "prelu", "relu6", "selu", "sigmoid", "silu", "softplus",
                                                                             "softmax", "log_softmax", "exponential", "mish", {"type": "gelu", "approximate": True})]
    + [{"type": "activation", "activation": "tanh"}, {"type": "gaussian_noise", "stddev": 0.1}],
    "conv1d": [*SEQUENCE, {"type": "conv1d", "filters": 6, "kernel_size": 3, "padding": "causal", "dilation_rate": 2, "activation": "relu"}, {"type": "max_pool1d", "pool_size": 2},
               {"type": "conv1d", "filters": 4, "kernel_size": 2, "padding": "same", "groups": 2}, {"type": "conv1d_transpose", "filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"},
               {"type": "depthwise_conv1d", "kernel_size": 3, "depth_multiplier": 2}, {"type": "separable_conv1d", "filters": 5, "kernel_size": 2, "activation": "elu"},
               {"type": "zero_padding1d", "padding": [1, 2]}, {"type": "upsampling1d", "size": 2}, {"type": "cropping1d", "cropping": [1, 2]},
               {"type": "average_pool1d", "pool_size": 3, "strides": 2, "padding": "same"}, {"type": "spatial_dropout", "rate": 0.1}, *END],
    "conv2d": [*IMAGE, {"type": "random_flip"}, {"type": "random_translation", "height_factor": 0.1, "width_factor": 0.1}, {"type": "random_rotation", "factor": 0.1}, {"type": "conv2d", "filters": 6, "kernel_size": 3, "padding": "same", "strides": [1, 2], "activation": "relu"}, {"type": "batch_norm"},
               {"type": "depthwise_conv2d", "kernel_size": 3, "padding": 1}, {"type": "conv2d", "filters": 6, "kernel_size": 3, "padding": "same", "groups": 6},
               {"type": "separable_conv2d", "filters": 4, "kernel_size": 2, "depth_multiplier": 2}, {"type": "upsampling2d", "size": [2, 1], "interpolation": "bilinear"},
               {"type": "conv2d_transpose", "filters": 4, "kernel_size": 2, "strides": 2, "output_padding": 1}, {"type": "zero_padding2d", "padding": [[1, 0], [2, 1]]},
               {"type": "cropping2d", "cropping": [1, 2]}, {"type": "group_norm", "groups": 2}, {"type": "average_pool2d", "pool_size": 2}, {"type": "max_pool2d", "pool_size": 2, "padding": "same"},
               {"type": "upsampling2d", "size": 2}, {"type": "permute", "dims": [3, 1, 2]}, {"type": "global_average_pool"}],
    "recurrent": [*SEQUENCE, {"type": "lstm", "units": 5, "return_sequences": True, "bidirectional": True}, {"type": "gru", "units": 4, "return_sequences": True},
                  {"type": "rnn", "units": 3, "return_sequences": True, "bidirectional": True}, {"type": "gru", "units": 4, "bidirectional": True}],
    "last steps": [*SEQUENCE, {"type": "lstm", "units": 5, "bidirectional": True}, {"type": "repeat_vector", "n": 3}, {"type": "rnn", "units": 4}],
    "attention": [*SEQUENCE, {"type": "position_embedding"}, {"type": "multi_head_attention", "num_heads": 2}, {"type": "layer_norm"}, {"type": "positional_encoding"},
                  {"type": "multi_head_attention", "num_heads": 2, "key_dim": 3, "use_causal_mask": True, "use_bias": False}, {"type": "rms_norm"}, {"type": "global_max_pool"}],
    "merges": [*SIDE, {"type": "add", "name": "s", "inputs": ["a", "b"]}, {"type": "subtract", "name": "d", "inputs": ["a", "b"]}, {"type": "multiply", "name": "m", "inputs": ["a", "b", "s"]},
               {"type": "average", "name": "v", "inputs": ["a", "b", "m"]}, {"type": "maximum", "name": "h", "inputs": ["a", "v"]}, {"type": "minimum", "name": "l", "inputs": ["h", "d"]},
               {"type": "reshape", "name": "col", "target_shape": [12, 1], "inputs": ["l"]}, {"type": "add", "name": "grid", "inputs": ["col", "one"]},
               {"type": "dot", "name": "dot", "inputs": ["grid", "col"], "axes": [2, 1]}, {"type": "dot", "name": "cos", "inputs": ["a", "b"], "axes": 1, "normalize": True},
               {"type": "flatten", "name": "flat", "inputs": ["dot"]}, {"type": "concatenate", "name": "end", "inputs": ["flat", "cos", "l"]},
               {"type": "weighted_average", "name": "w", "inputs": ["a", "l", "h"]}, {"type": "concatenate", "name": "both", "inputs": ["end", "w"]}],
}


@pytest.mark.parametrize("network", NETWORKS)
def test_layers(server, tmp_path, network):
    check_rows(server, trained(server, "iris", "class", NETWORKS[network], epochs=2, optimizer={"type": "adam", "learning_rate": 0.0005}), IRIS, tmp_path)


def test_every_layer_that_acts_is_covered_or_refused(server):
    """A layer that is added has to be added here, or to what is refused."""
    used = {layer["type"] for network in NETWORKS.values() for layer in network} | {"piecewise_linear_embedding", "periodic_embedding", "scale", "ensemble", "ensemble_dense", "dropout", "embedding"}
    assert {e["name"] for e in server.get("/v1/catalog").json["layers"]} - used == {"masking"}


def test_categories_as_indices_of_an_embedding(server, tmp_path):
    rows = [{"k": "c%d" % (i % 4), "x": i * 0.1, "y": i % 4 * 2.0 + i * 0.01} for i in range(60)]
    name = harness.unique("c-embedding")
    server.post_json(name, records=rows)
    layers = [{"type": "embedding", "input_dim": 5, "output_dim": 3, "name": "e", "inputs": ["k"]}, {"type": "flatten", "name": "f"}, {"type": "concatenate", "name": "j", "inputs": ["f", "features"]},
              {"type": "dense", "units": 4, "activation": "relu"}]
    model = trained(server, name, "y", layers, columns={"k": {"encode": "embedding"}})
    text = "k,x\n" + "".join("%s,%g\n" % (r["k"], r["x"]) for r in rows) + "unknown,0.5\n,\n"
    check_rows(server, model, text, tmp_path)


TENSORS = """
#include <stdio.h>
int main(void) {
    float cell[SIZE], out[OUTPUTS];
    while (fread(cell, sizeof *cell, SIZE, stdin) == SIZE) {
        ROW row = {cell};
        if (CALL(&row, out) < 0) return 1;
        for (int i = 0; i < OUTPUTS; i++) printf(i ? ",%.9g" : "%.9g", (double)out[i]);
        printf("\\n");
    }
    ROW none = {NULL};
    return CALL(&none, out) < 0;
}
"""


def test_tensor_columns_and_tensor_targets(server, tmp_path):
    numpy = pytest.importorskip("numpy")
    x = numpy.random.default_rng(3).normal(5, 2, (40, 4, 3)).astype("float32")
    x[:, :, 2] = 7  # a constant channel
    name = harness.unique("c-tensors")
    server.post_json(name, columns={"x": x.tolist(), "y": (x[:, :, :2] * 2 - 1).tolist()})
    model = trained(server, name, "y", [{"type": "conv1d", "filters": 4, "kernel_size": 2, "padding": "same", "activation": "relu"}, {"type": "dense", "units": 2}])
    program = compiled(server, model, tmp_path, "#define SIZE 12\n" + TENSORS)
    x[3, 1, 0], x[5, 0, 1] = 1e4, numpy.nan
    done = subprocess.run([program], input=x.tobytes(), capture_output=True)
    assert done.returncode == 0
    expected = server.predict(model, [{"x": [[None if numpy.isnan(v) else float(v) for v in step] for step in cell]} for cell in x])
    for line, prediction in zip(done.stdout.decode().splitlines(), expected):
        assert close([float(v) for v in line.split(",")], [v for step in prediction["values"] for v in step]), (line, prediction)


def test_several_labels(server, tmp_path):
    rows = [{"a": i % 5, "b": i % 7, "tags": [t for t, yes in (("red", i % 5 > 2), ("round", i % 7 > 3)) if yes]} for i in range(70)]
    name = harness.unique("c-labels")
    server.post_json(name, records=rows)
    model = trained(server, name, "tags", DENSE, epochs=10, thresholds={"red": 0.25})
    got = check_rows(server, model, "a,b\n" + "".join("%d,%d\n" % (r["a"], r["b"]) for r in rows), tmp_path)
    assert len(got[0]) == 2
    source = (tmp_path / "model.c").read_text()
    assert '_labels[2] = {"red", "round"}' in source and "_thresholds[2] = {0.25, 0.5}" in source


# ---- what is refused ----
def test_masks_and_texts_are_refused_in_words(server):
    name = harness.unique("c-refused")
    server.post_json(name, records=[{"s": [[1.0, 2.0]] * (i % 3 + 1), "y": i % 4 + 0.5} for i in range(40)], types={"s": {"type": "tensor", "shape": [3, 2]}})
    model = trained(server, name, "y", [{"type": "masking", "name": "pad"}, {"type": "gru", "units": 3}])
    detail = harness.problem(server.get("/v1/models/%s/versions/1/export?format=c" % model), 422, "invalid")["detail"]
    assert '"pad" (masking)' in detail and "backpropd predict" in detail
    words = harness.unique("c-words")
    server.post_json(words, records=[{"t": "good bad %d" % i if i % 2 else "fine words here %d" % i, "y": i % 2 + 0.5} for i in range(60)], types={"t": "text"})
    model = trained(server, words, "y", DENSE)
    detail = harness.problem(server.get("/v1/models/%s/versions/1/export?format=c" % model), 422, "invalid")["detail"]
    assert 'column "t" is text' in detail and "leave it out" in detail


def test_the_command_writes_what_the_server_sends(server, penguins, tmp_path):
    model = trained(server, penguins, "species", DENSE)
    done = harness.run("export", "--model", model, "--url", server.url, "--out", tmp_path / "served.c")
    assert done.returncode == 0, done.stderr
    harness.run("export", "--model", model, "--url", server.url, "--out", tmp_path / "m.bpd")
    done = harness.run("export", "--model", tmp_path / "m.bpd", "--name", model, "--out", tmp_path / "filed.c")
    assert done.returncode == 0 and (tmp_path / "filed.c").read_text() == (tmp_path / "served.c").read_text(), done.stderr
