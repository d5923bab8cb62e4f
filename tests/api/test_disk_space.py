"""Goal: what is deleted gives its disk space back at once, and nothing that failed leaves a file."""
import os
import pathlib
import socket
import sqlite3
import struct

import pytest

from harness import SLOW, problem, run, until, xor

TINY = {"layers": [{"type": "dense", "units": 1}]}


def files(server, kind="datasets"):
    return sorted(p.name for p in pathlib.Path(server.folder, kind).iterdir())


def held(server):
    """Files of the data folder's datasets/ and checkpoints/ that the server has open or mapped, deleted ones among them."""
    folder, found = pathlib.Path("/proc/%d" % server.process.pid), []
    for link in (folder / "fd").iterdir():
        try:
            found.append(os.readlink(link))
        except FileNotFoundError:
            pass
    found += [line.split(None, 5)[-1] for line in (folder / "maps").read_text().splitlines()]
    return [path for path in found if "/datasets/" in path or "/checkpoints/" in path]


def database_bytes(server):
    return sum(pathlib.Path(server.folder, "backpropd.db" + end).stat().st_size for end in ("", "-wal"))


def used_bytes(server):
    """What the files of the folder occupy."""
    return sum(p.stat().st_blocks * 512 for p in pathlib.Path(server.folder).rglob("*") if p.is_file())


def doubles(rows, columns=8):
    head = ("{'descr': '<f8', 'fortran_order': False, 'shape': (%d, %d), }" % (rows, columns)).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + struct.pack("<%dd" % (rows * columns), *(i / 7 for i in range(rows * columns)))


def test_a_deleted_dataset_is_off_the_disk(fresh):
    server = fresh()
    before = used_bytes(server)
    for name in ("a", "b"):
        assert server.post("/v1/datasets?name=" + name, body=doubles(50000), headers={"Content-Type": "application/x-npy"}).status == 201
    assert server.post("/v1/datasets/a/rows", body=doubles(10), headers={"Content-Type": "application/x-npy"}).status == 201
    assert len(files(server)) == 3 and used_bytes(server) - before > 9e6
    # everything that reads the data: pages, streams, statistics, a check of a model, a training
    server.get("/v1/datasets/a/rows"), server.get("/v1/datasets/a/rows?format=csv"), server.get("/v1/datasets/a/statistics?target=x0")
    assert server.post("/v1/models/validate", {"definition": TINY, "dataset": "a", "target": "x0"}).status == 200
    server.train(model={"name": "m", **TINY}, dataset="a", target="x0", epochs=1)
    server.predict("m", [[0] * 7])
    until(lambda: not held(server), what="letting go of the data")  # nothing is cached
    assert server.delete("/v1/datasets/a@1").status == 204 and len(files(server)) == 2
    assert server.delete("/v1/datasets/a").status == 204 and len(files(server)) == 1
    assert server.delete("/v1/datasets/b").status == 204 and files(server) == []
    assert held(server) == []
    server.predict("m", [[0] * 7])  # a model does not need its data
    for job in server.all_pages("/v1/jobs"):
        assert server.delete("/v1/jobs/" + job["id"]).status == 204
    assert files(server, "checkpoints") == [] and used_bytes(server) - before < 2e6


def test_a_deleted_model_makes_the_database_smaller(fresh):
    """A model of 4 MB, three times: what is freed goes back to the disk, without a restart and without a next write."""
    server = fresh()
    server.post_json("data", x=[[1], [2]], y=[1.5, 2])
    big = {"name": "big", "layers": [{"type": "dense", "units": 1000}, {"type": "dense", "units": 1000}, {"type": "dense", "units": 1}]}
    before = database_bytes(server)
    for _ in range(3):
        server.train(model=big, dataset="data", target="y", task="regression", epochs=1, validation={"fraction": 0})
    grown = database_bytes(server)
    assert grown - before > 12e6 and server.get("/v1/models/big/versions/1").json["bytes"] > 4e6
    server.predict("big", [[1]])
    assert server.delete("/v1/models/big").status == 204
    main = pathlib.Path(server.folder, "backpropd.db")

    def free_pages():
        database = sqlite3.connect("file:%s?mode=ro" % main, uri=True)
        try:
            return database.execute("PRAGMA freelist_count").fetchone()[0]
        finally:
            database.close()
    until(lambda: free_pages() <= 64 and main.stat().st_size < 2e6, what="the database becoming smaller")
    assert database_bytes(server) < 20e6  # the log stays for what comes next: 16 MB, and what one commit adds
    problem(server.post("/v1/models/big/predict", {"instances": [[1]]}), 404, "not_found")


