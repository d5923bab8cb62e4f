"""Goal: no flipped bit and no truncated file changes a result without an error: the job or the request that reads it fails with the code damaged, everything else goes on."""
import os
import pathlib
import random
import shutil
import socket
import sqlite3

import pytest

import harness

SMALL = {"layers": [{"type": "dense", "units": 8, "activation": "relu"}]}
JOB = {"model": SMALL, "dataset": "table", "target": "y", "task": "regression", "epochs": 5, "seed": 1}


def table(rows):
    draw = random.Random(3)
    return "a,b,note,y\n" + "".join("%.6f,%.6f,word%d and a note,%.4f\n" % (draw.random(), draw.random(), i % 97, draw.random()) for i in range(rows))


def dataset_file(server):
    file, = (pathlib.Path(server.folder) / "datasets").glob("*.col")
    return file


def flip(path, at, bit=3):
    """One bit, in place: the file is mapped by its readers."""
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def is_damaged(answer, words="damaged"):
    return answer.status == 500 and answer.json["code"] == "damaged" and words in answer.json["detail"] and "backup" in answer.json["detail"]


def test_flipped_bit_in_a_dataset(fresh):
    """Every request that reads the rows gets 500 damaged; the others work, and so does the dataset once it is repaired."""
    server = fresh()
    server.upload("table", table(3000), "&types=note:text")
    server.upload("other", table(50), "&types=note:text")
    before = server.get("/v1/datasets/table/rows?limit=3").json
    flip(sorted((pathlib.Path(server.folder) / "datasets").glob("*.col"), key=os.path.getsize)[-1], 5000)
    for answer in (server.raw("GET", "/v1/datasets/table/rows?limit=3"), server.raw("GET", "/v1/datasets/table/statistics"),
                   server.raw("POST", "/v1/jobs", harness.json.dumps(JOB), {"Content-Type": "application/json"}),
                   server.raw("POST", "/v1/datasets/table/rows", table(5), {"Content-Type": "text/csv"})):
        assert is_damaged(answer), answer
    with pytest.raises(Exception):  # the response ends before its end
        server.raw("GET", "/v1/datasets/table/rows?format=csv")
    assert server.get("/v1/datasets/table").status == 200 and server.get("/v1/datasets/other/rows?limit=3").status == 200
    assert server.train(**{**JOB, "dataset": "other"})["status"] == "succeeded"
    flip(sorted((pathlib.Path(server.folder) / "datasets").glob("*.col"), key=os.path.getsize)[-1], 5000)
    assert server.get("/v1/datasets/table/rows?limit=3").json == before
    assert server.train(**JOB)["status"] == "succeeded"


