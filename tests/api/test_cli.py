"""Goal: the program without a server: what it prints, what it writes, what it refuses, and that it agrees with the server."""
import csv
import gzip
import io
import json
import sqlite3

import numpy
import pytest

import harness

PENGUINS = harness.DATA / "penguins.csv"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model file of the penguins, trained without a definition, and its output."""
    path = tmp_path_factory.mktemp("cli") / "penguins.bpd"
    done = harness.run("train", "--data", PENGUINS, "--target", "species", "--out", path, "--seed", "3", "--epochs", "30")
    assert done.returncode == 0, done.stderr
    return path, done


def test_train_needs_no_definition(trained):
    path, done = trained
    assert path.stat().st_size > 1000 and done.stdout == ""
    for words in ("344 rows, 6 features", "classes of \"species\" (3)", "balanced: ", "--definition", "20 of 20 networks", "seed 3", "plain: weight ", "estimate, by rows that were held out: accuracy ", "between folds", str(path)):
        assert words in done.stderr, (words, done.stderr)


def test_train_is_the_same_again(trained, tmp_path):
    again = harness.run("train", "--data", PENGUINS, "--target", "species", "--out", tmp_path / "again.bpd", "--seed", "3", "--epochs", "30", "--quiet")
    assert again.returncode == 0 and (tmp_path / "again.bpd").read_bytes() == trained[0].read_bytes()
    assert "ETA" not in again.stderr


def predict(trained, *more, **options):
    done = harness.run("predict", "--model", trained[0], *more, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_predict_csv_json_and_standard_input(trained):
    text = predict(trained, "--data", PENGUINS)
    rows = list(csv.DictReader(io.StringIO(text)))
    truth = [r["species"] for r in csv.DictReader(PENGUINS.open())]
    assert len(rows) == 344 and set(rows[0]) == {"label", "probability"}
    assert sum(r["label"] == t for r, t in zip(rows, truth)) / 344 > 0.97
    assert predict(trained, "--data", "-", stdin=PENGUINS.read_text()) == text
    objects = [json.loads(line) for line in predict(trained, "--data", PENGUINS, "--format", "json").splitlines()]
    assert [o["label"] for o in objects] == [r["label"] for r in rows]
    assert all(abs(o["probabilities"][r["label"]] - float(r["probability"])) < 1e-6 for o, r in zip(objects, rows))


def test_predict_one_row_with_less_and_more_columns(trained):
    text = "island,bill_length_mm,extra,flipper_length_mm\nBiscoe,49.9,x,213\nAtlantis,,y,NA\n"
    rows = list(csv.DictReader(io.StringIO(predict(trained, "--data", "-", stdin=text))))
    assert len(rows) == 2 and rows[0]["label"] == "Gentoo"


@pytest.mark.parametrize("threads", (1, 3))
def test_the_server_trains_the_same_networks(trained, server, threads):
    """Same options and seed: the same bits with and without a server, with any number of threads."""
    name = harness.unique("cli")
    server.train(model={"name": name}, dataset="penguins", target="species", seed=3, epochs=30, threads=threads)
    file = trained[0].read_bytes()
    for tensor in server.weights(name).values():
        assert tensor in file


def test_train_with_definition_and_options(tmp_path):
    (tmp_path / "model.json").write_text(json.dumps({"name": "m", "layers": [{"type": "dense", "units": 5, "activation": "tanh"}], "loss": "mae"}))
    (tmp_path / "options.json").write_text(json.dumps({"optimizer": "rmsprop", "epochs": 3, "features": ["bill_length_mm", "island"]}))
    done = harness.run("train", "--data", PENGUINS, "--target", "body_mass_g", "--definition", "model.json", "--options", "options.json", "--types", "flipper_length_mm:numeric",
                       "--batch-size", "16", "--validation", "0.3", "--task", "regression", cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "model.bpd").exists(), done.stderr
    assert "loss mae" in done.stderr and "rmsprop" in done.stderr and "batch 16" in done.stderr and "2 features" in done.stderr and "chosen" not in done.stderr
    values = harness.run("predict", "--model", "model.bpd", "--data", PENGUINS, cwd=tmp_path).stdout.split()
    assert values[0] == "value" and len(values) == 345 and all(2000 < float(v) < 7000 for v in values[1:])


@pytest.mark.parametrize("arguments, words", [
    (["--data", PENGUINS, "--target", "specis"], "species"), (["--data", "/nonexistent.csv", "--target", "x"], "/nonexistent.csv"), (["--data", PENGUINS, "--target", "species", "--epochs", "0"], "epochs"),
    (["--data", PENGUINS, "--target", "species", "--epochs", "x"], "epochs"), (["--data", PENGUINS, "--target", "species", "--definition", "/nonexistent.json"], "/nonexistent.json"),
    (["--data", PENGUINS, "--target", "species", "--task", "regression"], "labels"), (["--data", PENGUINS, "--target", "species", "--types", "sex:numbr"], "numeric"),
    (["--data", PENGUINS, "--target", "species", "--out", "/nonexistent/folder/m.bpd", "--epochs", "1"], "/nonexistent/folder"),
    (["--data", PENGUINS, "--target", "body_mass_g", "--learning-rate", "1e6", "--options", "OPTIONS"], "not finite"),
], ids=lambda v: str(v)[-50:])
def test_a_failing_train_reports_the_reason(tmp_path, arguments, words):
    options = tmp_path / "options.json"
    options.write_text('{"optimizer":{"type":"sgd","momentum":0.9},"l2":1000,"early_stopping":{"patience":1000}}')
    done = harness.run("train", *(options if a == "OPTIONS" else a for a in arguments), cwd=tmp_path)
    assert done.returncode in (1, 2) and words in done.stderr, done
    assert not (tmp_path / "model.bpd").exists()


@pytest.mark.parametrize("text, words", [("{", "line 1"), ('{"layers":[{"type":"dens","units":1}]}', '"dense"'), ("[]", "object")])
def test_wrong_definition_file(tmp_path, text, words):
    (tmp_path / "model.json").write_text(text)
    for arguments in (["train", "--data", PENGUINS, "--target", "species", "--definition", "model.json"], ["gradcheck", "model.json", "--input", "4"]):
        done = harness.run(*arguments, cwd=tmp_path)
        assert done.returncode in (1, 2) and words in done.stderr, done


def test_a_failing_predict_reports_the_reason(trained, tmp_path):
    (tmp_path / "noise.bpd").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "half.bpd").write_bytes(trained[0].read_bytes()[:-100])
    for model in ("noise.bpd", "half.bpd", "none.bpd"):
        done = harness.run("predict", "--model", model, "--data", PENGUINS, cwd=tmp_path)
        assert done.returncode == 1 and model in done.stderr and done.stdout == "", done
    header = "island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex\n"
    for text, words in (("", "empty"), (header, "no rows"), (header + "Biscoe,long,1,2,3,male\n", "line 2"), (header + "Biscoe,1\n", "line 2")):
        done = harness.run("predict", "--model", trained[0], "--data", "-", stdin=text)
        assert done.returncode == 1 and words in done.stderr, done


# ---- gradcheck ----

def test_gradcheck(tmp_path):
    definition = {"layers": [{"type": "dense", "units": 6, "activation": "gelu"}, {"type": "dense", "units": 4, "activation": "softplus"}, {"type": "dense", "units": 3, "activation": "softmax"}],
                  "loss": "cross_entropy"}
    (tmp_path / "model.json").write_text(json.dumps(definition))
    done = harness.run("gradcheck", "model.json", "--input", "5", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.count("dense_") >= 3, done
    (tmp_path / "inputs.json").write_text(json.dumps({**definition, "inputs": {"features": {"shape": [5]}}}))
    assert harness.run("gradcheck", "inputs.json", cwd=tmp_path).returncode == 0
    (tmp_path / "image.json").write_text(json.dumps({"layers": ["flatten", {"type": "dropout", "rate": 0.5}, {"type": "dense", "units": 1}], "loss": "mse"}))
    assert harness.run("gradcheck", "image.json", "--input", "4,4,2", "--batch", "3", "--seed", "5", cwd=tmp_path).returncode == 0
    (tmp_path / "grades.json").write_text(json.dumps({"layers": [{"type": "dense", "units": 4, "activation": "ordinal"}]}))
    assert harness.run("gradcheck", "grades.json", "--input", "5", cwd=tmp_path).returncode == 0
    strict = harness.run("gradcheck", "model.json", "--input", "5", "--tolerance", "1e-30", cwd=tmp_path)
    assert strict.returncode == 1, strict  # nothing is as exact as that: the check can fail
    needs = harness.run("gradcheck", "model.json", cwd=tmp_path)
    assert needs.returncode in (1, 2) and "--input" in needs.stderr


# ---- doctor, help, usage ----

def test_doctor(tmp_path, server):
    done = harness.run("doctor", "--data-dir", tmp_path)
    assert done.returncode == 0 and "no problems found" in done.stdout and "kernels" in done.stdout
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    assert harness.run("doctor", "--data-dir", tmp_path / "file").returncode == 1
    assert harness.run("doctor", "--url", server.url).returncode == 0


def test_doctor_checks_a_server(fresh, tmp_path):
    (tmp_path / "key").write_text("a-key-of-at-least-sixteen-characters\n")
    keyed = fresh("--api-key-file", str(tmp_path / "key"))
    assert harness.run("doctor", "--url", keyed.url, "--api-key-file", tmp_path / "key").returncode == 0
    url = keyed.url
    assert keyed.stop() == 0
    gone = harness.run("doctor", "--url", url)
    assert gone.returncode == 1 and url.split("//")[1].split(":")[1] in gone.stderr + gone.stdout
    assert harness.run("doctor", "--url", "nonsense").returncode in (1, 2)


def test_help_and_version():
    version = harness.run("--version")
    assert version.returncode == 0 and version.stdout.startswith("backpropd ")
    overview = harness.run("help")
    assert overview.returncode == 0 and harness.run("--help").stdout == harness.run().stdout == overview.stdout
    for topic in ("serve", "train", "predict", "export", "import", "alias", "gradcheck", "doctor"):
        done = harness.run("help", topic)
        assert done.returncode == 0 and "Example" in done.stdout and done.stderr == "" and "backpropd %s" % topic in overview.stdout
    settings = harness.run("help", "serve").stdout
    assert "--data-dir" in settings and "--api-key-file" in settings
    wrong = harness.run("help", "serv")
    assert wrong.returncode == 2 and "serve" in wrong.stderr


@pytest.mark.parametrize("arguments, words", [
    (["srve"], "serve"), (["nonsense"], "help"), (["train"], "--data"), (["train", "--data", "x.csv"], "--target"), (["train", "--dta", "x"], "--data"), (["train", "--data"], "value"),
    (["predict"], "--model"), (["predict", "--model", "x", "--data", "y", "--format", "xml"], "csv or json"), (["gradcheck"], "the file with the model definition"), (["gradcheck", "x", "--inptu", "4"], "--input"),
    (["doctor", "--ulr", "x"], "--url"), (["--nonsense"], "help"), (["job"], "serve"),
], ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_wrong_usage(arguments, words):
    done = harness.run(*arguments)
    assert done.returncode == 2 and words in done.stderr and done.stdout == "", done


# ---- what is known before the work begins ----------------------------------------------------------------------------------------------


def test_an_out_that_cannot_be_is_refused_before_training(tmp_path):
    (tmp_path / "folder").mkdir()
    for out, words in (("none/model.bpd", "there is no folder none"), ("folder", "is a folder"), (str(PENGUINS) + "/model.bpd", "there is no folder")):
        done = harness.run("train", "--data", PENGUINS, "--target", "species", "--epochs", "1", "--out", out, cwd=tmp_path)
        assert done.returncode == 2 and words in done.stderr and "epoch" not in done.stderr and "rows" not in done.stderr, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_model_is_replaced_by_a_whole_one(tmp_path):
    out = tmp_path / "model.bpd"
    out.write_text("the one before")
    failed = harness.run("train", "--data", PENGUINS, "--target", "species", "--epochs", "3", "--learning-rate", "1e30", "--out", out)
    assert failed.returncode == 1 and out.read_text() == "the one before" and [p.name for p in tmp_path.iterdir()] == ["model.bpd"]
    assert harness.run("train", "--data", PENGUINS, "--target", "species", "--epochs", "1", "--out", out, "--quiet").returncode == 0
    assert out.stat().st_size > 1000 and [p.name for p in tmp_path.iterdir()] == ["model.bpd"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    rows = ["%d,%s,%s" % (i, "ab"[i % 2], "hi" if i > 30 else "lo") for i in range(1, 61)]
    (folder / "t.csv").write_text("x,c,y\n" + "\n".join(rows) + "\n")
    done = harness.run("train", "--data", "t.csv", "--target", "y", "--seed", "1", "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_predict_without_any_feature_is_refused(small):
    done = harness.run("predict", "--model", "model.bpd", "--data", "-", stdin="foo,bar\n1,2\n3,4\n", cwd=small)
    assert done.returncode == 1 and done.stdout == "" and "none of the columns is a feature of this model; its features: x, c" in done.stderr


def test_predict_warns_as_the_server_does(small):
    part = harness.run("predict", "--model", "model.bpd", "--data", "-", stdin="x,extra,y\n5,1,lo\n50,2,hi\n", cwd=small)
    assert part.returncode == 0 and len(part.stdout.splitlines()) == 3
    assert 'column "c" is absent' in part.stderr and 'column "extra" is not a feature' in part.stderr and '"y"' not in part.stderr
    new = harness.run("predict", "--model", "model.bpd", "--data", "-", stdin="x,c\n5,NEW\n", cwd=small)
    assert new.returncode == 0 and "NEW" in new.stderr and "warning" in new.stderr
    assert harness.run("predict", "--model", "model.bpd", "--data", "t.csv", cwd=small).stderr == ""


def test_every_format_of_the_server(tmp_path):
    """The same rows in every format give the same model."""
    rows = [(i, 3 * i + 0.5, "ab"[i % 2]) for i in range(60)]
    csv_text = "x,y,c\n" + "".join("%d,%g,%s\n" % r for r in rows)
    numbers = numpy.array([[i, 3 * i + 0.5] for i in range(60)], dtype="<f8")
    numpy.save(tmp_path / "n.npy", numbers)
    numpy.savez(tmp_path / "n.npz", x=numbers[:, 0], y=numbers[:, 1])
    files = {"a.csv": csv_text.encode(), "a.tsv": csv_text.replace(",", "\t").encode(), "a.ndjson": "".join('{"x":%d,"y":%g,"c":"%s"}\n' % r for r in rows).encode(),
             "a.json": json.dumps({"records": [dict(zip("xyc", r)) for r in rows]}).encode(), "a.csv.gz": gzip.compress(csv_text.encode())}
    models = {}
    for name, body in files.items():
        (tmp_path / name).write_bytes(body)
        done = harness.run("train", "--data", name, "--target", "y", "--epochs", "3", "--seed", "1", "--out", name + ".bpd", "--quiet", cwd=tmp_path)
        assert done.returncode == 0, (name, done.stderr)
        models[name] = harness.run("predict", "--model", name + ".bpd", "--data", name, cwd=tmp_path).stdout
    assert set(models.values()) == {models["a.csv"]} and len(models["a.csv"].splitlines()) == 61
    for name, target in (("n.npy", "x1"), ("n.npz", "y")):
        done = harness.run("train", "--data", name, "--target", target, "--epochs", "3", "--seed", "1", "--out", "n.bpd", "--quiet", cwd=tmp_path)
        assert done.returncode == 0, (name, done.stderr)
        assert len(harness.run("predict", "--model", "n.bpd", "--data", name, cwd=tmp_path).stdout.splitlines()) == 61
    (tmp_path / "p.parquet").write_bytes(b"PAR1" + bytes(100))
    done = harness.run("train", "--data", "p.parquet", "--target", "y", cwd=tmp_path)
    assert done.returncode == 1 and "Parquet" in done.stderr and "to_csv" in done.stderr


# ---- doctor ------------------------------------------------------------------------------------------------------------------------------


def test_doctor_refuses_what_serve_refuses(tmp_path, fresh):
    """doctor reports every problem that ends `serve` at its start, and fails."""
    key, foreign, newer, other = tmp_path / "key", tmp_path / "foreign", tmp_path / "newer", tmp_path / "other"
    key.write_text("short\n")
    (foreign / "datasets").mkdir(parents=True)
    (foreign / "datasets/customers.csv").write_text("a\n1\n")
    for folder, pragma in ((newer, "PRAGMA application_id = 0x42504431; PRAGMA user_version = 99"), (other, "PRAGMA application_id = 5")):
        folder.mkdir()
        with sqlite3.connect(folder / "backpropd.db") as database:
            database.executescript("CREATE TABLE t(x); " + pragma)
        database.close()
    server = fresh()
    taken = "127.0.0.1:%d" % server.port
    cases = [({}, ["--data-dir", foreign]), ({}, ["--data-dir", newer]), ({}, ["--data-dir", other]), ({}, ["--data-dir", "/dev/null"]), ({}, ["--data-dir", "/nowhere/at/all"]),
             ({}, ["--data-dir", tmp_path / "new", "--api-key-file", key]), ({}, ["--data-dir", tmp_path / "new", "--api-key-file", tmp_path / "none"]),
             ({"BACKPROPD_LISTEN": "0.0.0.0:0"}, ["--data-dir", tmp_path / "new"]), ({"BACKPROPD_LISTEN": "nonsense"}, ["--data-dir", tmp_path / "new"]),
             ({"BACKPROPD_LISTEN": taken}, ["--data-dir", tmp_path / "new"]), ({"BACKPROPD_WORKERS": "many"}, ["--data-dir", tmp_path / "new"]),
             ({"BACKPROPD_KERNELS": "mmx"}, ["--data-dir", tmp_path / "new"]), ({"BACKPROPD_CONFIG": str(tmp_path / "none.conf")}, ["--data-dir", tmp_path / "new"])]
    for env, flags in cases:
        env = {"BACKPROPD_LISTEN": "127.0.0.1:0", **env}
        refused = harness.run("serve", *flags, env=env)
        assert refused.returncode in (1, 2) and "listening" not in refused.stdout, (env, flags, refused)
        ill = harness.run("doctor", *flags, env=env)
        assert ill.returncode == 1 and ill.stdout.endswith("problems found\n") and "no problems found" not in ill.stdout, (env, flags, ill)
    well = harness.run("doctor", "--data-dir", tmp_path / "well", env={"BACKPROPD_LISTEN": "127.0.0.1:0"})
    assert well.returncode == 0 and well.stdout.endswith("no problems found\n") and not (tmp_path / "well").exists(), well
    beside = harness.run("doctor", "--data-dir", server.folder, env={"BACKPROPD_LISTEN": taken})
    assert beside.returncode == 0 and "in use by a running server, process %d" % server.process.pid in beside.stdout, beside
    assert list((foreign / "datasets").iterdir()) == [foreign / "datasets/customers.csv"] and sorted(p.name for p in foreign.iterdir()) == ["datasets"]


def test_unknown_variables_are_reported(fresh, tmp_path):
    env = {"BACKPROPD_WORKER": "3", "BACKPROPD_SOMETHING_ELSE": "x", "BACKPROPD_BODY_MAX": "1M"}
    server = fresh(env=env)
    log = server.log_text()
    assert "event=unknown_variable name=BACKPROPD_WORKER did_you_mean=BACKPROPD_WORKERS" in log and "name=BACKPROPD_SOMETHING_ELSE" in log
    assert "BACKPROPD_BODY_MAX" not in log
    told = harness.run("doctor", "--data-dir", tmp_path / "new", env={**env, "BACKPROPD_LISTEN": "127.0.0.1:0"}).stdout
    assert "BACKPROPD_WORKER is not a setting, did you mean BACKPROPD_WORKERS" in told
