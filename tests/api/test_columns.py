"""The `columns` of a job: how single features become numbers. Goal: each policy works as documented in training and in prediction, with the same fitted
numbers, which the version shows; what is refused is refused with its place."""
import math

import pytest

from harness import unique

LINEAR = {"layers": []}


def upload(server, **columns):
    name = unique("data")
    assert server.post("/v1/datasets", {"name": name, "columns": columns}).status == 201
    return name


def fitted(server, data, columns, **more):
    """The preprocessing of a training on all rows, and its model."""
    model = unique("columns")
    job = server.train(model={"name": model, **LINEAR}, dataset=data, target="y", task="regression", epochs=1, seed=1, validation={"fraction": 0}, columns=columns, **more)
    version = server.get("/v1/models/%s/versions/1" % model).json
    assert version["columns"] == job["columns"]
    return model, {f["name"]: f for f in version["preprocessing"]["features"]}, job


V = [1.0, 2.0, 4.0, 8.0, 1000.0]
Y = [1, 2, 3, 4, 5.5]


def test_scales_by_hand(server):
    """Means and deviations as NumPy gives them: of V, of its logarithms, quartiles 2 and 8, range 999."""
    data = upload(server, a=V, b=V, c=V, d=V, e=V, f=V, y=Y)
    _, got, job = fitted(server, data, {"b": {"scale": "minmax"}, "c": {"scale": "robust"}, "d": {"scale": "log"}, "e": {"scale": "none"}, "f": {"scale": "quantile"}})
    assert [job["columns"][c]["scale"] for c in "abcdef"] == ["standard", "minmax", "robust", "log", "none", "quantile"]
    assert math.isclose(got["a"]["mean"], 203) and math.isclose(got["a"]["std"], 398.507214489274)
    assert (got["b"]["mean"], got["b"]["std"]) == (1, 999) and (got["c"]["mean"], got["c"]["std"]) == (4, 6) and (got["e"]["mean"], got["e"]["std"]) == (0, 1)
    logs = [math.log1p(v) for v in V]
    mean = sum(logs) / 5
    assert math.isclose(got["d"]["mean"], mean) and math.isclose(got["d"]["std"], math.sqrt(sum((v - mean) ** 2 for v in logs) / 5))
    assert got["f"]["knots"][0] == 1 and got["f"]["knots"][50] == 4 and got["f"]["knots"][100] == 1000
    assert math.isclose(got["f"]["mean"], 0.5) and math.isclose(got["f"]["std"], math.sqrt(1 / 8))  # places 0, 1/4, 1/2, 3/4, 1


def test_missing_by_hand(server):
    W = [1.0, None, 4.0, 7.0, None]
    data = upload(server, a=W, b=W, c=W, d=W, x=V, y=Y)
    model, got, job = fitted(server, data, {"b": {"missing": "mean"}, "c": {"missing": "median"}, "d": {"missing": -3}})
    assert [job["columns"][c]["missing"] for c in "abcd"] == ["indicator", "mean", "median", -3]
    assert [got[c]["missing"] for c in "abcd"] == ["mean_and_indicator", "mean", "median", "constant"] and (got["c"].get("fill", got["c"]["mean"]), got["d"]["fill"]) == (4, -3)
    given = {"a": 4, "b": 4, "c": 4, "d": -3, "x": 2}
    full = server.predict(model, [given])[0]
    for column in "bcd":  # the replacement of the missing value predicts the same
        assert server.predict(model, [{k: v for k, v in given.items() if k != column}])[0] == full
    assert server.predict(model, [{k: v for k, v in given.items() if k != "a"}])[0] != full


def test_robust_takes_the_median(server):
    """Of the four values the median is 3, the quartiles are 1.75 and 254; the clip is of the form of RealMLP."""
    W = [1.0, 2.0, None, 4.0, 1004.0]
    data = upload(server, a=W, b=W, c=W, d=W, x=V, y=Y)
    robust = {"scale": "robust"}
    model, got, job = fitted(server, data, {"a": robust, "b": {**robust, "missing": "mean", "clip": 0}, "c": {**robust, "missing": "indicator"}, "d": {**robust, "missing": -3}, "x": robust})
    assert [job["columns"][c]["missing"] for c in "abcdx"] == ["indicator", "mean", "indicator", -3, "median"]
    assert [got[c]["missing"] for c in "abcdx"] == ["median_and_indicator", "mean", "median_and_indicator", "constant", "median"]
    assert (got["a"]["mean"], got["a"]["std"], got["b"]["fill"]) == (3, 254 - 1.75, 252.75) and "fill" not in got["a"]
    assert [got[c].get("clip_form") for c in "abx"] == ["smooth", None, "smooth"]
    full = server.predict(model, [{"a": 3, "b": 252.75, "c": 2, "d": -3, "x": 4}])[0]
    assert server.predict(model, [{"a": 3, "c": 2}])[0] == full


