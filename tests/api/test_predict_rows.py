"""Goal: rows sent as CSV or JSON lines are predicted as they come: the same bits as in JSON, in the form that is asked for; one bad row fails alone, with its
reason; what is wrong with the whole is refused; memory, disk and the answer are bounded."""
import csv
import gzip
import io
import json
import os
import random
import socket
import threading

import pytest

import harness
from harness import problem, unique

CSV, NDJSON, JSON, TSV = "text/csv", "application/x-ndjson", "application/json", "text/tab-separated-values"
FEATURES = ["island", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex"]
LINES = (harness.DATA / "penguins.csv").read_text().splitlines()
HEADER, DATA = LINES[0], LINES[1:]
GOOD = "Torgersen,39.1,18.7,181,3750,male"


@pytest.fixture(scope="module")
def penguins(server):
    name = unique("rows")
    server.train(model={"name": name, "layers": [{"type": "dense", "units": 16, "activation": "relu"}]}, dataset="penguins", target="species", epochs=20)
    return name


def send(server, model, body, kind=CSV, query="", **headers):
    body = body.encode() if isinstance(body, str) else body
    answer = server.request("POST", "/v1/models/%s/predict%s" % (model, query), body=body, headers={"Content-Type": kind, **headers})
    if answer.status == 200 and answer.headers["Content-Type"] == NDJSON:
        for line in answer.body.splitlines():
            harness.check_component(server, "PredictedRow", json.loads(line))
    return answer


def good(server, model, body, kind=CSV, query="", **headers):
    answer = send(server, model, body, kind, query, **headers)
    assert answer.status == 200, answer
    return answer


def table(answer):
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    return list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))


def lines(answer):
    assert answer.headers["Content-Type"] == NDJSON
    return [json.loads(line) for line in answer.body.decode().splitlines()]


def row(text=GOOD, more=""):
    return "%s%s\n%s\n" % (",".join(FEATURES), ",id" if more else "", "\n".join(t + ("," + more if more else "") for t in text.split("\n")))


def instances():
    return [{k: None if v == "" else v if k in ("island", "sex") else float(v) for k, v in r.items() if k in FEATURES}
            for r in csv.DictReader(LINES)]


# ---- forms ----

def test_the_bits_are_those_of_json(server, penguins):
    """344 rows, missing cells among them: more than one block. Every way in, every form out."""
    answer = server.post("/v1/models/%s/predict" % penguins, {"instances": instances()}).json
    expected = answer["predictions"]
    records = "\n".join(json.dumps({"n": i, **r}) for i, r in enumerate(instances()))
    for body, kind in (("\n".join(LINES), CSV), ("\n".join(LINES).replace(",", "\t"), TSV), (records, NDJSON)):
        whole = good(server, penguins, body, kind, Accept=JSON).json
        assert whole["predictions"] == expected and (whole["rows"], whole["failed"]) == (344, 0)
        assert (whole["model"], whole["version"]) == (penguins, 1) and whole["warnings"] == answer["warnings"]
        got = good(server, penguins, body, kind, Accept=NDJSON)
        assert [line["prediction"] for line in lines(got)] == expected and [line["row"] for line in lines(got)] == list(range(1, 345))
        assert (got.headers["X-Rows"], got.headers["X-Failed-Rows"], got.headers["X-Model-Version"]) == ("344", "0", "1")
        assert json.loads(got.headers["X-Warnings"]) == answer["warnings"]
        cells = table(good(server, penguins, body, kind, Accept=CSV))
        for cell, prediction in zip(cells, expected, strict=True):
            assert cell["prediction"] == prediction["label"] and cell["error"] == ""
            assert {k: float(cell["probability_" + k]) for k in prediction["probabilities"]} == prediction["probabilities"]


