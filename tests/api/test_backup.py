"""Goal: a backup that is made while the server works restores to the same answers, bit by bit; check finds every damaged file and says what to do."""
import os
import pathlib
import shutil
import sqlite3
import threading

import pytest

import harness
from harness import run, unique

SMALL = {"layers": [{"type": "dense", "units": 16, "activation": "tanh"}]}
ROW = [{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}]
LONG = {"model": {"name": "long", "layers": [{"type": "dense", "units": 64, "activation": "relu"}]}, "dataset": "digits", "target": "digit", "epochs": 600, "seed": 5,
        "checkpoint_every_epochs": 1}


def filled(fresh, *flags):
    server = fresh(*flags)
    server.upload("iris", harness.DATA / "iris.csv")
    server.upload("digits", harness.DATA / "digits.csv")
    server.train(model={"name": "flowers", **SMALL}, dataset="iris", target="class", epochs=20, seed=3)
    for i in range(3):  # versions that share a file
        assert server.post("/v1/datasets/iris/rows", body=b"sepal_length,sepal_width,petal_length,petal_width,class\n%d,3,1,0.2,setosa\n" % i,
                           headers={"Content-Type": "text/csv"}).status == 201
    return server


def states(server):
    """What must be the same after a restore."""
    return ([server.raw("GET", "/v1/datasets/iris@%d/rows?format=csv" % v).body for v in range(1, 5)], server.predict("flowers", ROW),
            server.get("/v1/models/flowers/versions/1").json, [d["name"] for d in server.get("/v1/datasets").json["data"] if not d["name"].startswith("churn")])


def churn(server, stop):
    """Uploads and deletes, as fast as they go."""
    i = 0
    while not stop.is_set():
        name = "churn%d" % i
        server.post_csv(name, "a,b\n" + "".join("%d,%d\n" % (k, k * i) for k in range(200)))
        if i > 2:
            server.delete("/v1/datasets/churn%d" % (i - 2))
        i += 1
    return i


@harness.again_if_too_late
def test_backup_under_load_restores_bit_by_bit(fresh, tmp_path):
    """Backups, each after the first of what is new, while a job trains and datasets come and go. The restored job ends as the original does."""
    tmp_path /= unique("backup")
    tmp_path.mkdir()
    server = filled(fresh, "--workers", "1")
    expected = states(server)
    job = server.submit(**LONG)["id"]
    server.wait(job, until=lambda j: j["progress"]["epoch"] >= 3)
    stop = threading.Event()
    thread = threading.Thread(target=churn, args=(server, stop))
    thread.start()
    try:
        for attempt in range(4):
            done = run("backup", tmp_path / "copy", "--data-dir", server.folder)
            assert done.returncode == 0, done
            if attempt == 0:
                server.in_time(job)
            else:
                assert "0.0 MB already there" not in done.stdout, done.stdout
            checked = run("check", "--data-dir", tmp_path / "copy")
            assert checked.returncode == 0 and "everything is as it was written" in checked.stdout, checked
        live = run("check", "--data-dir", server.folder)
        assert live.returncode == 0, live
    finally:
        stop.set()
        thread.join()
    ended = server.wait(job)
    assert ended["status"] == "succeeded" and states(server) == expected
    done = run("restore", tmp_path / "copy", "--data-dir", tmp_path / "new")
    assert done.returncode == 0, done
    restored = fresh("--workers", "1", folder=str(tmp_path / "new"))
    assert states(restored) == expected
    again = restored.wait(job)
    assert again["status"] == "succeeded" and again["metrics"] == ended["metrics"]
    row = [{"p%d" % i: i % 17 for i in range(64)}] if "p0" in server.get("/v1/datasets/digits").body.decode() else None
    if row:
        assert restored.predict("long", row) == server.predict("long", row)
    assert restored.post("/v1/datasets/iris/rows", body=b"sepal_length,sepal_width,petal_length,petal_width,class\n9,3,1,0.2,setosa\n", headers={"Content-Type": "text/csv"}).status == 201
    assert states(server) == expected  # nothing is shared