def test_rows_are_dropped(server):
    data = upload(server, a=[1, None, 3, 4, None, 6], k=["u", "v", None, "u", "v", "u"], y=[1, 2, 3, 4, 5, 6.5])
    model = unique("drop")
    job = server.train(model={"name": model, **LINEAR}, dataset=data, target="y", epochs=1, seed=1, validation={"fraction": 0},
                       columns={"a": {"missing": "drop"}, "k": {"missing": "drop"}})
    version = server.get("/v1/models/%s/versions/1" % model).json
    assert version["rows_trained"] == 3 and "3 of 6 rows" in job["warnings"][0] and "drop" in job["warnings"][0]
    assert "value" in server.predict(model, [{"k": "u"}])[0]  # a prediction has no row to drop


def test_categories_as_places(server):
    data = upload(server, size=["10", "9", "S", "10", "9", "9"], y=[1, 2, 3, 4, 5, 6.5])
    model, got, _ = fitted(server, data, {"size": {"encode": "ordinal"}})
    assert got["size"]["categories"] == ["9", "10", "S"]  # numbers by value, then texts
    assert math.isclose(got["size"]["mean"], 4 / 6) and math.isclose(got["size"]["std"], math.sqrt(5 / 9))
    assert len(server.get("/v1/models/%s/versions/1" % model).json["layers"]) == 1


def test_an_embedding_of_a_category(server):
    colours = ["red", "green", "blue"] * 20
    data = upload(server, colour=colours, x=[i % 5 for i in range(60)], y=[{"red": 1.5, "green": -1, "blue": 4}[c] for c in colours])
    model = unique("embed")
    layers = [{"type": "embedding", "input_dim": 4, "output_dim": 2, "inputs": ["colour"], "name": "e"}, {"type": "flatten", "name": "f"},
              {"type": "concatenate", "inputs": ["f", "features"]}, {"type": "dense", "units": 8, "activation": "tanh"}]
    server.train(model={"name": model, "layers": layers}, dataset=data, target="y", task="regression", epochs=200, seed=1, columns={"colour": {"encode": "embedding"}},
                 optimizer={"type": "adam", "learning_rate": 0.02})
    got = [p["value"] for p in server.predict(model, [{"colour": c, "x": 2} for c in ("red", "green", "blue")])]
    assert all(abs(a - b) < 0.3 for a, b in zip(got, (1.5, -1, 4)))
    assert "value" in server.predict(model, [{"colour": "mauve", "x": 2}])[0]
    layers[0]["input_dim"] = 3
    answer = server.post("/v1/jobs", {"model": {"layers": layers}, "dataset": data, "target": "y", "task": "regression", "columns": {"colour": {"encode": "embedding"}}})
    assert answer.status == 422 and "at least 4" in answer.json["errors"][0]["detail"]


def test_refused_values_are_refused_in_predictions(server):
    data = upload(server, k=["u", "v", "u", "v", "u", "v"], a=[1, 2, 3, 4, 5, 6], y=[1, 2, 3, 4, 5, 6.5])
    model, _, _ = fitted(server, data, {"k": {"unseen": "error"}, "a": {"missing": "error"}})
    for body, pointer, words in (({"instances": [{"k": "u", "a": 1}, {"k": "w", "a": 1}]}, "/instances/1/k", '"w"'),
                                 ({"instances": [["u", None]]}, "/instances/0/1", "missing"), ({"inputs": {"k": ["u"]}}, "/inputs/a/0", "missing")):
        answer = server.post("/v1/models/%s/predict" % model, body)
        assert answer.status == 422 and answer.json["errors"][0]["pointer"] == pointer and words in answer.json["errors"][0]["detail"], answer
    assert "value" in server.predict(model, [{"k": "u", "a": 1}])[0]


def test_unseen_may_be_ignored(server):
    """With ignore there is no bucket: one weight less, and an unseen category is all 0."""
    data = upload(server, k=["u", "v"] * 3, y=[1, 2, 3, 4, 5, 6.5])
    _, _, with_bucket = fitted(server, data, {})
    model, _, without = fitted(server, data, {"k": {"unseen": "ignore"}})
    assert with_bucket["parameters"] - without["parameters"] == 1
    assert "value" in server.predict(model, [{"k": "w"}])[0]


@pytest.mark.parametrize("columns, pointer, words", [
    ([], "/columns", "object"), ({"a": 5}, "/columns/a", "5"), ({"nope": {}}, "/columns/nope", "no column"), ({"y": {"scale": "log"}}, "/columns/y", "not a feature"),
    ({"a": {"scale": "logg"}}, "/columns/a/scale", "log"), ({"a": {"scal": "log"}}, "/columns/a/scal", "scale"), ({"k": {"scale": "log"}}, "/columns/k/scale", "numbers"),
    ({"a": {"encode": "ordinal"}}, "/columns/a/encode", "categories"), ({"a": {"missing": "bucket"}}, "/columns/a/missing", "does not apply"),
    ({"k": {"missing": "median"}}, "/columns/k/missing", "does not apply"), ({"a": {"missing": "error"}}, "/columns/a/missing", "2 missing cells"),
    ({"a": {"missing": "constant"}}, "/columns/a", "number itself"), ({"a": {"unseen": "ignore"}}, "/columns/a/unseen", "categories")])
