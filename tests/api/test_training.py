"""Further options of a job: several targets, weights of classes and rows, schedules, a learning-rate search, frozen layers, L-BFGS;
and what it tells of its layers. Goal: every such option changes what it should and nothing else, is echoed, and is kept in the version."""
import math
import random

from harness import pointers, remarks, unique

DENSE = {"type": "dense", "units": 16, "activation": "relu"}


def noise(n, seed=1):
    draw = random.Random(seed)
    return [draw.gauss(0, 1) for _ in range(n)]


def two_targets(n=300):
    a, b = noise(n, 1), noise(n, 2)
    return {"a": a, "b": b, "price": [3 * x - 2 * y + 7 for x, y in zip(a, b)], "tall": [500 * x for x in a],
            "kind": ["up" if x + y > 0 else "down" for x, y in zip(a, b)]}


def upload(server, columns):
    name = unique("data")
    assert server.post("/v1/datasets", {"name": name, "columns": columns}).status == 201
    return name


def test_targets_side_by_side(server):
    """A linear output as wide as the list learns them together; predictions and metrics are in each target's own unit."""
    model = unique("side")
    job = server.train(model={"name": model, "layers": [DENSE, {"type": "dense", "units": 2}]}, dataset=upload(server, two_targets()), target=["price", "tall"],
                       features=["a", "b"], epochs=150, seed=3, optimizer={"type": "adam", "learning_rate": 0.01})
    assert job["target"] == ["price", "tall"] and job["task"] == "regression" and len(job["layers"]) == 2
    assert job["metrics"]["val_r2"] > 0.98
    got = server.predict(model, [{"a": 1, "b": -1}, {"a": 0, "b": 0}])
    assert [set(p["outputs"]) for p in got] == [{"price", "tall"}] * 2
    assert abs(got[0]["outputs"]["price"]["value"] - 12) < 1 and abs(got[0]["outputs"]["tall"]["value"] - 500) < 60
    pre = server.get("/v1/models/%s/versions/1" % model).json["preprocessing"]
    assert [t["name"] for t in pre["targets"]] == ["price", "tall"] and pre["outputs"] == [{"name": "", "targets": 2}]


def test_an_output_for_each_target(server):
    """Classes and numbers of one trunk: outputs are created, named after their columns, with a loss, metrics and predictions each."""
    model = unique("each")
    job = server.train(model={"name": model, "layers": [DENSE]}, dataset=upload(server, two_targets()), target=["price", "kind"], features=["a", "b"],
                       epochs=150, seed=3, optimizer={"type": "adam", "learning_rate": 0.01}, early_stopping={"metric": "val_kind_accuracy", "patience": 50})
    assert job["task"] == {"price": "regression", "kind": "classification"}
    assert job["definition"]["outputs"] == ["price", "kind"]
    assert {k: v["type"] for k, v in job["definition"]["loss"].items()} == {"price": "mse", "kind": "binary_cross_entropy"}
    assert job["loss_unit"] == "nats and standardised targets, added up"
    assert {"loss", "val_loss", "price_loss", "val_price_loss", "kind_loss", "val_kind_loss", "price_mae", "val_price_r2", "kind_accuracy",
            "val_kind_accuracy"} <= set(job["metrics"])
    assert math.isclose(job["metrics"]["loss"], job["metrics"]["price_loss"] + job["metrics"]["kind_loss"], rel_tol=1e-6)
    assert job["best"]["metric"] == "val_kind_accuracy" and job["best"]["value"] > 0.93
    got = server.predict(model, [{"a": 1, "b": 1}])[0]["outputs"]
    assert got["kind"]["label"] == "up" and set(got["kind"]["probabilities"]) == {"up", "down"} and abs(got["price"]["value"] - 8) < 2


