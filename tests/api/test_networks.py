"""Goal: networks of several kinds, defined in JSON and trained over HTTP, score on held-out rows as the same networks do in PyTorch (peer_networks.py,
whose figures stand here)."""
import csv
import statistics

import pytest

import harness
from harness import unique

# mean, spread over five seeds, of PyTorch 1.13.1
PEER_RESIDUAL, PEER_LSTM, PEER_ENCODER = (0.8378, 0.0799), (0.9401, 0.0045), (0.8947, 0.0173)
RESIDUAL = [{"type": "conv2d", "filters": 16, "kernel_size": 3, "padding": "same"}, {"type": "batch_norm"}, {"type": "activation", "activation": "relu", "name": "r"},
            {"type": "conv2d", "filters": 16, "kernel_size": 3, "padding": "same"}, {"type": "batch_norm", "name": "b"}, {"type": "add", "inputs": ["b", "r"]},
            {"type": "activation", "activation": "relu"}, {"type": "global_average_pool"}]
LSTM = [{"type": "reshape", "target_shape": [8, 8]}, {"type": "lstm", "units": 24, "bidirectional": True}]
ENCODER = [{"type": "reshape", "target_shape": [8, 8]}, {"type": "dense", "units": 16}, {"type": "positional_encoding", "name": "a"},
           {"type": "multi_head_attention", "num_heads": 2, "name": "m"}, {"type": "add", "inputs": ["a", "m"]}, {"type": "layer_norm", "name": "n"},
           {"type": "dense", "units": 32, "activation": "relu"}, {"type": "dense", "units": 16, "name": "f"}, {"type": "add", "inputs": ["n", "f"]},
           {"type": "layer_norm"}, {"type": "global_average_pool"}]


@pytest.fixture(scope="module")
def digits(server):
    rows = list(csv.reader((harness.DATA / "digits.csv").open()))[1:]
    images = [[[[float(v)] for v in row[8 * i:8 * i + 8]] for i in range(8)] for row in rows]
    labels = ["d" + row[-1] for row in rows]
    name = unique("digits")
    assert server.post("/v1/datasets", {"name": name, "columns": {"image": images[:1400], "digit": labels[:1400]}}).status == 201
    return name, images[1400:], labels[1400:]


@pytest.mark.parametrize("layers, epochs, rate, peer", [(RESIDUAL, 25, 0.003, PEER_RESIDUAL), (LSTM, 25, 0.005, PEER_LSTM), (ENCODER, 40, 0.003, PEER_ENCODER)], ids=["residual", "lstm", "encoder"])
def test_as_in_pytorch(server, digits, layers, epochs, rate, peer):
    data, images, labels = digits
    scores = []
    for seed in range(5):
        name = unique("network")
        server.train(model={"name": name, "layers": layers}, dataset=data, target="digit", epochs=epochs, seed=seed, validation={"fraction": 0},
                     optimizer={"type": "adam", "learning_rate": rate})
        got = server.predict(name, [{"image": image} for image in images])
        scores.append(sum(p["label"] == label for p, label in zip(got, labels)) / len(labels))
    mean, spread = peer
    assert statistics.mean(scores) > mean - 2 * spread / 5 ** 0.5 - 0.01, scores