def test_the_answer_has_the_form_of_the_rows(server, penguins):
    assert good(server, penguins, row()).headers["Content-Type"].startswith(CSV)
    assert good(server, penguins, row().replace(",", "\t"), TSV).headers["Content-Type"].startswith(CSV)
    assert good(server, penguins, json.dumps({"island": "Dream"}), NDJSON).headers["Content-Type"] == NDJSON
    assert good(server, penguins, json.dumps({"island": "Dream"}), "application/jsonl").headers["Content-Type"] == NDJSON
    for accept, expected in (("*/*", CSV), ("text/*", CSV), ("application/*", NDJSON), ("application/json;q=0.5, text/csv;q=0.4", JSON),
                             ("image/png, */*;q=0.1", CSV), ("text/csv;q=0, */*", NDJSON), ("application/ndjson", NDJSON), ("", CSV)):
        assert good(server, penguins, row(), Accept=accept).headers["Content-Type"].startswith(expected), accept
    said = problem(send(server, penguins, row(), Accept="image/png, text/html"), 406, "not_acceptable")
    assert "text/csv, application/x-ndjson or application/json" in said["detail"]
    problem(send(server, penguins, row(), Accept="text/csv;q=0"), 406, "not_acceptable")
    wrong = problem(send(server, penguins, row(), "text/plain"), 415, "unsupported_media_type")
    assert "expected application/json, text/csv or application/x-ndjson" in wrong["detail"]


def test_a_body_of_json_is_as_it_was(server, penguins):
    """Accept does not change it, and the parameters of rows are not for it."""
    body = {"instances": instances()[:1]}
    plain = server.post("/v1/models/%s/predict" % penguins, body)
    assert plain.json == server.post("/v1/models/%s/predict" % penguins, body, headers={"Accept": CSV}).json
    assert "rows" not in plain.json and "X-Rows" not in plain.headers
    said = problem(server.post("/v1/models/%s/predict?keep=all" % penguins, body), 422, "invalid")
    assert "text/csv and application/x-ndjson" in said["detail"]


def test_columns_of_every_kind_of_prediction(server):
    draw = random.Random(3)
    records = [{"a": draw.random(), "y": draw.random(), "z": draw.choice(["yes", "no"]), "tags": draw.sample(["red", "big"], draw.randrange(3))}
               for _ in range(60)]
    data = unique("kinds")
    server.post_json(data, records=records, types={"tags": "labels"})

    def header(**job):
        name = unique("kind")
        server.train(model={"name": name, **{"layers": [], **job.pop("model", {})}}, dataset=data, features=["a"], epochs=2, **job)
        answer = good(server, name, "a,id\n0.5,7\n")
        (line,) = table(answer)
        assert line["id"] == "7" and line["error"] == ""
        as_json = server.predict(name, [{"a": 0.5}])[0]
        return answer.body.decode().splitlines()[0], line, as_json

    names, line, as_json = header(target="y")
    assert names == "id,value,error" and line["value"] == json.dumps(as_json["value"])
    names, line, as_json = header(target="y", model={"loss": {"type": "quantile", "quantiles": [0.1, 0.5, 0.9]}})
    assert names == "id,value,quantiles_0.1,quantiles_0.5,quantiles_0.9,error"
    assert {k: float(line["quantiles_" + k]) for k in as_json["quantiles"]} == as_json["quantiles"]
    names, line, as_json = header(target="tags")
    assert names.startswith("id,labels,probability_") and json.loads(line["labels"]) == as_json["labels"]
    assert {k: float(line["probability_" + k]) for k in as_json["probabilities"]} == as_json["probabilities"]
    names, line, as_json = header(target="z", model={"loss": "hinge"})
    assert names == "id,prediction,score_no,score_yes,error" and float(line["score_yes"]) == as_json["scores"]["yes"]
    names, line, as_json = header(target=["y", "z"], model={"layers": [{"type": "dense", "units": 2}]})
    outputs = as_json["outputs"]
    assert names == "id,value_y,prediction_z,probability_z_no,probability_z_yes,error"
    assert float(line["value_y"]) == outputs["y"]["value"] and line["prediction_z"] == outputs["z"]["label"]


def test_a_tensor_needs_json_lines(server):
    name = unique("tensor")
    server.train(model={"name": name, "layers": [{"type": "dense", "units": 2}]}, target="y", epochs=1, validation={"fraction": 0},
                 dataset={"columns": {"x": [[[1, 2]], [[2, 3]]] * 10, "y": [[[1, 2]], [[2, 1]]] * 10}})
    (line,) = lines(good(server, name, '{"x":[[1,2]]}\n', NDJSON))
    assert line["prediction"] == server.predict(name, [{"x": [[1, 2]]}])[0]
    (line,) = lines(good(server, name, 'x\n"[[1,2]]"\n', Accept=NDJSON))
    assert line["prediction"] == server.predict(name, [{"x": [[1, 2]]}])[0]
    assert "tensor, which CSV cannot hold" in problem(send(server, name, '{"x":[[1,2]]}\n', NDJSON, Accept=CSV), 422, "invalid")["detail"]
    for wrong, expected in (('{"x":[[1]]}', "expects 2 numbers of the shape"), ('{"x":3}', "expects nested arrays"), ('{"x":[["a",1]]}', "expects only numbers")):
        (line,) = lines(good(server, name, wrong, NDJSON))
        assert expected in line["error"]["detail"]