def test_outputs_named_by_the_request(server):
    """The layers are the user's own, in a graph; loss, weights and metrics by output."""
    model = unique("named")
    definition = {"name": model, "layers": [{**DENSE, "name": "trunk"}, {"type": "dense", "units": 8, "activation": "relu", "name": "left", "inputs": ["trunk"]},
                                            {"type": "dense", "units": 1, "name": "cost", "inputs": ["left"]},
                                            {"type": "dense", "units": 2, "activation": "softmax", "name": "way", "inputs": ["trunk"]}],
                  "loss": {"cost": {"type": "huber", "delta": 2}}, "loss_weights": {"way": 0.25}, "metrics": {"cost": ["rmse"], "way": ["f1", "accuracy"]}}
    job = server.train(model=definition, dataset=upload(server, two_targets()), target={"cost": "price", "way": "kind"}, features=["a", "b"], epochs=60, seed=3)
    assert {k: v["type"] for k, v in job["definition"]["loss"].items()} == {"cost": "huber", "way": "cross_entropy"}
    assert {"cost_rmse", "way_f1", "way_accuracy", "val_way_f1"} <= set(job["metrics"]) and "cost_mae" not in job["metrics"]
    assert math.isclose(job["metrics"]["loss"], job["metrics"]["cost_loss"] + 0.25 * job["metrics"]["way_loss"], rel_tol=1e-6)
    assert set(server.predict(model, [{"a": 1, "b": 1}])[0]["outputs"]) == {"cost", "way"}


def test_wrong_targets_have_their_place(server):
    data = upload(server, two_targets(40))
    base = {"model": {"layers": [DENSE]}, "dataset": data, "features": ["a", "b"]}
    cases = [({"target": ["price", "prise"]}, "/target/1", '"price"'), ({"target": {"cost": ["kind", "price"]}}, "/target/cost/0", "numbers"),
             ({"target": "price", "class_weights": "balanced"}, "/class_weights", "number"),
             ({"target": "kind", "class_weights": {"upp": 2}}, "/class_weights/upp", '"up"'), ({"target": "kind", "class_weights": {"up": -1}}, "/class_weights/up", "-1"),
             ({"target": "kind", "class_weights": {"up": 0, "down": 0}}, "/class_weights", "positive weight"), ({"target": "kind", "class_weights": 3}, "/class_weights", "3"),
             ({"target": "kind", "sample_weight": "wait"}, "/sample_weight", "no column"), ({"target": "kind", "sample_weight": "a"}, "/sample_weight", "negative"),
             ({"target": "kind", "mixup": -1}, "/mixup", "-1"), ({"target": "kind", "ema": 1}, "/ema", "1"), ({"target": "kind", "schedule": "cosin"}, "/schedule", "cosine"),
             ({"target": "kind", "optimizer": "lbfgs", "mixup": 0.2}, "/mixup", "lbfgs"), ({"target": "kind", "precision": "half"}, "/precision", "bfloat16"),
             ({"target": "kind", "optimizer": {"type": "lbfgs", "learning_rate": "auto"}}, "/optimizer", "itself"),
             ({"target": "kind", "early_stopping": {"metric": "val_acuracy"}}, "/early_stopping/metric", "val_accuracy"),
             ({"target": ["price", "kind"], "model": {"layers": [DENSE], "loss": {"cost": "mse"}}}, "/model/loss/cost", "cost"),
             ({"target": ["price", "kind"], "model": {"layers": [DENSE], "metrics": ["top_k_accuracy"], "outputs": ["dense_1", "dense_2"]}}, "/model/outputs/1", "dense_1"),
             ({"target": "kind", "model": {"layers": [{**DENSE, "trainable": "no"}]}}, "/model/layers/0/trainable", "no")]
    for more, pointer, words in cases:
        answer = server.post("/v1/jobs", {**base, **more})
        assert answer.status == 422, (more, answer)
        assert any(e["pointer"] == pointer and words in e["detail"] for e in answer.json["errors"]), (more, answer.json["errors"])


def test_an_autoencoder_of_a_tensor(server):
    """A tensor column is feature and target at once; predictions are nested as it is."""
    draw, model = random.Random(4), unique("auto")
    rows = [[[a, b], [a + b, a - b]] for a, b in ((draw.gauss(0, 1), draw.gauss(0, 1)) for _ in range(200))]
    data = unique("tensors")
    assert server.post("/v1/datasets", {"name": data, "columns": {"image": rows}}).status == 201
    job = server.train(model={"name": model, "layers": [{"type": "flatten"}, {"type": "dense", "units": 2}, {"type": "dense", "units": 4}]}, dataset=data,
                       target="image", features=["image"], epochs=200, seed=1, optimizer={"type": "adam", "learning_rate": 0.02})
    assert job["metrics"]["val_r2"] > 0.99
    got = server.predict(model, [{"image": [[1, 2], [3, -1]]}])[0]["values"]
    assert all(abs(x - y) < 0.3 for row, wanted in zip(got, [[1, 2], [3, -1]]) for x, y in zip(row, wanted))