def test_data_in_use_is_kept_and_names_its_users(fresh):
    server = fresh("--workers", "1")
    server.post_json("data", x=[[1], [2]], y=[1.5, 2])
    server.upload("data", "x0,y\n1,2.5\n2,3\n", "&replace=1")
    running = server.submit(model={"layers": SLOW}, dataset="data@1", target="y", task="regression", epochs=1000000, validation={"fraction": 0})["id"]
    queued = server.submit(model=TINY, dataset="data@1", target="y", task="regression", epochs=1, validation={"fraction": 0})["id"]
    server.wait(running, lambda job: job["status"] == "running")
    for reference in ("data", "data@1"):
        detail = problem(server.delete("/v1/datasets/" + reference), 409, "in_use")["detail"]
        assert running in detail and queued in detail
    assert len(files(server)) == 2
    assert server.delete("/v1/datasets/data@2").status == 204 and len(files(server)) == 1
    for job in (running, queued):
        server.post("/v1/jobs/%s/cancel" % job)
        server.wait(job)
    assert server.delete("/v1/datasets/data").status == 204 and files(server) == []
    until(lambda: not held(server), what="letting go of the data")
    problem(server.delete("/v1/datasets/data"), 404, "not_found")


@pytest.mark.parametrize("kind, body", [
    ("text/csv", b"a,b\n1,2\n3\n"), ("text/csv", b"a\n" + b"1.25\n" * 300000 + b"oops\n"), ("application/json", b'{"name":"x","records":[{"a":1},{"a":"'),
    ("application/x-ndjson", b'{"a":1}\n{"a":'), ("application/x-npy", doubles(1000)[:-5]), ("application/x-npz", b"PK\x03\x04nothing")],
    ids=["csv", "late", "json", "ndjson", "npy", "npz"])
def test_a_refused_upload_leaves_no_file(fresh, kind, body):
    server = fresh()
    answer = server.post("/v1/datasets?name=x", body=body, headers={"Content-Type": kind})
    assert answer.status == 422, answer
    assert files(server) == [] and held(server) == []
    server.upload("x", "a\n1\n")
    problem(server.post_csv("x", "a\n1\n"), 409, "exists")
    problem(server.post("/v1/datasets/x/rows", body=b"b\n1\n", headers={"Content-Type": "text/csv"}), 422, "invalid")
    problem(server.post("/v1/datasets/x/columns/b", body=b"[1,2,3]", headers={"Content-Type": "application/json"}), 422, "invalid")
    assert len(files(server)) == 1 and held(server) == []


def test_a_broken_upload_leaves_no_file(fresh):
    server = fresh()
    with socket.create_connection((server.host, server.port), timeout=60) as connection:
        connection.sendall(("POST /v1/datasets?name=x HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: text/csv\r\nContent-Length: 9000000\r\n\r\na,b\n" % (
            server.host, server.port)).encode() + b"1,2\n" * 500000)
        until(lambda: files(server), what="the temporary file")
    until(lambda: not files(server) and not held(server), what="its removal")


def test_a_refused_job_leaves_nothing(fresh):
    server = fresh()
    assert server.post("/v1/jobs", xor(epochs=-1)).status == 422
    assert server.post("/v1/jobs", xor(target="nope")).status == 422
    assert server.post("/v1/jobs", {**xor(), "model": {"layers": [{"type": "conv2d", "filters": 1}]}}).status == 422
    assert files(server) == [] and held(server) == [] and server.get("/v1/jobs").json["data"] == []


def test_deleting_a_failed_job_deletes_its_model(fresh):
    """Its data is the job's and stays as long as the job does, for a look at what went wrong."""
    server = fresh()
    rows = [{"x": i, "y": i * 0.5 + 0.25} for i in range(64)]
    job = server.submit(model={"layers": [{"type": "dense", "units": 8, "activation": "relu"}]}, dataset={"records": rows}, target="y", seed=1,
                        optimizer={"type": "sgd", "learning_rate": 1e6, "momentum": 0.9}, epochs=1000)
    assert server.wait(job["id"])["status"] == "failed"
    assert len(files(server)) == 1
    until(lambda: not held(server), what="letting go")
    assert server.delete("/v1/jobs/" + job["id"]).status == 204
    assert files(server) == []
    until(lambda: not files(server, "checkpoints"), what="the end of the process, with the file that it had for a checkpoint")