# ---- how text is written ----

@pytest.mark.parametrize("body", [
    "\ufeff" + row(), row().replace("\n", "\r\n"), row().rstrip("\n"), row(GOOD.replace("Torgersen", '"Torgersen"')), "# comment\n" + row(),
    row().replace("39.1", " 39.1 "), "\n" + row() + "\n\n", ",".join(reversed(FEATURES)) + "\n" + ",".join(reversed(GOOD.split(","))) + "\n",
    row().replace(".", "§").replace(",", ";").replace("§", ","), row("Torgersen,3.91e1,18.70,+181,3750.0,male"), "sep=,\n" + row()],
    ids=["bom", "crlf", "no newline at the end", "quotes", "comment", "blanks", "blank lines", "another order", "semicolons and decimal commas", "numbers", "sep"])
def test_ways_to_write_the_same(server, penguins, body):
    expected = good(server, penguins, row()).body
    assert good(server, penguins, body).body == expected


def test_dialects_can_be_given(server, penguins):
    expected = good(server, penguins, row()).body
    assert good(server, penguins, row().replace(",", "|"), query="?separator=pipe").body == expected
    assert good(server, penguins, row().replace("Torgersen", "'Torgersen'"), query="?quote=single").body == expected
    problem(send(server, penguins, row(), query="?separator=x"), 422, "invalid")
    assert "are for text/csv" in problem(send(server, penguins, "{}", NDJSON, query="?header=true"), 422, "invalid")["detail"]
    assert "none of the columns" in problem(send(server, penguins, row(), query="?header=false"), 422, "invalid")["detail"]


def test_compressed_bodies(server, penguins):
    expected = good(server, penguins, row()).body
    packed = gzip.compress(row().encode())
    for headers in ({"Content-Encoding": "gzip"}, {}):  # recognised without the header, as for uploads
        assert good(server, penguins, packed, **headers).body == expected
    problem(send(server, penguins, packed[:-9], **{"Content-Encoding": "gzip"}), 422, "invalid")


def test_texts_with_quotes_and_newlines_are_kept(server, penguins):
    text = 'say "hi",\nthere'
    body = "note,%s\n\"%s\",%s\n" % (",".join(FEATURES), text.replace('"', '""'), GOOD)
    assert table(good(server, penguins, body))[0]["note"] == text
    assert lines(good(server, penguins, body, Accept=NDJSON))[0]["input"] == {"note": text}
    record = {"note": text + "\u0001\u00e9\\", **dict(zip(FEATURES, GOOD.split(",")))}
    assert lines(good(server, penguins, json.dumps(record), NDJSON))[0]["input"] == {"note": record["note"]}


# ---- columns that are kept ----

def test_extra_columns_come_back(server, penguins):
    body = "id,%s,species,code\n17,%s,Adelie,00501\nx,%s,,\n" % (",".join(FEATURES), GOOD, GOOD)
    got = table(good(server, penguins, body))
    assert [(r["id"], r["species"], r["code"]) for r in got] == [("17", "Adelie", "00501"), ("x", "", "")]
    assert [r["input"] for r in lines(good(server, penguins, body, Accept=NDJSON))] == [
        {"id": 17, "species": "Adelie", "code": "00501"}, {"id": "x", "species": None, "code": None}]
    assert good(server, penguins, body, query="?keep=none").body.startswith(b"prediction,")
    assert good(server, penguins, body, query="?keep=all").body.startswith(b"id,island,bill_length_mm,")
    assert good(server, penguins, body, query="?keep=sex,id").body.decode().splitlines()[1].startswith("17,male,Adelie,")
    said = problem(send(server, penguins, body, query="?keep=ids"), 422, "invalid")
    assert "keep names the column \"ids\"" in said["detail"]
    problem(send(server, penguins, body, query="?keep="), 422, "invalid")