def test_balanced_classes_are_found(server):
    """One row in twenty is of the rare class and overlaps with the others: weighed by its rarity it is recalled more often."""
    draw = random.Random(2)
    x = [draw.gauss(0, 1) for _ in range(1000)]
    kind = ["rare" if v > 1.2 and draw.random() < 0.5 else "common" for v in x]
    data = upload(server, {"x": x, "kind": kind})
    recall = {}
    for weights in (None, "balanced", {"rare": 10}):
        job = server.train(model={"layers": [{"type": "dense", "units": 8, "activation": "relu"}], "metrics": ["recall", "balanced_accuracy"]}, dataset=data,
                           target="kind", epochs=60, seed=5, class_weights=weights, optimizer={"type": "adam", "learning_rate": 0.02})
        recall[str(weights)] = job["metrics"]["val_balanced_accuracy"]
    assert recall["balanced"] > recall["None"] + 0.1 and recall["{'rare': 10}"] > recall["None"] + 0.1


def test_rows_of_weight_zero_have_no_effect(server):
    """Rows with wrong values and weight 0 leave the others' line alone; the column is no feature."""
    x = noise(200, 3)
    y = [5.0 if i % 4 == 0 else 2 * v + 1.25 for i, v in enumerate(x)]
    data = upload(server, {"x": x, "y": y, "w": [0 if i % 4 == 0 else 1 for i in range(200)]})
    model = unique("weighted")
    job = server.train(model={"name": model, "layers": []}, dataset=data, target="y", sample_weight="w", epochs=60, seed=1, optimizer="lbfgs")
    assert job["features"] == ["x"]
    assert abs(server.predict(model, [{"x": 3}])[0]["value"] - 7.25) < 0.01
    assert server.get("/v1/models/%s/versions/1" % model).json["preprocessing"]["sample_weight"] == "w"


def test_schedules_show_their_rate(server):
    job = server.train(model={"layers": [DENSE]}, dataset="iris", target="class", epochs=9, seed=1, schedule={"type": "step", "step_size": 3, "gamma": 0.5},
                       optimizer={"type": "sgd", "learning_rate": 0.1})
    history = server.get("/v1/jobs/%s/metrics?names=learning_rate" % job["id"]).json["data"]
    assert [round(p["learning_rate"], 6) for p in history] == [0.1] * 3 + [0.05] * 3 + [0.025] * 3


def test_a_rate_that_is_looked_for(server):
    model = unique("range")
    job = server.train(model={"name": model, "layers": [DENSE]}, dataset="iris", target="class", epochs=30, seed=1, optimizer={"type": "adam", "learning_rate": "auto"})
    assert job["options"]["optimizer"]["learning_rate"] == "auto" and job["metrics"]["accuracy"] > 0.9
    found = server.get("/v1/models/%s/versions/1" % model).json["learning_rate"]
    assert 1e-5 < found < 1 and math.isclose(job["metrics"]["learning_rate"], found, rel_tol=1e-6)
    told = [e for e in server.get("/v1/jobs/%s/events?limit=1000" % job["id"]).json["data"] if e["type"] == "log" and "range test" in e["message"]]
    assert len(told) == 1 and len(told[0]["data"]["curve"]) >= 20 and math.isclose(told[0]["data"]["learning_rate"], found, rel_tol=1e-6)
    rates = [p["learning_rate"] for p in told[0]["data"]["curve"]]
    assert rates == sorted(rates)


def test_frozen_layers_stay(server):
    """The kernel of a frozen layer is what its initializer gave; the others move; fewer numbers are trained."""
    model = unique("frozen")
    layers = [{**DENSE, "name": "still", "trainable": False, "kernel_initializer": "ones"}, {"type": "dense", "units": 4, "activation": "tanh", "name": "moving"}]
    job = server.train(model={"name": model, "layers": layers}, dataset="iris", target="class", epochs=20, seed=1)
    assert job["parameters"] - job["trainable_parameters"] == 4 * 16 + 16
    version = server.get("/v1/models/%s/versions/1" % model).json
    assert version["definition"]["layers"][0]["trainable"] is False and version["trainable_parameters"] == job["trainable_parameters"]
    health = [e for e in server.get("/v1/jobs/%s/events?limit=1000" % job["id"]).json["data"] if e["type"] == "metrics"][-1]["data"]["layers"]
    assert "weight_norm" not in health[0] and health[1]["update_norm"] > 0


