"""Goal: the result of a batch as an array of NumPy has the numbers that CSV has, a row for each row of the dataset, whatever failed, was killed or ran side by side."""
import csv
import io
import random

import numpy
import pytest

import harness
from harness import pointers, unique
from test_batches import batch, durable_rows, slow, submit

NETWORK = {"layers": [{"type": "dense", "units": 8, "activation": "relu"}]}


def raw(server, job, part="result"):
    answer = server.get("/v1/batches/%s/%s" % (job["id"], part))
    assert answer.status == 200, answer
    return answer


def array(server, job):
    answer = raw(server, job)
    assert answer.headers["Content-Type"] == "application/x-npy" and 'filename="%s-predictions.npy"' % job["id"] in answer.headers["Content-Disposition"]
    assert (answer.body.index(b"\n") + 1) % 64 == 0  # as NEP 1 wants it
    return numpy.load(io.BytesIO(answer.body), allow_pickle=False)


def columns(text, names):
    """Those columns of CSV, by the number of the row; an empty cell is not a number."""
    return {int(row["row"]): [float(row[name] or "nan") for name in names] for row in csv.DictReader(io.StringIO(text, newline=""))}


def same(server, **body):
    """The array of a batch, compared with its CSV: the values, their names, their rows."""
    job = batch(server, format="npy", **body)
    found, wanted = array(server, job), columns(raw(server, batch(server, format="csv", **body)).body.decode(), job["columns"])
    assert job["format"] == "npy" and job["keep"] == "none" and found.dtype == numpy.float64 and found.shape == (job["progress"]["rows"], len(job["columns"]))
    for row in range(len(found)):
        if row + 1 not in wanted:
            assert numpy.isnan(found[row]).all(), row
            continue
        for name, got, printed in zip(job["columns"], found[row], wanted[row + 1]):
            assert got == pytest.approx(printed, rel=1e-6, abs=2e-7, nan_ok=True), (row, name)
    return job, found


def rows_of(n, seed=1):
    draw = random.Random(seed)
    lines = []
    for i in range(n):
        x, y = draw.gauss(0, 1), draw.gauss(0, 1)
        lines.append("%d,%.4f,%.4f,%s,%s,%.3f" % (i, x, y, "abc"[(x > 0) + (y > 0)], "yes" if x > y else "no", 1000 + 50 * x - y))
    return "id,x,y,three,two,number\n" + "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def data(server):
    name = unique("arrays")
    server.upload(name, rows_of(700))
    return name


QUANTILES = {"type": "quantile", "quantiles": [0.1, 0.5, 0.9]}
TASKS = [("three", {}, ["probability_a", "probability_b", "probability_c"]), ("two", {}, ["probability_no", "probability_yes"]), ("number", {}, ["value"]),
         ("number", {"loss": QUANTILES}, ["value", "quantiles_0.1", "quantiles_0.5", "quantiles_0.9"]),
         (["three", "number"], {}, ["probability_three_a", "probability_three_b", "probability_three_c", "value_number"])]


@pytest.mark.parametrize("target, options, names", TASKS, ids=["three classes", "two classes", "a number", "quantiles", "two targets"])
def test_the_numbers_of_csv(server, data, target, options, names):
    """700 rows: several blocks, the last one not full."""
    model = unique("array")
    server.train(model={"name": model, **NETWORK, **options}, dataset=data, target=target, features=["x", "y"], epochs=4, seed=2)
    job, found = same(server, model=model, dataset=data)
    assert job["columns"] == names or set(names) <= set(job["columns"]), job["columns"]
    assert numpy.isfinite(found).all()
    if target == "three":
        assert numpy.allclose(found.sum(axis=1), 1, atol=1e-6)


def test_lists_of_labels(server):
    name = unique("labelled")
    draw = random.Random(4)
    server.upload(name, "x,red,blue\n" + "".join("%.3f,%d,%d\n" % (x, x > 0, x > 1) for x in (draw.gauss(0, 1) for _ in range(300))))
    server.train(model={"name": name, **NETWORK, "loss": "binary_cross_entropy"}, dataset=name, target=["red", "blue"], epochs=4, seed=1)
    assert len(same(server, model=name, dataset=name)[0]["columns"]) >= 2


def test_intervals_of_a_calibration(server, data):
    model = unique("bounds")
    server.train(model={"name": model, **NETWORK}, dataset=data, target="number", features=["x", "y"], epochs=10, seed=2, calibrate={"conformal": {"coverage": 0.8}})
    job, found = same(server, model=model, dataset=data)
    assert job["columns"] == ["value", "low", "high"] and (found[:, 1] < found[:, 0]).all() and (found[:, 0] < found[:, 2]).all()
    job, found = same(server, model=model, dataset=data, coverage=0.5)
    assert (found[:, 1] < found[:, 2]).all()