def test_records_keep_what_the_first_one_has(server, penguins):
    base = dict(zip(FEATURES, GOOD.split(",")))
    records = [{"id": 1, "tags": [1, {"a": None}], "ok": True, **base}, {**base, "later": 2}, {"id": None, **base, "tags": "x"}]
    answer = good(server, penguins, "\n".join(map(json.dumps, records)), NDJSON)
    assert [r["input"] for r in lines(answer)] == [{"id": 1, "tags": [1, {"a": None}], "ok": True}, {"id": None, "tags": None, "ok": None},
                                                   {"id": None, "tags": "x", "ok": None}]
    assert any('"later"' in w for w in json.loads(answer.headers["X-Warnings"]))
    answer = good(server, penguins, "\n".join(map(json.dumps, records)), NDJSON, "?keep=later,id", Accept=CSV)
    assert [(r["later"], r["id"]) for r in table(answer)] == [("", "1"), ("2", ""), ("", "")]


def test_a_column_that_the_answer_has_too(server, penguins):
    body = "prediction,error,%s\na,b,%s\n" % (",".join(FEATURES), GOOD)
    answer = good(server, penguins, body)
    assert answer.body.startswith(b"prediction,probability_") and len(json.loads(answer.headers["X-Warnings"])) == 2
    assert lines(good(server, penguins, body, Accept=NDJSON))[0]["input"] == {"prediction": "a", "error": "b"}
    assert "cannot be kept" in problem(send(server, penguins, body, query="?keep=error"), 422, "invalid")["detail"]


# ---- rows that fail alone ----

def test_a_bad_row_fails_alone(server, penguins):
    texts = [GOOD, "Torgersen,heavy,18.7,181,3750,male", "Torgersen,39.1", GOOD + ",,,", "Torgersen,1e300,18.7,181,3750,male", "Torgersen,nan,?,NA,,",
             "Torgersen,39.1,18.7,181,3750 kg,male", GOOD]
    body = "\n".join([",".join(FEATURES) + ",id"] + ["%s,%d" % (t, i) if i != 2 else t for i, t in enumerate(texts)]) + "\n"
    answer = good(server, penguins, body)
    got = table(answer)
    assert (answer.headers["X-Rows"], answer.headers["X-Failed-Rows"]) == ("8", "5")
    assert [r["id"] for r in got] == ["0", "1", "", "", "4", "5", "6", "7"]
    reasons = ["", 'column "bill_length_mm" expects a number, got the string "heavy"', "the line has 2 cells, the header names 7 columns", "the line has 10 cells",
               'column "bill_length_mm" holds 1e+300, which is too far', "", 'column "body_mass_g" expects a number', ""]
    for r, reason in zip(got, reasons, strict=True):
        assert r["error"].startswith(reason) and (r["error"] == "") == (reason == "")
        assert (r["prediction"] == "") == (reason != "")
    assert got[0]["probability_Adelie"] == got[7]["probability_Adelie"] == table(good(server, penguins, row()))[0]["probability_Adelie"]
    errors = lines(good(server, penguins, body, Accept=NDJSON))
    assert errors[1] == {"row": 2, "input": {"id": 1}, "error": {"line": 3, "column": "bill_length_mm", "value": "heavy", "detail": reasons[1]}}
    whole = good(server, penguins, body, Accept=JSON).json
    assert [("error" in p) for p in whole["predictions"]] == [bool(r) for r in reasons] and (whole["rows"], whole["failed"]) == (8, 5)


def test_a_row_in_latin_1_fails_alone(server, penguins):
    got = table(good(server, penguins, row(GOOD + "\n" + GOOD).encode().replace(b"male\n", b"m\xe4nnlich\n", 1)))
    assert "is not valid UTF-8" in got[0]["error"] and got[1]["error"] == ""


def test_bad_records_fail_alone(server, penguins):
    base = dict(zip(FEATURES, GOOD.split(",")))
    body = "\n".join(['{"island":"Dream"}', "nonsense", "[1,2]", '{"x":1}', '{"bill_lenght_mm":1,"island":"Dream"}', '{"island":"Dream","island":"Dream"}',
                      '{"bill_length_mm":{"a":1},"island":"Dream"}', '{"bill_length_mm":true}', '{"island":["Dream"]}', "", '{"island":"Dream"} {}', json.dumps(base)])
    got = lines(good(server, penguins, body, NDJSON))
    assert [r["row"] for r in got] == list(range(1, 12)) and got[9]["error"]["line"] == 11
    reasons = [None, "not valid JSON at column 1", "expected an object", "no key of this record is a feature", "did you mean \"bill_length_mm\"", "appears twice",
               "expects a number, got an object", "expects a number, got true", "expects a text, got an array", "bytes follow the object", None]
    for r, reason in zip(got, reasons, strict=True):
        assert ("error" in r) == (reason is not None) and (reason is None or reason in r["error"]["detail"]), r
    assert got[10]["prediction"] == server.predict(penguins, [base])[0]
    typo = '{"bill_lenght_mm":1,"island":"Dream"}'
    assert "prediction" in lines(good(server, penguins, typo, NDJSON, "?strict=false"))[0]


