"""Goal: data larger than memory trains: in windows, within the bound that was set, to the loss that it has in memory."""
import io

import numpy
import pytest

from harness import remarks, unique

BOUND, ALLOWANCE = 48 << 20, 16 << 20
ROWS, COLUMNS = 640_000, 30  # 154 MB of doubles: three times the bound


def numbers():
    """29 features and a noisy target that depends on some of them, as an NPY file."""
    draw = numpy.random.default_rng(7)
    x = draw.standard_normal((ROWS, COLUMNS))
    x[:, -1] = 2 * numpy.tanh(x[:, 0]) + x[:, 1] * x[:, 2] + draw.standard_normal(ROWS)
    file = io.BytesIO()
    numpy.save(file, x)
    return file.getvalue()


def run(server, **more):
    """The job at its end, and the largest resident memory of its process."""
    job = server.train(model={"name": unique("net"), "layers": [{"type": "dense", "units": 16, "activation": "relu"}]}, dataset="large", target="x29", seed=3,
                       batch_size=128, optimizer={"type": "adam", "learning_rate": 0.003}, **{"epochs": 6, **more})
    return job, server.peak_memory(job["id"])


def test_three_times_the_bound(fresh):
    server = fresh("--workers", "1", "--job-resident-max", str(BOUND))
    answer = server.post("/v1/datasets?name=large", body=numbers(), headers={"Content-Type": "application/x-npy"})
    assert answer.status == 201 and answer.json["bytes"] >= 3 * BOUND, answer
    windows, small = run(server)
    again, _ = run(server, window_rows=windows["options"]["window_rows"])
    assert 8192 <= windows["options"]["window_rows"] < ROWS / 10 and not remarks(windows)
    assert again["metrics"] == windows["metrics"]  # the order is decided by seed and window
    folds, folded = run(server, epochs=2, validation={"folds": 2}, columns={"x1": {"scale": "quantile"}})  # fitted in the job's process, per fold
    assert folds["options"]["window_rows"] >= 8192 and folds["cross_validation"]["std"]["val_loss"] > 0
    tested, afterwards = run(server, epochs=1, test={"fraction": 0.1}, calibrate={"conformal": True})  # rows that are read when the training is over
    assert "test_rmse" in tested["metrics"]
    server.stop()
    server.flags = ["--workers", "1"]
    server.start()
    memory, large = run(server)
    assert memory["options"]["window_rows"] == 0
    for name in "loss", "val_loss":
        assert windows["metrics"][name] == pytest.approx(memory["metrics"][name], rel=0.02)
    if not server.sanitized():
        assert large > 3 * BOUND  # what it takes without a bound
        assert small < BOUND + ALLOWANCE and folded < BOUND + ALLOWANCE and afterwards < BOUND + 2 * ALLOWANCE


def test_small_data_needs_no_windows(fresh):
    server = fresh("--job-resident-max", "64M")
    server.upload("few", "a,b\n" + "\n".join("%d,%d" % (i, 2 * i) for i in range(50)))
    layers = [{"type": "dense", "units": 2}]
    job = server.train(model={"layers": layers}, dataset="few", target="b", task="regression", epochs=2)
    assert job["options"]["window_rows"] == 0
    job = server.submit(model={"layers": layers}, dataset="few", target="b", task="regression", epochs=2, window_rows=16)
    assert job["options"]["window_rows"] == 16


def test_a_bound_that_cannot_be_kept_is_reported(fresh):
    server = fresh("--job-resident-max", "1M")
    server.upload("few", "a,b\n" + "\n".join("%d,%d" % (i, 2 * i) for i in range(50)))
    job = server.train(model={"layers": [{"type": "dense", "units": 2}]}, dataset="few", target="b", task="regression", epochs=2)
    assert job["options"]["window_rows"] == 8192
    assert any("more than job_resident_max, 1 MB" in warning for warning in job["warnings"])