def test_factors_and_schedules_of_regularisation(server):
    """They are kept as written, and change what is trained; a factor that has no effect is named."""
    layers = [{"type": "scale", "learning_rate_factor": 6, "weight_decay_factor": 0}, {**DENSE, "bias_learning_rate_factor": 0.1}, {"type": "dropout", "rate": 0.2}]
    options = {"optimizer": {"type": "adamw", "learning_rate": 0.01, "weight_decay": 0.02, "weight_decay_on": "kernels"}, "schedule": "coslog4",
               "dropout_schedule": "flat_cosine", "weight_decay_schedule": {"type": "flat_cosine", "flat": 0.25}}
    job = server.train(model={"layers": layers}, dataset="iris", target="class", epochs=30, seed=1, **options)
    assert job["metrics"]["val_accuracy"] > 0.85 and job["options"]["optimizer"]["weight_decay_on"] == "kernels"
    assert job["options"]["dropout_schedule"] == {"type": "flat_cosine", "warmup_epochs": 0, "flat": 0.5, "minimum": 0}
    assert job["options"]["weight_decay_schedule"] == {"type": "flat_cosine", "warmup_epochs": 0, "flat": 0.25, "minimum": 0}
    kept = job["definition"]["layers"]
    assert kept[0]["learning_rate_factor"] == 6 and kept[0]["weight_decay_factor"] == 0 and kept[1]["bias_learning_rate_factor"] == 0.1 and "learning_rate_factor" not in kept[1]
    assert any("weight_decay_factor of layer" in w for w in remarks(server.train(model={"layers": layers}, dataset="iris", target="class", epochs=1, seed=1)))
    for layer, pointer, words in (({"learning_rate_factor": 0}, "learning_rate_factor", '"trainable":false'), ({"weight_decay_factor": -1}, "weight_decay_factor", "at least 0"),
                                  ({"bias_learning_rate_factor": "x"}, "bias_learning_rate_factor", "above 0")):
        got = pointers(server.post("/v1/jobs", {"model": {"layers": [{**DENSE, **layer}]}, "dataset": "iris", "target": "class"}))
        assert words in got["/model/layers/0/" + pointer]
    got = pointers(server.post("/v1/jobs", {"model": {"layers": [DENSE]}, "dataset": "iris", "target": "class", "dropout_schedule": "cosine"}))
    assert "no layer has dropout" in got["/dropout_schedule"]


def test_events_report_the_health_of_layers(server):
    job = server.train(model={"layers": [DENSE, {"type": "dense", "units": 8, "activation": "tanh"}]}, dataset="iris", target="class", epochs=5, seed=1)
    events = [e["data"] for e in server.get("/v1/jobs/%s/events?limit=1000" % job["id"]).json["data"] if e["type"] == "metrics"]
    assert len(events) == 5
    for data in events:
        first, second, last = data["layers"]
        assert first["layer"] == "dense_1" and 0 <= first["dead"] <= 1 and "saturated" not in first
        assert 0 <= second["saturated"] <= 1 and "dead" not in second and abs(second["mean"]) <= 1
        for layer in data["layers"]:
            assert layer["weight_norm"] > 0 and layer["gradient_norm"] > 0
            assert math.isclose(layer["ratio"], layer["update_norm"] / layer["weight_norm"], rel_tol=1e-5)


def test_problems_of_a_training_are_warned_of(server):
    """A rate far too high for this loss: the job warns once, with a suggestion."""
    job = server.train(model={"layers": [{"type": "dense", "units": 16, "activation": "sigmoid"}] * 2}, dataset="iris", target="class", epochs=60, seed=1,
                       batch_size=64, optimizer={"type": "adam", "learning_rate": 3})
    texts = [w for w in job["warnings"] if "learning rate too high" in w or "saturated units" in w]
    assert texts and all("try" in t for t in texts) and len(set(job["warnings"])) == len(job["warnings"])
    logged = [e["message"] for e in server.get("/v1/jobs/%s/events?limit=1000" % job["id"]).json["data"] if e["type"] == "log" and e["level"] == "warning"]
    assert set(texts) <= set(logged)


def test_overfitting_is_reported(server):
    draw = random.Random(6)
    data = upload(server, {**{"x%d" % k: [draw.gauss(0, 1) for _ in range(60)] for k in range(8)}, "y": [draw.choice("ab") for _ in range(60)]})
    job = server.train(model={"layers": [{"type": "dense", "units": 64, "activation": "relu"}]}, dataset=data, target="y", epochs=150, seed=1,
                       optimizer={"type": "adam", "learning_rate": 0.01})
    assert [w for w in job["warnings"] if w.startswith("overfitting:") and "early_stopping" in w]