def test_wrong_columns(server, columns, pointer, words):
    data = upload(server, a=[1, None, 3, None], k=["u", "v", "u", "v"], y=[1.5, 2, 3, 4])
    answer = server.post("/v1/jobs", {"model": LINEAR, "dataset": data, "target": "y", "columns": columns})
    assert answer.status == 422 and any(e["pointer"] == pointer and words in e["detail"] for e in answer.json["errors"]), answer.json["errors"]


# ---- which rows validate --------------------------------------------------------------------------------------------------


def split_of(server, data, validation, **more):
    model = unique("split")
    job = server.train(model={"name": model, **LINEAR}, dataset=data, target="y", task="regression", epochs=2, seed=3, validation=validation, **more)
    version = server.get("/v1/models/%s/versions/1" % model).json
    return job, version["rows_trained"], version["rows_validated"]


def test_the_last_validate(server):
    """y is the year: trained on the first eight, the mean of the target is that of the first eight."""
    years = [2010, 2019, 2012, 2013, 2014, 2018, 2016, 2017, 2015, 2011]
    data = upload(server, year=years, x=list(range(10)), y=[v - 2000.5 for v in years])
    model = unique("time")
    job = server.train(model={"name": model, **LINEAR}, dataset=data, target="y", epochs=1, seed=1, validation={"time": "year", "fraction": 0.2})
    version = server.get("/v1/models/%s/versions/1" % model).json
    assert (version["rows_trained"], version["rows_validated"]) == (8, 2) and version["preprocessing"]["target"]["mean"] == 13
    assert job["features"] == ["year", "x"] and job["options"]["validation"] == {"fraction": 0.2, "time": "year"}


def test_groups_stay_together(server):
    """Each group's rows have one target: held-out groups have values that no training row has, so the ranges show that none was split."""
    groups = ["g%d" % (i // 10) for i in range(100)]
    data = upload(server, g=groups, x=[i % 7 for i in range(100)], y=[0.5 + i // 10 for i in range(100)])
    job, trained, validated = split_of(server, data, {"group": "g", "fraction": 0.2})
    assert (trained, validated) == (80, 20) and job["features"] == ["x"]
    again, _, _ = split_of(server, data, {"group": "g", "fraction": 0.2})
    assert again["metrics"] == job["metrics"]
    wide = upload(server, g=groups[:10], x=list(range(10)), y=[i + 0.5 for i in range(10)])
    answer = server.post("/v1/jobs", {"model": LINEAR, "dataset": wide, "target": "y", "validation": {"group": "g"}})
    assert answer.status == 422 and "only one group" in answer.json["errors"][0]["detail"] and answer.json["errors"][0]["pointer"] == "/validation/group"


def test_split_by_a_column(server):
    """Texts, booleans and numbers; rows with neither value take no part; the share is returned."""
    n = 20
    words = upload(server, part=["train"] * 12 + ["Validation"] * 4 + ["test"] * 4, x=list(range(n)), y=[v + 0.5 for v in range(n)])
    job, trained, validated = split_of(server, words, {"column": "part"})
    assert (trained, validated) == (12, 4) and job["features"] == ["x"] and job["options"]["validation"] == {"fraction": 0.25, "column": "part"}
    truths = upload(server, part=[False] * 15 + [True] * 5, x=list(range(n)), y=[v + 0.5 for v in range(n)])
    assert split_of(server, truths, {"column": "part"})[1:] == (15, 5)
    numbers = upload(server, part=[0] * 14 + [1] * 6, x=list(range(n)), y=[v + 0.5 for v in range(n)])
    assert split_of(server, numbers, {"column": "part"})[1:] == (14, 6)


@pytest.mark.parametrize("validation, pointer, words", [
    ({"group": "nope"}, "/validation/group", "no column"), ({"time": "k"}, "/validation/time", "a time must be a datetime or a number"), ({"time": 5}, "/validation/time", "5"),
    ({"group": "k", "time": "x"}, "/validation/time", "one way"), ({"group": "y"}, "/validation/group", "target"), ({"column": "k"}, "/validation/column", "0 rows to train"),
    ({"fold": 5}, "/validation/fold", "folds"), ([], "/validation", "object")])
def test_wrong_splits(server, validation, pointer, words):
    data = upload(server, k=["u", "v"] * 5, x=list(range(10)), y=[v + 0.5 for v in range(10)])
    answer = server.post("/v1/jobs", {"model": LINEAR, "dataset": data, "target": "y", "task": "regression", "validation": validation})
    assert answer.status == 422 and any(e["pointer"] == pointer and words in e["detail"] for e in answer.json["errors"]), answer.json["errors"]