def test_backup_again_copies_what_is_new(fresh, tmp_path):
    server = filled(fresh)
    assert run("backup", tmp_path / "copy", "--data-dir", server.folder).returncode == 0
    names = {f.name for f in (tmp_path / "copy/datasets").iterdir()}
    server.upload("more", harness.DATA / "wine.csv")
    server.delete("/v1/datasets/iris@2")
    done = run("backup", tmp_path / "copy", "--data-dir", server.folder)
    assert done.returncode == 0 and "1 old files removed" in done.stdout, done
    after = {f.name for f in (tmp_path / "copy/datasets").iterdir()}
    assert len(after - names) == 1 and len(names - after) == 1
    inodes = {f.stat().st_ino for f in (tmp_path / "copy/datasets").iterdir()}
    assert len(inodes) < len(after)  # versions of one file are names of one copy
    assert not inodes & {f.stat().st_ino for f in pathlib.Path(server.folder, "datasets").iterdir()}


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def test_check_finds_each_kind_of_damage(fresh, tmp_path):
    server = filled(fresh)
    server.train(**{**LONG, "epochs": 3})
    server.stop()
    folder = tmp_path / "damaged"

    def damaged(change):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(server.folder, folder)
        change()
        return run("check", "--data-dir", folder)

    def dataset():
        file = max((folder / "datasets").iterdir(), key=os.path.getsize)
        flip(file, file.stat().st_size // 2)

    def missing():
        max((folder / "datasets").iterdir(), key=os.path.getsize).unlink()

    def cut():
        os.truncate(max((folder / "datasets").iterdir(), key=os.path.getsize), 5000)

    def checkpoint():
        file = next((folder / "checkpoints").glob("*.safetensors"))
        flip(file, file.stat().st_size - 9)

    def model():
        with sqlite3.connect(folder / "backpropd.db") as db:
            blob, = db.execute("SELECT blob FROM versions WHERE model = 'flowers'").fetchone()
            db.execute("UPDATE versions SET blob = ? WHERE model = 'flowers'", (blob[:-1] + bytes([blob[-1] ^ 4]),))
        db.close()

    def page():
        with open(folder / "backpropd.db", "r+b") as file:
            file.seek(4096 * 3)
            file.write(os.urandom(4096))

    assert damaged(lambda: None).returncode == 0
    for change, words in ((dataset, "checksum"), (missing, "cannot be opened"), (cut, "truncated"), (checkpoint, "checkpoint of job_"), (model, "model flowers@1: the file is damaged"),
                          (page, "database")):
        found = damaged(change)
        assert found.returncode == 1 and words in found.stdout and "fault" in found.stdout, (change.__name__, found)
        assert "backup" in found.stdout or "starts over" in found.stdout
        refused = run("restore", folder, "--data-dir", tmp_path / "new")
        assert refused.returncode == 1 and "nothing was restored" in refused.stderr and not (tmp_path / "new").exists()
    (folder / "datasets" / "customers.csv").write_text("a,b\n1,2\n")
    assert damaged(lambda: (folder / "datasets" / "customers.csv").write_text("a\n1\n")).stdout.startswith("note: datasets/customers.csv")


def test_what_backup_and_restore_refuse(fresh, tmp_path):
    server = filled(fresh)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "letter.txt").write_text("mine")
    other = fresh()
    for arguments, words in ((("backup", tmp_path / "foreign", "--data-dir", server.folder), "neither empty nor a copy"),
                             (("backup", server.folder, "--data-dir", server.folder), "the data folder itself"),
                             (("backup", other.folder, "--data-dir", server.folder), "in use"),
                             (("backup", tmp_path / "x", "--data-dir", tmp_path / "nothing"), "no backpropd.db"),
                             (("restore", server.folder, "--data-dir", tmp_path / "foreign"), "not empty"),
                             (("backup",), "name the folder"), (("restore",), "name the folder"), (("check", "--data", "x"), "data-dir")):
        done = run(*arguments)
        assert done.returncode in (1, 2) and words in done.stderr, (arguments, done)
    assert (tmp_path / "foreign" / "letter.txt").read_text() == "mine" and not (tmp_path / "x" / "backpropd.db").exists()
    done = run("backup", tmp_path / "copy", "--data-dir", server.folder)
    assert done.returncode == 0
    with sqlite3.connect(tmp_path / "copy" / "backpropd.db") as db:
        version, = db.execute("PRAGMA user_version").fetchone()
        db.execute("PRAGMA user_version = %d" % (version + 1))
    db.close()
    for command in (("check", "--data-dir", tmp_path / "copy"), ("restore", tmp_path / "copy", "--data-dir", tmp_path / "new")):
        done = run(*command)
        assert done.returncode == 1 and "newer backpropd" in done.stdout, done


def test_disk_full_during_a_backup_keeps_the_earlier_one(fresh, tmp_path):
    """A limit on the size of files stands in for a full disk: the copy fails with a message, and the earlier backup is whole."""
    server = filled(fresh)
    assert run("backup", tmp_path / "copy", "--data-dir", server.folder).returncode == 0
    server.upload("large", "a,b\n" + "".join("%d,%d\n" % (i, i * i) for i in range(200000)))
    done = harness.subprocess.run(["bash", "-c", "ulimit -f 300; trap '' XFSZ; exec \"$0\" backup \"$1\" --data-dir \"$2\"", harness.BACKPROPD, str(tmp_path / "copy"), server.folder],
                                  capture_output=True, text=True)
    assert done.returncode == 1 and "cannot copy" in done.stderr, done
    assert run("check", "--data-dir", tmp_path / "copy").returncode == 0
    with sqlite3.connect(tmp_path / "copy" / "backpropd.db") as db:
        assert db.execute("SELECT count(*) FROM datasets WHERE name = 'large'").fetchone() == (0,)
    db.close()


def test_folder_of_the_previous_release_opens(fresh, tmp_path):
    """tests/fixtures/folders: a folder as a server with schema 3 left it, without checksums in models and checkpoints. It answers as that server did; its unfinished job resumes."""
    (tmp_path / "old").mkdir(mode=0o700)
    shutil.unpack_archive(harness.ROOT / "tests/fixtures/folders/schema-3.tar.gz", tmp_path / "old")
    assert run("check", "--data-dir", tmp_path / "old").returncode == 0
    server = fresh(folder=str(tmp_path / "old"))
    answer, = server.predict("flowers", ROW)
    assert answer["label"] == "setosa" and answer["probabilities"] == pytest.approx({"setosa": 0.677004695, "versicolor": 0.10522081, "virginica": 0.217774525}, rel=1e-6)
    assert [server.get("/v1/datasets/iris@%d" % v).json["rows"] for v in (1, 2)] == [150, 151]
    flowers = server.get("/v1/models/flowers").json
    assert flowers["aliases"] == {"default": flowers["latest_version"]}  # what was served before there were aliases
    job, = [j for j in server.get("/v1/jobs").json["data"] if j["model"].startswith("slow")]
    running = server.wait(job["id"], until=lambda j: j["status"] == "running" and j["resumed_from_epoch"])
    assert running["resumed_from_epoch"] > 1
    server.post("/v1/jobs/%s/cancel" % job["id"])
    assert run("backup", tmp_path / "copy", "--data-dir", tmp_path / "old").returncode == 0
