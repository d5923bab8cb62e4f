"""Goal: the memory of a job's process is the estimate, within a tenth: weights, gradients, optimizer, activations, data; until the model is written."""
import pytest

import harness

NETWORKS = {
    "wide": [{"type": "dense", "units": 3000, "activation": "relu"}, {"type": "dense", "units": 2000, "activation": "relu"}],
    "deep": [{"type": "dense", "units": 256, "activation": "tanh"}] * 12,
    "images": [{"type": "reshape", "target_shape": [5, 6, 1]}, {"type": "conv2d", "filters": 64, "kernel_size": 3, "padding": "same", "activation": "relu"},
               {"type": "conv2d", "filters": 128, "kernel_size": 3, "padding": "same", "activation": "relu"}, {"type": "flatten"}],
    "sequences": [{"type": "reshape", "target_shape": [10, 3]}, {"type": "lstm", "units": 300}],
}


def peak_of(server, job):
    """The job at its end, and the largest resident memory of its process."""
    peak = 0
    while job["status"] not in harness.FINAL:
        peak = max(peak, server.resident_peak())
        job = server.get("/v1/jobs/" + job["id"]).json
    return job, peak


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_memory_equals_the_estimate(fresh, name, precision):
    server = fresh("--workers", "1")
    if server.sanitized():
        pytest.skip("a sanitizer takes memory of its own")
    server.upload("breast_cancer", harness.DATA / "breast_cancer.csv")
    more = {"dataset": "breast_cancer", "target": "class", "epochs": 3, "batch_size": 128, "precision": precision, "optimizer": "adam"}
    checked = server.post("/v1/models/validate", {"definition": {"layers": NETWORKS[name]}, **more})
    if checked.status == 422 and precision == "bfloat16":
        pytest.skip(checked.json["detail"])
    job, peak = peak_of(server, server.submit(model={"layers": NETWORKS[name]}, **more))
    assert job["status"] == "succeeded", job
    assert checked.json["memory_bytes"] == pytest.approx(peak, rel=0.1)