def test_orphans_of_a_crash_are_moved_at_the_next_start(fresh):
    """A file that was renamed into its place when the commit did not come moves to lost/; a temporary one is removed; unknown files stay."""
    server = fresh()
    server.upload("data", "a\n1\n")
    (kept,) = files(server)
    server.kill()
    source = pathlib.Path(server.folder, "datasets", kept).read_bytes()
    for folder, name in (("datasets", "dat_01m85a5zwm5evrcfca9mehsd22.col"), ("datasets", "dat_01m85a5zwm5evrcfca9mehsd23.tmp"), ("datasets", "customers.csv"),
                         ("checkpoints", "ckp_01m85a5zwm5evrcfca9mehsd24.safetensors"), ("checkpoints", "my_model.pt")):
        pathlib.Path(server.folder, folder, name).write_bytes(source)
    server.start()
    assert files(server) == ["customers.csv", kept] and files(server, "checkpoints") == ["my_model.pt"]
    assert files(server, "lost") == ["ckp_01m85a5zwm5evrcfca9mehsd24.safetensors", "dat_01m85a5zwm5evrcfca9mehsd22.col"]
    log = server.log_text()
    assert log.count("event=orphan_moved") == 2 and log.count("event=temporary_removed") == 1 and "dat_01m85a5zwm5evrcfca9mehsd23.tmp" in log
    assert server.get("/v1/datasets/data/rows").json["data"] == [{"a": 1}]


def test_a_folder_without_its_database_is_refused(fresh, tmp_path):
    """Nothing in it changes: with the database back, everything is there."""
    server = fresh()
    server.upload("data", "a\n1\n")
    server.stop()
    before = files(server)
    database = pathlib.Path(server.folder, "backpropd.db")
    bytes_of_it = database.read_bytes()
    for content in (None, b""):
        database.unlink()
        if content is not None:
            database.write_bytes(content)
        refused = run("serve", "--listen", "127.0.0.1:0", "--data-dir", server.folder)
        assert refused.returncode == 1 and "backpropd.db is missing or empty" in refused.stderr and "restore backpropd.db from a backup" in refused.stderr
        assert files(server) == before
        database.write_bytes(bytes_of_it)
    server.start()
    assert server.get("/v1/datasets/data/rows").json["data"] == [{"a": 1}]


def test_an_older_database_loses_no_file(fresh):
    """A backup knows the first version only: the second, whose rows are behind it in the same file, goes to lost/ and keeps its rows."""
    server = fresh()
    server.upload("data", "a\n1\n2\n")
    server.stop()
    database = pathlib.Path(server.folder, "backpropd.db")
    backup = database.read_bytes()
    server.start()
    assert server.post("/v1/datasets/data/rows", body=b"a\n3\n", headers={"Content-Type": "text/csv"}).json["version"] == 2
    server.upload("other", "b\n5\n")
    size = max(p.stat().st_size for p in pathlib.Path(server.folder, "datasets").iterdir())
    newest = database.parent / "newest.db"
    server.stop()
    newest.write_bytes(database.read_bytes())
    database.write_bytes(backup)
    server.start()
    assert server.get("/v1/datasets/data/rows").json["data"] == [{"a": 1}, {"a": 2}]
    assert len(files(server)) == 1 and len(files(server, "lost")) == 2
    server.stop()
    database.write_bytes(newest.read_bytes())  # with the newer database and the files back in place, all is there again
    for name in files(server, "lost"):
        pathlib.Path(server.folder, "lost", name).rename(pathlib.Path(server.folder, "datasets", name))
    assert max(p.stat().st_size for p in pathlib.Path(server.folder, "datasets").iterdir()) == size
    server.start()
    assert server.get("/v1/datasets/data/rows").json["data"] == [{"a": 1}, {"a": 2}, {"a": 3}]
    assert server.get("/v1/datasets/other/rows").json["data"] == [{"b": 5}]