def test_rows_that_the_model_refuses(server):
    """"missing": "error" and "unseen": "error" are of a row."""
    name = unique("picky")
    server.train(model={"name": name, "layers": []}, dataset={"columns": {"a": [1, 2, 3, 4] * 5, "c": ["x", "y"] * 10, "y": [1.5, 2.5, 3.5, 4.5] * 5}}, target="y",
                 epochs=1, columns={"a": {"missing": "error"}, "c": {"unseen": "error"}})
    got = table(good(server, name, "a,c\n1,x\n,x\n1,z\n2,y\n"))
    assert [bool(r["value"]) for r in got] == [True, False, False, True]
    assert '"missing":"error"' in got[1]["error"] and 'holds "z"' in got[2]["error"]


def test_warnings_do_not_count_failed_rows(server, penguins):
    body = row("Mars,39.1,18.7,181,3750,male\nMars,heavy,18.7,181,3750,male\nTorgersen,39.1,18.7,181,3750,male")
    (said,) = json.loads(good(server, penguins, body).headers["X-Warnings"])
    assert 'column "island": 1 of 2 values were not in the training rows (the first: "Mars")' in said


def test_thresholds(server):
    name = unique("threshold")
    server.train(model={"name": name, "layers": []}, dataset={"columns": {"a": [1, 2, 3, 4] * 10, "y": ["no", "no", "yes", "yes"] * 10}}, target="y", epochs=2)
    body = "a\n1\n4\n"
    shares = [float(r["probability_yes"]) for r in table(good(server, name, body))]
    assert [r["prediction"] for r in table(good(server, name, body, query="?thresholds=0.999"))] == ["no", "no"]
    assert [r["prediction"] for r in table(good(server, name, body, query="?thresholds=%7B%22yes%22:0.001%7D"))] == ["yes", "yes"]
    assert [float(r["probability_yes"]) for r in table(good(server, name, body, query="?thresholds=0.999"))] == shares
    problem(send(server, name, body, query="?thresholds=x"), 422, "invalid")
    problem(send(server, name, body, query="?thresholds=2"), 422, "invalid")


# ---- the whole is wrong ----

def test_what_is_wrong_with_the_whole(server, penguins):
    for body, expected in (("", "empty"), ("\n\n", "empty"), (",".join(FEATURES), "single line"), (",".join(FEATURES) + "\n", "no rows"), ("a,b\n1,2\n", "none of the columns"),
                           (row().replace("island", "islands"), 'no column "island", a feature of this model, did you mean "islands"?'),
                           (row().replace("island,", "island,island,", 1), "repeats the name"), (row('"' + GOOD), "not closed"), ("PK\x03\x04" + "x" * 600, "zip"),
                           ('{"island":"Dream"}\n' * 3, "looks like application/x-ndjson"), (row() + "\0", "NUL")):
        answer = send(server, penguins, body)
        if expected == "NUL":  # of a row
            assert answer.status == 200 and answer.headers["X-Failed-Rows"] == "1"
            continue
        said = problem(answer, 422, "invalid")
        assert expected in said["detail"], (body[:50], said["detail"])
    assert "no rows" in problem(send(server, penguins, "\n", NDJSON), 422, "invalid")["detail"]
    assert "longer than 16 MiB" in problem(send(server, penguins, row() + "x" * (17 << 20)), 422, "invalid")["detail"]
    assert "longer than 16 MiB" in problem(send(server, penguins, '{"island":"' + "x" * (17 << 20), NDJSON), 422, "invalid")["detail"]
    answer = send(server, penguins, "island\nDream\n")
    assert [e["column"] for e in problem(answer, 422, "invalid")["errors"]] == FEATURES[1:]
    got = good(server, penguins, "island\nDream\n", query="?strict=false")
    assert table(got)[0]["prediction"] and any('"sex": 1 of 1 values missing' in w for w in json.loads(got.headers["X-Warnings"]))
    problem(send(server, penguins, row(), query="?strict=maybe"), 422, "invalid")
    problem(send(server, unique("nobody"), row()), 404, "not_found")
    assert server.request("POST", "/v1/models/%s/versions/1/predict" % penguins, body=row().encode(), headers={"Content-Type": CSV}).status == 200
    problem(server.request("POST", "/v1/models/%s/versions/7/predict" % penguins, body=row().encode(), headers={"Content-Type": CSV}), 404, "not_found")