def test_everything_at_once_survives_a_kill(server, tmp_path):
    """Batch norm, a schedule that remembers, accumulation, moving average, mixup, clipping: the same seed gives the same bits twice."""
    names = [unique("all") for _ in range(2)]
    layers = [DENSE, {"type": "batch_norm"}, {"type": "activation", "activation": "prelu"}, {"type": "dropout", "rate": 0.1}]
    for name in names:
        server.train(model={"name": name, "layers": layers}, dataset="iris", target="class", epochs=12, seed=9, batch_size=8, ema=0.9, mixup=0.3, l1=1e-5,
                     l2=1e-4, max_norm=2, gradient_clip_value=0.5, gradient_clip_norm=1, gradient_accumulation_steps=3,
                     schedule={"type": "reduce_on_plateau", "patience": 1}, class_weights="balanced")
    assert server.weights(names[0]) == server.weights(names[1])


def test_lbfgs_fits_a_small_network(server):
    job = server.train(model={"layers": [{"type": "dense", "units": 8, "activation": "tanh"}]}, dataset="iris", target="class", epochs=60, seed=1, optimizer="lbfgs")
    assert job["metrics"]["loss"] < 0.06 and job["metrics"]["val_accuracy"] > 0.9


def test_precision_auto_always_trains(server):
    job = server.train(model={"layers": [DENSE]}, dataset="iris", target="class", epochs=3, seed=1, precision="auto")
    assert job["options"]["precision"] == "auto" and job["status"] == "succeeded"


def test_sequences_of_different_lengths(server):
    """Shorter sequences are padded when types give the longest; a masked lstm reads what is there: padding by hand predicts the same."""
    draw, model, data = random.Random(8), unique("lengths"), unique("sequences")
    rows = [[[draw.gauss(0, 1)] for _ in range(draw.randint(2, 6))] for _ in range(300)]
    body = {"name": data, "columns": {"s": rows, "y": ["up" if sum(v[0] for v in row) > 0 else "down" for row in rows]},
            "types": {"s": {"type": "tensor", "shape": [6, 1]}}}
    assert server.post("/v1/datasets", body).status == 201
    job = server.train(model={"name": model, "layers": [{"type": "masking"}, {"type": "lstm", "units": 8, "bidirectional": True}]}, dataset=data, target="y",
                       epochs=40, seed=2, optimizer={"type": "adam", "learning_rate": 0.01})
    assert job["metrics"]["val_accuracy"] > 0.9
    short, padded, longer = [[1.5], [-0.25]], [[1.5], [-0.25]] + [[None]] * 4, [[1.5]] * 7
    first, second = server.predict(model, [{"s": short}, {"s": padded}])
    assert first == second and first["label"] == "up"
    answer = server.post("/v1/models/%s/predict" % model, {"instances": [{"s": longer}]})
    assert answer.status == 422 and "(6, 1)" in answer.json["errors"][0]["detail"]


def test_embeddings_read_indices_as_they_are(server):
    """Two words mean yes; index 0 is padding. An index beyond the embedding is refused before anything runs."""
    draw, model, data = random.Random(9), unique("words"), unique("texts")
    rows = [[draw.randint(1, 7) for _ in range(5)] for _ in range(300)]
    body = {"name": data, "columns": {"t": rows, "y": ["yes" if 3 in row or 5 in row else "no" for row in rows]}}
    assert server.post("/v1/datasets", body).status == 201
    layers = [{"type": "embedding", "input_dim": 8, "output_dim": 4, "mask_zero": True}, {"type": "global_average_pool"}, DENSE]
    job = server.train(model={"name": model, "layers": layers}, dataset=data, target="y", epochs=60, seed=2, optimizer={"type": "adam", "learning_rate": 0.02})
    assert job["metrics"]["val_accuracy"] > 0.95
    assert server.get("/v1/models/%s/versions/1" % model).json["preprocessing"]["features"][0]["scale"] == "none"
    assert [p["label"] for p in server.predict(model, [{"t": [1, 2, 3, 4, 1]}, {"t": [1, 2, 0, 0, 0]}])] == ["yes", "no"]
    small = [{**layers[0], "input_dim": 6}, *layers[1:]]
    answer = server.post("/v1/jobs", {"model": {"layers": small}, "dataset": data, "target": "y"})
    assert answer.status == 422 and "from 0 to 5" in answer.json["errors"][0]["detail"] and answer.json["errors"][0]["pointer"] == "/features"