def test_rows_that_fail(server):
    """They are not numbers in the array, and in the failures with their reasons, in CSV; any number of threads writes the same bytes."""
    name = unique("holes")
    lines = rows_of(9000, 3).splitlines()
    for i in (1, 256, 257, 4096, 4097, 9000):
        lines[i] = lines[i].split(",")[0] + ",," + lines[i].split(",", 2)[2]
    server.upload(name, "\n".join(lines) + "\n")
    strict = unique("strict")
    server.upload(strict + "-train", rows_of(200, 5))
    server.train(model={"name": strict, **NETWORK}, dataset=strict + "-train", target="three", features=["x", "y"], epochs=1, seed=2, columns={"x": {"missing": "error"}})
    job, found = same(server, model=strict, dataset=name, threads=1)
    failed = numpy.flatnonzero(numpy.isnan(found).all(axis=1)) + 1
    assert list(failed) == [1, 256, 257, 4096, 4097, 9000] and job["progress"]["failed_rows"] == 6
    reasons = raw(server, job, "failures")
    assert reasons.headers["Content-Type"].startswith("text/csv") and [row["row"] for row in csv.DictReader(io.StringIO(reasons.body.decode()))] == [str(r) for r in failed]
    whole = raw(server, job).body
    for threads in (2, 3):
        assert raw(server, batch(server, model=strict, dataset=name, format="npy", threads=threads)).body == whole
    assert numpy.array_equal(numpy.load(io.BytesIO(whole)), found, equal_nan=True)
    part = server.get("/v1/batches/%s/result" % job["id"], headers={"Range": "bytes=100-"})
    assert part.status == 206 and part.body == whole[100:] and part.headers["Content-Type"] == "application/x-npy"


def test_values_that_are_not_finite(server):
    """The outputs of the network are finite, and what they mean in the unit of the target is not: such a row has failed, in both forms."""
    name = unique("beyond")
    server.upload(name, "x,y\n" + "".join("%.2f,%.3f\n" % (i / 100, 1 + i) for i in range(200)))
    server.upload(name + "-rows", "x\n1\n1e30\n2\n-1e30\n")
    server.train(model={"name": name, "layers": []}, dataset=name, target="y", transform="log", epochs=20, seed=1, columns={"x": {"scale": "none"}})
    job, found = same(server, model=name, dataset=name + "-rows")
    assert job["progress"]["failed_rows"] == 1 and sorted(numpy.isnan(found[[1, 3], 0])) == [False, True] and numpy.isfinite(found[[0, 2]]).all()
    assert b"not a finite number" in raw(server, job, "failures").body


def test_what_is_refused(server, data):
    model = unique("refused")
    server.train(model={"name": model, **NETWORK}, dataset=data, target="two", features=["x", "y"], epochs=1)
    for more, pointer in (({"keep": ["id"]}, "/keep"), ({"keep": "all"}, "/keep"), ({"thresholds": {"yes": 0.7}}, "/thresholds"), ({"format": "npz"}, "/format"), ({"format": 3}, "/format")):
        assert list(pointers(server.post("/v1/batches", {"model": model, "dataset": data, "format": "npy", **more}))) == [pointer]
    for keep in ("extra", "none"):
        assert server.wait(submit(server, model=model, dataset=data, format="npy", keep=keep)["id"])["status"] == "succeeded"
    assert "columns" not in batch(server, model=model, dataset=data)
    images = unique("images")
    draw = numpy.random.default_rng(1)
    stored = io.BytesIO()
    numpy.savez(stored, x=draw.normal(size=(40, 3)), y=draw.normal(size=(40, 2, 2)))
    assert server.raw("POST", "/v1/datasets?name=" + images, stored.getvalue(), {"Content-Type": "application/x-npz"}).status == 201
    server.train(model={"name": images, "layers": [{"type": "dense", "units": 4}, {"type": "reshape", "target_shape": [2, 2]}]}, dataset=images, target="y", epochs=1)
    refused = server.post("/v1/batches", {"model": images, "dataset": images, "format": "npy"})
    assert refused.status == 422 and "tensor" in str(refused.json), refused.json


@harness.again_if_too_late
def test_kill_9_ends_with_the_same_bytes(fresh):
    server = fresh("--workers", "1", "--retry-seconds", "0")
    name = slow(server)
    body = {"model": name, "dataset": name, "format": "npy"}
    expected = raw(server, batch(server, **body)).body
    assert numpy.load(io.BytesIO(expected)).shape == (40000, 2)
    for kill in ("process", "server"):
        job = submit(server, **body)["id"]
        harness.until(lambda: durable_rows(server, job) > 0, what="the first rows on disk")
        if kill == "process":
            server.kill_process_of(job)
        else:
            server.restart(kill=True)
            server.wait(job, lambda j: j["attempt"] > 1)
        ended = server.wait(job)
        assert ended["status"] == "succeeded" and ended["resumed_from_row"] > 0 and raw(server, ended).body == expected, ended


def test_on_the_command_line(server, data, tmp_path):
    model = unique("line")
    server.train(model={"name": model, **NETWORK}, dataset=data, target="two", features=["x", "y"], epochs=1)
    out = tmp_path / "out.npy"
    done = harness.run("batch", "--url", server.url, "--model", model, "--dataset", data, "--format", "npy", "--out", out)
    assert done.returncode == 0 and numpy.load(out).shape == (700, 2), done
    (tmp_path / "rows.csv").write_text(rows_of(3))
    (tmp_path / "model.bpd").write_bytes(server.get("/v1/models/%s/versions/1/export?format=bpd" % model).body)
    refused = harness.run("batch", "--model", tmp_path / "model.bpd", "--data", tmp_path / "rows.csv", "--format", "npy")
    assert refused.returncode == 2 and "npy" in refused.stderr, refused