# ---- bounds ----

def test_a_long_answer_and_what_remains_of_it(server, penguins):
    """More than a megabyte, which waits in a file without a name; pieces of any size; while the version is deleted."""
    count = 30000
    body = "\n".join(["id," + ",".join(FEATURES)] + ["%d,%s" % (i, GOOD) for i in range(count)]).encode()
    expected = table(good(server, penguins, row()))[0]["probability_Adelie"]
    answer = good(server, penguins, body)
    got = table(answer)
    assert len(answer.body) > 1 << 20 and [r["id"] for r in got] == [str(i) for i in range(count)] and {r["probability_Adelie"] for r in got} == {expected}
    with server.socket() as client:  # chunked, cut anywhere
        client.sendall(b"POST /v1/models/%s/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                       % penguins.encode())
        draw, at = random.Random(1), 0
        while at < len(body):
            piece = body[at:at + draw.choice([1, 100, 70000, 300000])]
            at += len(piece)
            client.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        client.sendall(b"0\r\n\r\n")
        received = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert received.endswith(answer.body) and b"X-Rows: 30000\r\n" in received
    assert [f for f in os.listdir(server.folder + "/checkpoints") if f.startswith("tmp")] == []


def test_limits(fresh):
    server = fresh("--rows-max", "100", "--predictions-max", "1M", "--upload-max", "8M")
    server.train(model={"name": "m", "layers": []}, dataset={"columns": {"a": [1, 2, 3, 4] * 5, "y": ["n%02d" % i for i in range(20)]}}, target="y", epochs=1)
    assert send(server, "m", "a\n" + "1\n" * 100).status == 200
    assert "more than 100 rows" in problem(send(server, "m", "a\n" + "1\n" * 101), 413, "too_large")["detail"]
    assert "predictions_max" in problem(send(server, "m", "a,t\n" + ("1," + "x" * 50000 + "\n") * 40), 413, "too_large")["detail"]
    packed = gzip.compress(b"a,t\n1," + b"x" * (9 << 20))
    assert "8388608" in problem(send(server, "m", packed), 413, "too_large")["detail"]
    assert send(server, "m", "a\n1\n").status == 200


def test_clients_that_leave(server, penguins):
    """In the middle of the body and in the middle of the answer: the server goes on, and keeps nothing."""
    body = "\n".join(["id," + ",".join(FEATURES)] + ["%d,%s" % (i, GOOD) for i in range(30000)]).encode()
    head = b"POST /v1/models/%s/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\n" % (penguins.encode(), len(body))
    for sent in (head + body[:len(body) // 2], head + body):
        with server.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
            client.sendall(sent)
    harness.until(lambda: not held_files(server), what="the end of the files of clients that have left")
    assert good(server, penguins, row()).status == 200


def held_files(server):
    """Files without a name that the server has open."""
    found = []
    for fd in os.listdir("/proc/%d/fd" % server.process.pid):
        try:
            found.append(os.readlink("/proc/%d/fd/%s" % (server.process.pid, fd)))
        except FileNotFoundError:
            pass
    return [f for f in found if "(deleted)" in f]


def test_many_at_once(server, penguins):
    """Eight clients with other rows each: no answer has rows of another."""
    failures = []

    def ask(k):
        body = "\n".join(["id," + ",".join(FEATURES)] + ["%d-%d,%s" % (k, i, GOOD) for i in range(3000)])
        answer = server.raw("POST", "/v1/models/%s/predict" % penguins, body.encode(), {"Content-Type": CSV})
        ids = [line.split(",")[0] for line in answer.body.decode().splitlines()[1:]]
        if answer.status != 200 or ids != ["%d-%d" % (k, i) for i in range(3000)]:
            failures.append((k, answer.status, ids[:3]))

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert failures == []