def test_dataset_damaged_while_the_job_waits(fresh):
    """The job process finds it, and the job fails with the code; it is not tried again."""
    server = fresh("--workers", "1")
    server.upload("table", table(3000), "&types=note:text")
    server.upload("digits", harness.DATA / "digits.csv")
    first = server.submit(model=SMALL, dataset="digits", target="digit", epochs=1000000, seed=1)
    waiting = server.submit(**JOB)
    server.wait(first["id"], until=lambda job: job["status"] == "running")
    files = sorted((pathlib.Path(server.folder) / "datasets").glob("*.col"), key=os.path.getmtime)
    flip(files[0], os.path.getsize(files[0]) // 2)
    server.post("/v1/jobs/%s/cancel" % first["id"])
    job = server.wait(waiting["id"])
    assert job["status"] == "failed" and job["error"]["code"] == "damaged" and "checksum" in job["error"]["message"] and job["attempt"] == 1, job


def test_file_cut_while_it_is_read(fresh):
    """A download of 20 MB is stopped by its reader, the file loses its end, the reader goes on: the response breaks off, the server does not."""
    server = fresh()
    server.upload("table", table(400000))
    file = dataset_file(server)
    with socket.create_connection((server.host, server.port), timeout=60) as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        reader.sendall(b"GET /v1/datasets/table/rows?format=csv HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got = reader.recv(4096)
        assert b" 200 " in got.split(b"\r\n")[0]
        os.truncate(file, 1 << 16)
        try:
            while piece := reader.recv(1 << 20):
                got += piece
        except ConnectionResetError:
            pass
    assert not got.endswith(b"0\r\n\r\n") and len(got) < 20 << 20
    assert server.get("/livez").status == 200
    answer = server.raw("POST", "/v1/jobs", harness.json.dumps(JOB), {"Content-Type": "application/json"})
    assert is_damaged(answer, "truncated"), answer


def test_flipped_bit_in_a_stored_model(fresh):
    """Predictions of the version are refused; a version beside it answers as before."""
    server = fresh()
    server.upload("table", table(300), "&types=note:text")
    for name in ("good", "bad"):
        server.train(**{**JOB, "model": {"name": name, **SMALL}})
    row = [{"a": 0.5, "b": 0.5, "note": "word1"}]
    expected = server.predict("good", row)
    server.stop()
    with sqlite3.connect(os.path.join(server.folder, "backpropd.db")) as db:
        (name, column), = [(t, c[1]) for t, in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
                           for c in db.execute("PRAGMA table_info(%s)" % t) if c[2] == "BLOB" and t not in ("job_inits", "version_drift")]
        (rowid, blob), = db.execute("SELECT rowid, %s FROM %s WHERE model = 'bad'" % (column, name)).fetchall()
        damaged = bytearray(blob)
        damaged[len(blob) - 100] ^= 1
        db.execute("UPDATE %s SET %s = ? WHERE rowid = ?" % (name, column), (bytes(damaged), rowid))
    db.close()
    server.start()
    answer = server.raw("POST", "/v1/models/bad/predict", harness.json.dumps({"instances": row}), {"Content-Type": "application/json"})
    assert is_damaged(answer), answer
    assert is_damaged(server.raw("GET", "/v1/models/bad/versions/1/export?format=bpd")), "what is damaged does not leave"
    assert server.predict("good", row) == expected


def test_flipped_bits_in_a_model_file(tmp_path):
    """Of 300 bits all over the file none changes a prediction: the command line refuses each."""
    (tmp_path / "rows.csv").write_text(table(100))
    done = harness.run("train", "--data", tmp_path / "rows.csv", "--target", "y", "--epochs", 2, "--out", tmp_path / "model.bpd")
    assert done.returncode == 0, done.stderr
    size = os.path.getsize(tmp_path / "model.bpd")
    draw = random.Random(1)
    for i in range(300 if not harness.has_sanitizer() else 30):
        shutil.copy(tmp_path / "model.bpd", tmp_path / "flipped.bpd")
        flip(tmp_path / "flipped.bpd", draw.randrange(size), draw.randrange(8))
        done = harness.run("predict", "--model", tmp_path / "flipped.bpd", "--data", tmp_path / "rows.csv")
        assert done.returncode == 1 and not done.stdout and done.stderr.startswith("backpropd predict: "), (i, done)


@harness.again_if_too_late
def test_flipped_bit_in_a_checkpoint(fresh):
    """The job starts over with a warning, and ends with the bits of a job that was never interrupted."""
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    job = {"dataset": "digits", "target": "digit", "epochs": 3000, "seed": 4}
    whole = server.train(model={"name": "whole", **SMALL}, **job)
    paused = server.submit(model={"name": "paused", **SMALL}, **job)["id"]
    server.wait(paused, until=lambda j: j["progress"]["epoch"] >= 2)
    server.pause(paused)
    for file in (pathlib.Path(server.folder) / "checkpoints").glob("*.safetensors"):
        flip(file, os.path.getsize(file) - 50)
    server.post("/v1/jobs/%s/resume" % paused)
    ended = server.wait(paused)
    assert ended["status"] == "succeeded" and ended["metrics"] == whole["metrics"]
    logs = [e["message"] for e in server.get("/v1/jobs/%s/events?type=log&limit=1000" % paused).json["data"]]
    assert any(message.startswith("starting over: the file is damaged") for message in logs), logs
