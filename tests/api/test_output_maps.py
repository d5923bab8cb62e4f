"""Goal: losses and metrics by output, where there is one output: the same job as without the map, through every way in."""
import json

import harness

RECORDS = [{"a": i, "k": "uvw"[i % 3], "n": i * i / 4 + 0.5} for i in range(30)]


def job(target, **definition):
    return {"model": {"layers": [], **definition}, "dataset": {"records": RECORDS}, "target": target, "epochs": 2, "seed": 1}


def test_a_map_of_one_output_trains_and_predicts(server):
    for target, loss in (("k", "cross_entropy"), ("n", "mae")):
        plain, mapped = (server.train(**job(target, loss=how)) for how in (loss, {"out": loss}))
        assert plain["metrics"] == mapped["metrics"]
        assert any("no output is named \"out\"" in w for w in mapped["warnings"])
        assert server.predict(plain["id"], [{"a": 3}]) == server.predict(mapped["id"], [{"a": 3}])


def test_validate_takes_the_map(server):
    body = job("k", loss={"out": "cross_entropy"})
    server.post_json("output_maps", records=RECORDS)
    answer = server.post("/v1/models/validate", {"definition": body["model"], "dataset": "output_maps", "target": "k"})
    assert answer.status == 200, answer
    assert answer.json["definition"]["loss"]["type"] == "cross_entropy" and answer.json["layers"][-1]["output_shape"] == [3]


def test_the_program_takes_the_map(tmp_path):
    (tmp_path / "d.csv").write_text("a,k\n" + "".join("%d,%s\n" % (r["a"], r["k"]) for r in RECORDS))
    (tmp_path / "m.json").write_text(json.dumps(job("k", loss={"out": "cross_entropy"})["model"]))
    done = harness.run("train", "--data", tmp_path / "d.csv", "--target", "k", "--definition", tmp_path / "m.json", "--out", tmp_path / "m.bpd", "--epochs", "2")
    assert done.returncode == 0, done.stderr
