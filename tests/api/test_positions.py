"""Goal: a class for each step of a sequence or each cell of an image is learned and predicted, where padding and positions without a class do not count."""
import json
import random

import pytest

from harness import pointers, unique

STEPS, ROWS = 10, 600


def sentences():
    """Word numbers 1..6, padded with 0, and for each word a class that the words around it decide: 0 where the next one is larger, 1 where it is not, 2 at the
    end. -1 in the padding."""
    draw = random.Random(5)
    rows = []
    for _ in range(ROWS):
        n = draw.randint(3, STEPS)
        words = [draw.randint(1, 6) for _ in range(n)]
        kinds = [2 if i + 1 == n else int(words[i + 1] <= words[i]) for i in range(n)]
        rows.append({"words": words + [0] * (STEPS - n), "kinds": kinds + [-1] * (STEPS - n)})
    return rows


@pytest.fixture(scope="module")
def tagged(server):
    name = unique("tagged")
    lines = "\n".join(json.dumps(row) for row in sentences())
    answer = server.post("/v1/datasets?name=" + name, body=lines, headers={"Content-Type": "application/x-ndjson"})
    assert answer.status == 201, answer
    return name


LAYERS = [{"type": "embedding", "input_dim": 7, "output_dim": 8, "mask_zero": True}, {"type": "gru", "units": 16, "bidirectional": True, "return_sequences": True}]


def job(tagged, layers=LAYERS, **more):
    return {"dataset": tagged, "target": "kinds", "task": "classification", "model": {"name": unique("net"), "layers": layers}, "epochs": 12, "seed": 4,
            "optimizer": {"type": "adam", "learning_rate": 0.02}, **more}


def predict(server, trained, instances):
    answer = server.post("/v1/models/%s/predict" % trained["model"], {"instances": instances})
    assert answer.status == 200, answer
    return answer.json["predictions"]


def test_tags_of_a_sequence(server, tagged):
    metrics = ["accuracy", "f1", "log_loss", "roc_auc", "top_k_accuracy"]
    trained = server.train(**job(tagged, model={"name": unique("net"), "layers": LAYERS, "metrics": metrics}))
    assert trained["status"] == "succeeded", trained
    assert trained["metrics"]["val_accuracy"] > 0.97 and trained["metrics"]["val_f1"] > 0.95 and trained["metrics"]["val_roc_auc"] > 0.99
    assert 0 < trained["metrics"]["val_log_loss"] == pytest.approx(trained["metrics"]["val_loss"], rel=0.3)  # a mean over words, and one over sentences
    rows = sentences()[:40]
    right = total = 0
    for row, said in zip(rows, predict(server, trained, [{"words": row["words"]} for row in rows])):
        assert set(said) == {"labels", "probabilities"} and len(said["labels"]) == len(said["probabilities"]) == STEPS
        for kind, label, shares in zip(row["kinds"], said["labels"], said["probabilities"]):
            assert len(shares) == 3 and sum(shares) == pytest.approx(1, abs=1e-5) and label == shares.index(max(shares))
            right += kind == label
            total += kind >= 0
    assert right > 0.97 * total
    assert server.train(**job(tagged, seed=4, model={"name": unique("net"), "layers": LAYERS, "metrics": metrics}))["metrics"] == trained["metrics"]


def test_positions_that_count(server, tagged):
    """Class 2 occurs once per sentence. With weight 0 it is not learned; balanced it is."""
    weigh = lambda weights: server.train(**job(tagged, class_weights=weights, model={"name": unique("net"), "layers": LAYERS, "metrics": ["recall"]}))
    assert weigh("balanced")["metrics"]["val_recall"] > 0.95
    assert weigh({"2": 0})["metrics"]["val_recall"] < 0.75


def test_two_classes_and_folds(server):
    draw = random.Random(8)
    rows = [[draw.gauss(0, 1) for _ in range(6)] for _ in range(300)]
    name = unique("signs")
    answer = server.post("/v1/datasets", {"name": name, "columns": {"x": [[[v] for v in row] for row in rows], "y": [[int(v > 0) for v in row] for row in rows]}})
    assert answer.status == 201, answer
    layers = [{"type": "conv1d", "filters": 4, "kernel_size": 3, "padding": "same", "activation": "tanh"}]
    trained = server.train(dataset=name, target="y", task="classification", model={"name": unique("net"), "layers": layers}, epochs=30, seed=2,
                           validation={"folds": 3}, optimizer={"type": "adam", "learning_rate": 0.05})
    assert trained["status"] == "succeeded" and trained["metrics"]["cross_validated_accuracy"] > 0.95, trained
    said = predict(server, trained, [{"x": [[v] for v in rows[0]]}])[0]
    assert sum(a == int(v > 0) for a, v in zip(said["labels"], rows[0])) >= 5
    assert all(len(pair) == 2 and sum(pair) == pytest.approx(1, abs=1e-6) for pair in said["probabilities"])


