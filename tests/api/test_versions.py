"""Rows and columns that are added to a dataset. Goal: the next version shares the data of the one before, which does not change; whatever requests run at once, whatever is killed, no version
says anything but what it said."""
import os
import threading

import harness

CSV = {"Content-Type": "text/csv"}


def csv_rows(n):
    return "a,b,k\n" + "".join("%d,%.3f,k%d\n" % (i * 7919 % 10007, i / 3, i % 9) for i in range(n))


def files(server):
    """{inode: bytes} of the files of the datasets."""
    folder = os.path.join(server.folder, "datasets")
    return {s.st_ino: s.st_size for s in (os.stat(os.path.join(folder, name)) for name in os.listdir(folder))}


def rows(server, name):
    return server.get("/v1/datasets/%s/rows?format=csv" % name).body


def test_little_is_written_for_a_row(fresh):
    server = fresh()
    text = csv_rows(400000)
    assert server.post_csv("data", text).status == 201
    before, first = files(server), rows(server, "data@1")
    for version in (2, 3, 4):
        answer = server.post("/v1/datasets/data/rows", body=b"a,b,k\n1.5,2,new%d\n" % version, headers=CSV)
        assert answer.status == 201 and answer.json["version"] == version and answer.json["rows"] == 399999 + version
    answer = server.post("/v1/datasets/data/columns/c", [i % 7 for i in range(400003)])
    assert answer.status == 201 and [c["name"] for c in answer.json["columns"]] == ["a", "b", "k", "c"]
    after = files(server)
    assert list(after) == list(before)  # one file
    (was,), (now,) = before.values(), after.values()
    assert now - was < 3 * (6 << 20) + (1 << 20) and now == server.get("/v1/datasets/data").json["bytes"]
    assert rows(server, "data@1") == first and rows(server, "data@4") == first + b"1.5,2,new2\n1.5,2,new3\n1.5,2,new4\n"
    job = server.train(model={"layers": []}, dataset="data@1", target="a", epochs=1, seed=1)
    assert job["dataset"] == {"name": "data", "version": 1}
    for version in (5, 1, 3):  # in any order; the others stay
        assert server.delete("/v1/datasets/data@%d" % version).status == 204
    assert rows(server, "data") == first + b"1.5,2,new2\n1.5,2,new3\n1.5,2,new4\n"
    answer = server.post("/v1/datasets/data/rows", body=b"a,b,k\n7,8,last\n", headers=CSV)
    assert answer.json["version"] == 6 and rows(server, "data").endswith(b"new4\n7,8,last\n")
    server.stop()
    server.start()  # what the deleted version left behind is cut off where it is the last
    assert rows(server, "data").endswith(b"new4\n7,8,last\n") and rows(server, "data@2") == first + b"1.5,2,new2\n"
    assert server.delete("/v1/datasets/data").status == 204 and files(server) == {}


def test_a_refused_part_leaves_nothing(fresh):
    server = fresh()
    server.post_csv("data", csv_rows(1000))
    before = files(server)
    for body in (b"a,b,k\n1,2,x\noops,2,y\n", b"a,b\n1,2\n", b"a,b,k\n", b"\xff\xfe"):
        assert server.post("/v1/datasets/data/rows", body=body, headers=CSV).status == 422
    answer = server.post("/v1/datasets/data/columns/c", [1, 2, 3])
    assert "3 values, but the dataset has 1000 rows" in str(answer.json) and files(server) == before


def test_all_at_once(fresh):
    """The second request gets a conflict; a request with 201 is stored."""
    server = fresh()
    server.post_csv("data", csv_rows(50000))
    answers = []

    def add(i):
        for k in range(5):
            answers.append((i, k, server.post("/v1/datasets/data/rows", body=b"a,b,k\n%d,%d,t\n" % (i, k), headers=CSV).status))

    threads = [threading.Thread(target=add, args=(i,)) for i in range(6)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    taken = [a for a in answers if a[2] == 201]
    assert taken and all(a[2] in (201, 409) for a in answers)
    newest = server.get("/v1/datasets/data").json
    assert newest["rows"] == 50000 + len(taken) and list(files(server).values()) == [newest["bytes"]]
    tail = rows(server, "data").decode().splitlines()[50001:]
    assert sorted(tail) == sorted("%d,%d,t" % a[:2] for a in taken)


def test_killed_while_rows_are_added(fresh):
    server = fresh()
    server.post_csv("data", csv_rows(200000))
    first = rows(server, "data@1")
    for _ in range(4):
        taken, stop = [server.get("/v1/datasets/data").json["rows"]], threading.Event()

        def add():
            while not stop.is_set():
                try:
                    answer = server.post("/v1/datasets/data/rows", body=b"a,b,k\n1,2,x\n", headers=CSV)
                    taken.append(answer.json["rows"])
                except Exception:
                    return

        thread = threading.Thread(target=add)
        thread.start()
        while len(taken) < 4 and thread.is_alive():
            stop.wait(0.005)
        server.kill()
        stop.set()
        thread.join()
        server.start()
        newest = server.get("/v1/datasets/data").json
        assert newest["rows"] in (taken[-1], taken[-1] + 1)  # the last one may have been committed without an answer
        assert list(files(server).values()) == [newest["bytes"]]
        added = newest["rows"] - 200000
        assert rows(server, "data") == first + b"1,2,x\n" * added and rows(server, "data@1") == first


def test_a_file_system_without_hard_links(fresh, tmp_path):
    """There a version is a copy with the rows appended."""
    no_links = harness.preload_library(tmp_path, "no_links", "#include <errno.h>\nint linkat(int a, const char *b, int c, const char *d, int e) { (void)a, (void)b, (void)c, (void)d, (void)e; errno = EPERM; return -1; }\n")
    server = fresh(env={"LD_PRELOAD": str(no_links)})
    server.post_csv("data", csv_rows(30000))
    first = rows(server, "data")
    for version in (2, 3):
        assert server.post("/v1/datasets/data/rows", body=b"a,b,k\n1,2,x\n", headers=CSV).json["version"] == version
    assert server.post("/v1/datasets/data/columns/c", [0] * 30001).status == 422
    assert server.post("/v1/datasets/data/columns/c", [0] * 30002).status == 201
    assert len(files(server)) == 4 and rows(server, "data@1") == first and rows(server, "data@3") == first + b"1,2,x\n1,2,x\n"
