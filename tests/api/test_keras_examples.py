"""Goal: networks of Keras's documentation and code examples, with the layers' names here, are accepted and have the shapes that Keras has."""
import pytest

from harness import unique


def conv(filters, size, **more):
    return {"type": "conv2d", "filters": filters, "kernel_size": size, **more}


def relu(**more):
    return {"type": "activation", "activation": "relu", **more}


SAME = {"padding": "same"}
EXAMPLES = {
    "convolutional autoencoder": ([28, 28, 1], [conv(32, 3, **SAME, activation="relu"), {"type": "max_pool2d", "padding": "same"}, conv(32, 3, **SAME, activation="relu"), {"type": "max_pool2d", "padding": "same"},
                                                {"type": "conv2d_transpose", "filters": 32, "kernel_size": 3, "strides": 2, "activation": "relu", **SAME},
                                                {"type": "conv2d_transpose", "filters": 32, "kernel_size": 3, "strides": 2, "activation": "relu", **SAME}, conv(1, 3, **SAME, activation="sigmoid")], [28, 28, 1], 28353),
    "time series autoencoder": ([288, 1], [{"type": "conv1d", "filters": 32, "kernel_size": 7, "padding": "same", "strides": 2, "activation": "relu"}, {"type": "dropout", "rate": 0.2},
                                           {"type": "conv1d", "filters": 16, "kernel_size": 7, "padding": "same", "strides": 2, "activation": "relu"},
                                           {"type": "conv1d_transpose", "filters": 16, "kernel_size": 7, "padding": "same", "strides": 2, "activation": "relu"}, {"type": "dropout", "rate": 0.2},
                                           {"type": "conv1d_transpose", "filters": 32, "kernel_size": 7, "padding": "same", "strides": 2, "activation": "relu"},
                                           {"type": "conv1d_transpose", "filters": 1, "kernel_size": 7, "padding": "same"}], [288, 1], 9505),
    "DCGAN generator": ([128], [{"type": "dense", "units": 8 * 8 * 128}, {"type": "reshape", "target_shape": [8, 8, 128]}, {"type": "conv2d_transpose", "filters": 128, "kernel_size": 4, "strides": 2, **SAME},
                                {"type": "activation", "activation": {"type": "leaky_relu", "negative_slope": 0.2}}, {"type": "conv2d_transpose", "filters": 256, "kernel_size": 4, "strides": 2, **SAME},
                                {"type": "conv2d_transpose", "filters": 512, "kernel_size": 4, "strides": 2, **SAME}, conv(3, 5, **SAME, activation="sigmoid")], [64, 64, 3], None),
    "VAE decoder": ([2], [{"type": "dense", "units": 7 * 7 * 64, "activation": "relu"}, {"type": "reshape", "target_shape": [7, 7, 64]}, {"type": "conv2d_transpose", "filters": 64, "kernel_size": 3, "strides": 2, "activation": "relu", **SAME},
                          {"type": "conv2d_transpose", "filters": 32, "kernel_size": 3, "strides": 2, "activation": "relu", **SAME}, {"type": "conv2d_transpose", "filters": 1, "kernel_size": 3, "activation": "sigmoid", **SAME}], [28, 28, 1], 65089),
    "Xception block for segmentation": ([32, 32, 3], [conv(32, 3, strides=2, **SAME, name="previous"), relu(), {"type": "separable_conv2d", "filters": 64, "kernel_size": 3, **SAME}, {"type": "batch_norm"}, relu(),
                                                      {"type": "separable_conv2d", "filters": 64, "kernel_size": 3, **SAME}, {"type": "batch_norm"}, {"type": "max_pool2d", "pool_size": 3, "strides": 2, **SAME, "name": "block"},
                                                      conv(64, 1, strides=2, **SAME, inputs=["previous"], name="residual"), {"type": "add", "inputs": ["block", "residual"]},
                                                      {"type": "upsampling2d", "size": 2, "interpolation": "bilinear"}, {"type": "conv2d_transpose", "filters": 8, "kernel_size": 3, "strides": 2, **SAME}], [32, 32, 8], None),
    "squeeze and excitation": ([8, 8, 16], [{"type": "global_average_pool"}, {"type": "dense", "units": 4, "activation": "relu"}, {"type": "dense", "units": 16, "activation": "sigmoid"},
                                            {"type": "reshape", "target_shape": [1, 1, 16], "name": "gate"}, {"type": "multiply", "inputs": ["input", "gate"]}], [8, 8, 16], 148),
    "MobileNet": ([32, 32, 3], [{"type": "zero_padding2d", "padding": [[0, 1], [0, 1]]}, conv(32, 3, strides=2, use_bias=False), {"type": "batch_norm"}, relu(),
                                {"type": "depthwise_conv2d", "kernel_size": 3, "use_bias": False, **SAME}, {"type": "batch_norm"}, relu(), conv(64, 1, use_bias=False, **SAME), {"type": "batch_norm"}, relu(),
                                {"type": "zero_padding2d", "padding": [[0, 1], [0, 1]]}, {"type": "depthwise_conv2d", "kernel_size": 3, "strides": 2, "use_bias": False},
                                {"type": "spatial_dropout", "rate": 0.1}, {"type": "global_average_pool"}], [64], None),
    "WaveNet block": ([64, 4], [{"type": "conv1d", "filters": 16, "kernel_size": 2, "padding": "causal", "name": "x"}, {"type": "conv1d", "filters": 16, "kernel_size": 2, "padding": "causal", "dilation_rate": 4, "activation": "tanh", "name": "filter"},
                                {"type": "conv1d", "filters": 16, "kernel_size": 2, "padding": "causal", "dilation_rate": 4, "activation": "sigmoid", "inputs": ["x"], "name": "gate"}, {"type": "multiply", "inputs": ["filter", "gate"]},
                                {"type": "conv1d", "filters": 16, "kernel_size": 1, "name": "skip"}, {"type": "add", "inputs": ["x", "skip"]}], [64, 16], None),
    "sequence autoencoder": ([20, 3], [{"type": "lstm", "units": 32, "dropout": 0.1, "recurrent_dropout": 0.1}, {"type": "repeat_vector", "n": 20}, {"type": "lstm", "units": 32, "return_sequences": True}, {"type": "dense", "units": 3}], [20, 3], 13027),
    "transformer decoder": ([16], [{"type": "embedding", "input_dim": 100, "output_dim": 32}, {"type": "position_embedding", "name": "x"}, {"type": "multi_head_attention", "num_heads": 2, "key_dim": 16, "use_causal_mask": True, "dropout": 0.1},
                                   {"type": "add", "inputs": ["x", "multi_head_attention_1"]}, {"type": "layer_norm", "name": "y"}, {"type": "cropping1d", "cropping": [4, 0], "inputs": ["x"], "name": "encoded"},
                                   {"type": "multi_head_attention", "num_heads": 2, "key_dim": 16, "inputs": ["y", "encoded"]}, {"type": "add", "inputs": ["y", "multi_head_attention_2"]}, {"type": "rms_norm"}], [16, 32], None),
    "MLP-Mixer": ([16, 24], [{"type": "layer_norm"}, {"type": "permute", "dims": [2, 1]}, {"type": "dense", "units": 16, "activation": "gelu"}, {"type": "dense", "units": 16}, {"type": "permute", "dims": [2, 1], "name": "mixed"},
                             {"type": "add", "inputs": ["input", "mixed"]}, {"type": "group_norm", "groups": 8}, {"type": "global_average_pool"}], [24], None),
    "matrix factorisation": ([2], [{"type": "embedding", "input_dim": 50, "output_dim": 8}, {"type": "cropping1d", "cropping": [0, 1], "name": "user"},
                                   {"type": "cropping1d", "cropping": [1, 0], "inputs": ["embedding_1"], "name": "film"}, {"type": "flatten", "inputs": ["user"], "name": "u"}, {"type": "flatten", "inputs": ["film"], "name": "f"},
                                   {"type": "dot", "axes": 1, "inputs": ["u", "f"]}, {"type": "activation", "activation": "sigmoid"}], [1], 400),
    "Siamese distance": ([6, 4], [{"type": "cropping1d", "cropping": [0, 3], "name": "left"}, {"type": "cropping1d", "cropping": [3, 0], "inputs": ["input"], "name": "right"}, {"type": "subtract", "inputs": ["left", "right"], "name": "d"},
                                  {"type": "multiply", "inputs": ["d", "d"]}, {"type": "minimum", "inputs": ["left", "right"], "name": "low"}, {"type": "average", "inputs": ["multiply_1", "low", "d"]}, {"type": "flatten"},
                                  {"type": "dense", "units": 1, "activation": "sigmoid"}], [1], 13),
    "attention by hand": ([5, 4], [{"type": "dot", "axes": 2, "inputs": ["input", "input"], "normalize": True}, {"type": "activation", "activation": "softmax", "name": "weights"}, {"type": "dot", "axes": [2, 1], "inputs": ["weights", "input"]},
                                   {"type": "cropping1d"}], [3, 4], 0),
    "depthwise filters of a sequence": ([30, 4], [{"type": "zero_padding1d", "padding": [2, 0]}, {"type": "depthwise_conv1d", "kernel_size": 3, "depth_multiplier": 2}, {"type": "separable_conv1d", "filters": 6, "kernel_size": 3, **SAME},
                                                  {"type": "upsampling1d", "size": 2}], [60, 6], 8 * 3 + 8 + 3 * 8 + 8 * 6 + 6),
    "cropped image": ([9, 8, 2], [{"type": "cropping2d", "cropping": [[1, 2], [0, 3]]}, conv(2, 3, padding="valid")], [4, 3, 2], 38),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(server, name):
    shape, layers, expected, parameters = EXAMPLES[name]
    answer = server.post("/v1/models/validate", {"definition": {"layers": layers, "inputs": {"input": {"shape": shape}}}})
    assert answer.status == 200, answer.json
    assert answer.json["layers"][-1]["output_shape"] == expected and answer.json["complete"]
    assert parameters is None or answer.json["parameters"] == parameters


def test_a_gate_over_channels_trains(server):
    """Broadcasting, a transposed convolution and attention over two inputs in one job, and predictions that do not depend on the batch."""
    name = unique("gates")
    rows = [{"x": [[[(i * 7 + r * 3 + c) % 5 / 5] for c in range(4)] for r in range(4)], "y": i % 3} for i in range(30)]
    layers = [conv(4, 3, **SAME, activation="relu", name="a"), {"type": "global_average_pool"}, {"type": "dense", "units": 4, "activation": "sigmoid", "name": "gate"}, {"type": "multiply", "inputs": ["a", "gate"]},
              {"type": "conv2d_transpose", "filters": 4, "kernel_size": 2, "strides": 2}, {"type": "group_norm", "groups": 2}, {"type": "depthwise_conv2d", "kernel_size": 3}, {"type": "separable_conv2d", "filters": 4, "kernel_size": 2},
              {"type": "reshape", "target_shape": [25, 4], "name": "s"}, {"type": "cropping1d", "cropping": [0, 5]}, {"type": "position_embedding", "name": "t"}, {"type": "multi_head_attention", "num_heads": 2, "dropout": 0.1, "inputs": ["t", "s"]},
              {"type": "gru", "units": 6, "recurrent_dropout": 0.1}]
    job = server.train(model={"name": name, "layers": layers}, dataset={"records": rows, "types": {"x": {"type": "tensor", "shape": [4, 4, 1]}}}, target="y", task="classification", epochs=3, seed=1)
    assert job["metrics"]["loss"] > 0
    instances = [{"x": row["x"]} for row in rows[:9]]
    together = [p["probabilities"] for p in server.predict(name, instances)]
    for instance, whole in zip(instances, together):
        assert server.predict(name, [instance])[0]["probabilities"] == pytest.approx(whole, abs=1e-5)