def test_cells_of_an_image(server):
    draw = random.Random(9)
    images = [[[[draw.random()] for _ in range(5)] for _ in range(4)] for _ in range(200)]
    name = unique("cells")
    masks = [[[int(3 * cell[0]) for cell in line] for line in image] for image in images]
    answer = server.post("/v1/datasets", {"name": name, "columns": {"image": images, "mask": masks}})
    assert answer.status == 201, answer
    layers = [{"type": "conv2d", "filters": 12, "kernel_size": 1, "activation": "relu"}, {"type": "conv2d", "filters": 3, "kernel_size": 1, "activation": "softmax"}]
    trained = server.train(dataset=name, target="mask", task="classification", model={"name": unique("net"), "layers": layers, "loss": "focal"}, epochs=60, seed=2,
                           optimizer={"type": "adam", "learning_rate": 0.05}, mixup=0.0, threads=2)
    assert trained["status"] == "succeeded" and trained["metrics"]["val_accuracy"] > 0.9, trained
    said = predict(server, trained, [{"image": images[0]}])[0]
    assert [len(line) for line in said["labels"]] == [5] * 4 and len(said["probabilities"][3][4]) == 3


@pytest.mark.parametrize("layers, more, pointer, words", [
    ([{"type": "embedding", "input_dim": 7, "output_dim": 8}, {"type": "gru", "units": 4}], {}, "/model/layers/1", "return_sequences"),
    ([{"type": "embedding", "input_dim": 7, "output_dim": 3}, {"type": "flatten"}, {"type": "dense", "units": 3}], {}, "/model/layers/2", "(10)"),
    (LAYERS + [{"type": "dense", "units": 4, "activation": "softmax"}], {}, "/model/layers/2", "has 3 classes"),
    (LAYERS, {"loss": "hinge"}, "/model/loss", "cross_entropy"),
    (LAYERS, {"loss": "binary_cross_entropy"}, "/model/loss", "two classes"),
    (LAYERS, {"metrics": ["r2"]}, "/model/metrics/0", "classification"),
])
def test_mistakes(server, tagged, layers, more, pointer, words):
    answer = server.post("/v1/jobs", job(tagged, model={"layers": layers, **more}))
    assert answer.status == 422 and words in pointers(answer)[pointer], answer


def test_classes_that_are_none(server):
    name = unique("halves")
    server.post("/v1/datasets", {"name": name, "columns": {"x": [[1, 2], [3, 4], [5, 6]], "y": [[0, 1], [1, 0.5], [0, 0]], "one": [[0, -1], [0, 0], [0, 0]], "none": [[-1, -1]] * 3, "k": ["a", "b", "a"]}})
    model = {"layers": [{"type": "reshape", "target_shape": [2, 1]}, {"type": "dense", "units": 2}]}
    say = lambda **more: pointers(server.post("/v1/jobs", {"dataset": name, "features": ["x"], "task": "classification", "model": model, **more}))
    assert "0.5" in say(target="y")["/target"] and "an integer" in say(target="y")["/target"]
    assert "only one value" in say(target="one")["/target"]
    assert "no position" in say(target="none")["/target"]
    model["layers"][1] = {"type": "dense", "units": 2, "activation": "softmax"}
    assert "flatten" in str(say(target="k"))


def test_beside_another_output_and_with_other_data(server, tagged):
    """A class for each word and one for the sentence, from one network; the validation rows are another dataset, some with a class that is absent from training."""
    rows = [{**row, "long": "yes" if row["words"][6] else "no"} for row in sentences()]
    names = unique("both"), unique("held")
    held = [dict(row) for row in rows[:50]]
    held[3] = {**held[3], "kinds": [7] + held[3]["kinds"][1:]}
    for name, some in zip(names, (rows[50:], held)):
        assert server.post("/v1/datasets", {"name": name, "records": some}).status == 201
    layers = [{**LAYERS[0], "inputs": ["words"]}, {**LAYERS[1], "name": "steps"}, {"type": "dense", "units": 3, "activation": "softmax", "name": "kinds"},
              {"type": "global_max_pool", "inputs": ["steps"], "name": "whole"}, {"type": "dense", "units": 1, "activation": "sigmoid", "name": "long", "inputs": ["whole"]}]
    trained = server.train(dataset=names[0], target=["kinds", "long"], task="classification", model={"name": unique("net"), "layers": layers, "outputs": ["kinds", "long"]},
                           epochs=10, seed=3, optimizer={"type": "adam", "learning_rate": 0.02}, validation={"dataset": names[1]}, threads=2)
    assert trained["status"] == "succeeded", trained
    assert trained["metrics"]["val_kinds_accuracy"] > 0.95 and trained["metrics"]["val_long_accuracy"] > 0.9, trained["metrics"]
    assert any("1 of 50 rows" in warning for warning in trained["warnings"]), trained["warnings"]
    said = predict(server, trained, [{"words": rows[0]["words"]}])[0]["outputs"]
    assert len(said["kinds"]["labels"]) == STEPS and said["long"]["label"] in ("yes", "no")
