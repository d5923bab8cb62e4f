"""Goal: the statistics of a dataset equal those of numpy 1.24 and scipy 1.10 (as literals), and are computed fast and with little memory."""
import concurrent.futures
import json
import math
import pathlib
import struct

import pytest

from harness import problem, unique

# numpy: quantiles of 0, 0.05, 0.25, 0.5, 0.75, 0.95, 1; histogram of 30 bins; two of its edges; mean and std. Of penguins, without the missing cells.
NUMBERS = {
    "bill_length_mm": ([32.1, 35.7, 39.225, 44.45, 48.5, 51.995, 59.6],
                       [1, 2, 6, 11, 16, 13, 21, 17, 19, 21, 13, 14, 14, 8, 27, 25, 18, 12, 19, 21, 21, 11, 3, 2, 2, 3, 0, 0, 1, 1],
                       33.016666666666666, 47.68333333333334, 43.9219298245614, 5.4515960231618195),
    "bill_depth_mm": ([13.1, 13.9, 15.6, 17.3, 18.7, 20.0, 21.5],
                      [3, 4, 14, 11, 9, 15, 14, 11, 7, 10, 15, 9, 12, 18, 14, 16, 15, 24, 14, 20, 22, 18, 13, 8, 9, 5, 2, 4, 5, 1],
                      13.379999999999999, 17.86, 17.151169590643278, 1.9719039187562524),
    "flipper_length_mm": ([172.0, 181.0, 190.0, 197.0, 213.0, 225.0, 231.0],
                          [1, 1, 1, 5, 12, 5, 16, 23, 13, 35, 22, 22, 20, 14, 10, 9, 3, 3, 13, 16, 13, 18, 14, 10, 13, 8, 7, 1, 6, 8],
                          173.96666666666667, 205.43333333333334, 200.91520467836258, 14.0411405685891),
    "body_mass_g": ([2700.0, 3150.0, 3550.0, 4050.0, 4750.0, 5650.0, 6300.0],
                    [1, 7, 7, 8, 11, 24, 22, 24, 25, 15, 26, 12, 16, 12, 14, 11, 17, 13, 10, 9, 9, 7, 9, 11, 5, 8, 3, 5, 0, 1],
                    2820.0, 4740.0, 4201.754385964912, 800.781229238452)}


def close(want):
    return pytest.approx(want, rel=1e-12, abs=1e-12)


def statistics(server, name, query=""):
    answer = server.get("/v1/datasets/%s/statistics%s" % (name, query))
    assert answer.status == 200, answer
    return answer.json


def by_column(told):
    return {a["column"]: a for a in told["associations"]}


def columns_of(told):
    return {c["name"]: c for c in told["columns"]}


def test_numbers_as_numpy_has_them(server):
    told = statistics(server, "penguins")
    assert (told["name"], told["version"], told["rows"], told["sampled_rows"], told["target"], told["associations"]) == ("penguins", 1, 344, 344, None, [])
    assert [c["name"] for c in told["columns"]] == [c["name"] for c in server.get("/v1/datasets/penguins").json["columns"]]
    got = columns_of(told)
    for name, (quantiles, counts, second, later, mean, std) in NUMBERS.items():
        c = got[name]
        assert (c["type"], c["count"], c["missing"], c["min"], c["max"]) == ("numeric", 342, 2, quantiles[0], quantiles[-1])
        assert list(c["quantiles"]) == ["0", "0.05", "0.25", "0.5", "0.75", "0.95", "1"] and list(c["quantiles"].values()) == close(quantiles)
        edges = c["histogram"]["edges"]
        assert c["histogram"]["counts"] == counts and len(edges) == 31
        assert (edges[0], edges[1], edges[17], edges[30]) == (quantiles[0], second, later, quantiles[-1])
        assert (c["mean"], c["std"]) == (close(mean), close(std))


def test_categories(server):
    got = columns_of(statistics(server, "penguins"))
    assert got["species"] == {"name": "species", "type": "categorical", "count": 344, "missing": 0, "categories_count": 3, "other_count": 0,
                              "categories": [{"value": "Adelie", "count": 152}, {"value": "Gentoo", "count": 124}, {"value": "Chinstrap", "count": 68}]}
    assert (got["sex"]["count"], got["sex"]["missing"]) == (333, 11)
    name = unique("many")
    server.upload(name, "c,b\n" + "".join("v%d,%s\n" % (i % 30, i % 4 == 0) for i in range(100)))
    c, b = statistics(server, name)["columns"]
    assert [v["value"] for v in c["categories"]] == ["v%d" % i for i in range(20)] and (c["categories_count"], c["other_count"]) == (30, 30)
    assert [v["count"] for v in c["categories"]] == [4] * 10 + [3] * 10
    assert b["type"] == "boolean" and [(v["value"], v["count"]) for v in b["categories"]] == [("False", 75), ("True", 25)]


def test_histograms_of_integers_constants_and_nothing(server):
    name = unique("integers")
    server.upload(name, "few,range,wide,half,constant,none\n" + "".join("%d,%d,%d,%s,2.5,\n" % (i % 3 * 100, i % 26, i * i, i % 2 / 2) for i in range(60)))
    got = {c["name"]: c["histogram"] for c in statistics(server, name)["columns"]}
    assert got["few"] == {"values": [0, 100, 200], "counts": [20, 20, 20]}
    assert got["range"] == {"values": list(range(26)), "counts": [3] * 8 + [2] * 18}
    assert len(got["wide"]["edges"]) == 31 and sum(got["wide"]["counts"]) == 60 and got["wide"]["counts"][0] == 11
    assert got["half"]["counts"] == [30] + [0] * 28 + [30] and got["half"]["edges"][-1] == 0.5
    assert got["constant"] == {"values": [2.5], "counts": [60]} and got["none"] is None


def test_a_number_as_target_as_scipy_has_it(server):
    """pearsonr and spearmanr; eta from f_oneway: eta^2 = F(k-1)/(F(k-1)+n-k)."""
    told = statistics(server, "penguins", "?target=body_mass_g")
    got = by_column(told)
    for name, pearson, spearman in (("bill_length_mm", 0.59510982443763, 0.5838003194455482), ("bill_depth_mm", -0.4719156211860666, -0.43237222141304366),
                                    ("flipper_length_mm", 0.8712017673060114, 0.8399741230312999)):
        a = got[name]
        assert (a["rows"], a["pearson"], a["spearman"], a["strength"]) == (342, close(pearson), close(spearman), close(max(abs(pearson), abs(spearman))))
    for name, rows, eta, epsilon in (("species", 342, 0.8183348664745757, 0.8171432650745045), ("island", 342, 0.6273573224256876, 0.6244993950564832),
                                     ("sex", 333, 0.42498699090399533, 0.42206451622814056)):
        assert (got[name]["rows"], got[name]["eta"], got[name]["strength"]) == (rows, close(eta), close(epsilon))
    strengths = [a["strength"] for a in told["associations"]]
    assert strengths == sorted(strengths, reverse=True) and [a["column"] for a in told["associations"]][:2] == ["flipper_length_mm", "species"]
    assert told["target"] == "body_mass_g" and len(got) == 6 and not any(a["leakage_suspect"] for a in told["associations"])


def test_a_category_as_target_as_scipy_has_it(server):
    """V from chi2_contingency(correction=False) with Bergsma's correction."""
    got = by_column(statistics(server, "penguins", "?target=species"))
    assert (got["island"]["rows"], got["island"]["cramers_v"]) == (344, close(0.6573290190537864))
    assert (got["sex"]["rows"], got["sex"]["cramers_v"], got["sex"]["strength"]) == (333, 0, 0)
    for name, eta in (("bill_length_mm", 0.8413139288696166), ("bill_depth_mm", 0.8244750833497091), ("flipper_length_mm", 0.8821728382519646)):
        assert got[name]["eta"] == close(eta)


def test_target_leakage_is_suspected(server):
    name = unique("leak")
    rows = [(i * 7 % 101, i % 3) for i in range(300)]
    server.upload(name, "y,twice,cube,code,id,other,k,k_again\n" + "".join(
        "%d,%d,%d,c%d,id%d,%d,k%d,K%d\n" % (y, 2 * y + 1, y ** 3, y, i, i * i % 17, k, k) for i, (y, k) in enumerate(rows)))
    got = by_column(statistics(server, name, "?target=y"))
    assert {c: a["leakage_suspect"] for c, a in got.items()} == {"twice": True, "cube": True, "code": True, "id": False, "other": False, "k": False, "k_again": False}
    assert got["cube"]["spearman"] == close(1) and got["cube"]["pearson"] < 0.95
    assert (got["id"]["eta"], got["id"]["strength"]) == (close(1), 0)  # a category per row is not informative
    got = by_column(statistics(server, name, "?target=k"))
    assert got["k_again"]["cramers_v"] == close(1) and got["k_again"]["leakage_suspect"] and not got["id"]["leakage_suspect"]
    few = unique("few")
    server.upload(few, "a,b\n1,2\n2,4\n3,6\n")
    assert by_column(statistics(server, few, "?target=a"))["b"] == {"column": "b", "rows": 3, "pearson": 1, "spearman": 1, "strength": 1, "leakage_suspect": False}


def test_undefined_associations_are_null_and_last(server):
    name = unique("null")
    server.upload(name, "y,constant,none,apart,t\n" + "".join("%s,5,,%s,\"[%d]\"\n" % (i if i < 5 else "", "" if i < 5 else i, i) for i in range(30)), "&types=t:tensor")
    told = statistics(server, name, "?target=y")
    assert [(a["column"], a["rows"], a["pearson"], a["strength"]) for a in told["associations"]] == [("constant", 5, None, None), ("none", 0, None, None), ("apart", 0, None, None)]
    assert columns_of(told)["t"] == {"name": "t", "type": "tensor", "count": 30, "missing": 0, "min": 0, "max": 29, "mean": 14.5, "std": close(math.sqrt(899 / 12))}
    for target in ("constant", "none"):
        assert all(a["strength"] is None for a in statistics(server, name, "?target=" + target)["associations"])


def test_times_and_texts(server):
    name = unique("times")
    server.upload(name, "day,at,y,t,same\n" + "".join("2024-01-%02d,2024-01-01T%02d:30:00Z,%d,word %d,2024-05-05\n" % (i + 1, i % 24, 3 * i, i) for i in range(25)),
                  "&types=t:text")
    told = statistics(server, name, "?target=y")
    got = columns_of(told)
    first, day = 1704067200, 86400  # 2024-01-01; numbers are seconds
    assert (got["day"]["min"], got["day"]["max"], got["day"]["mean"]) == (first, first + 24 * day, first + 12 * day)
    assert got["day"]["std"] == close(day * math.sqrt(52)) and got["day"]["quantiles"]["0.05"] == first + 1.2 * day
    assert got["day"]["histogram"]["edges"][::15] == [first, first + 12 * day, first + 24 * day] and sum(got["day"]["histogram"]["counts"]) == 25
    assert got["at"]["max"] == first + 23.5 * 3600 and got["same"]["histogram"] == {"values": [1714867200], "counts": [25]}
    assert got["t"] == {"name": "t", "type": "text", "count": 25, "missing": 0, "min": 2, "max": 2, "mean": 2, "std": 0}
    assert [a["column"] for a in told["associations"]] == ["day", "at", "same"] and by_column(told)["day"]["pearson"] == close(1)
    assert by_column(statistics(server, name, "?target=day"))["y"]["spearman"] == close(1)
    assert "text" in problem(server.get("/v1/datasets/%s/statistics?target=t" % name), 422, "invalid")["detail"]


def test_columns_are_chosen(server):
    told = statistics(server, "penguins", "?columns=sex,species&target=island")
    assert [c["name"] for c in told["columns"]] == ["sex", "species"] and [a["column"] for a in told["associations"]] == ["species", "sex"]
    assert statistics(server, "penguins@1", "?columns=island&target=island")["associations"] == []


@pytest.mark.parametrize("query, words", [
    ("target=nope", "no column"), ("target=specie", "did you mean"), ("target=", "no column"), ("columns=nope", "no column"), ("columns=sex,sex", "twice"),
    ("columns=", "no column"), ("limit=5", "unknown query parameter")])
def test_wrong_queries(server, query, words):
    assert words in problem(server.get("/v1/datasets/penguins/statistics?" + query), 422, "invalid")["detail"]


def test_other_wrong_requests(server):
    problem(server.get("/v1/datasets/none-such/statistics"), 404, "not_found")
    problem(server.get("/v1/datasets/penguins@9/statistics"), 404, "not_found")
    name = unique("wide")
    server.upload(name, ",".join("c%d" % i for i in range(1001)) + "\n" + ",".join(["1"] * 1001) + "\n")
    assert "1000" in problem(server.get("/v1/datasets/%s/statistics" % name), 422, "invalid")["detail"]
    assert len(statistics(server, name, "?columns=" + ",".join("c%d" % i for i in range(1000)))["columns"]) == 1000
    tensor = unique("tensor")
    server.post_json(tensor, records=[{"t": [1, 2]}])
    assert "tensor" in problem(server.get("/v1/datasets/%s/statistics?target=t" % tensor), 422, "invalid")["detail"]


def test_extreme_numbers(server):
    name = unique("extreme")
    server.upload(name, "v,y\n" + "".join("%s,%d\n" % (v, i) for i, v in enumerate(["-1.7e308", "1.7e308", "0", "1e-320", "5e-324", "-1e300", "1e300", "12"] * 3)))
    got = statistics(server, name, "?target=y")
    v = columns_of(got)["v"]
    assert (v["min"], v["max"], sum(v["histogram"]["counts"])) == (-1.7e308, 1.7e308, 24) and v["quantiles"]["0.5"] == pytest.approx(0, abs=1e-300)
    assert by_column(got)["v"]["spearman"] is not None


def test_large_data_is_sampled_and_let_go(fresh):
    """600,000 rows: uniform x, y = x + noise, a category of x."""
    server = fresh()
    rows, state, numbers = 600000, 12345, []
    for i in range(rows):
        state = (state * 1103515245 + 12345) & 0x7fffffff
        x = state / 0x80000000
        numbers += [x, x + (i % 10) / 10]
    head = ("{'descr': '<f8', 'fortran_order': False, 'shape': (%d, 2), }" % rows).ljust(117) + "\n"
    body = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + struct.pack("<%dd" % len(numbers), *numbers)
    assert server.post("/v1/datasets?name=large", body=body, headers={"Content-Type": "application/x-npy"}).status == 201
    told = statistics(server, "large", "?target=x1")
    assert (told["rows"], told["sampled_rows"]) == (600000, 200000)
    x = columns_of(told)["x0"]
    assert x["count"] == sum(x["histogram"]["counts"]) == rows  # of all rows
    counts = [0] * 30
    low, high = x["min"], x["max"]
    assert (low, high) == (min(numbers[::2]), max(numbers[::2]))
    for v in numbers[::2]:
        counts[min(29, int((v - low) / (high - low) * 30))] += 1
    assert sum(abs(a - b) for a, b in zip(counts, x["histogram"]["counts"])) <= 6  # but for numbers on an edge
    assert x["quantiles"]["0.5"] == pytest.approx(0.5, abs=0.006) and x["quantiles"]["0.95"] == pytest.approx(0.95, abs=0.003)
    mean = [sum(numbers[k::2]) / rows for k in (0, 1)]
    xy, xx, yy = (math.fsum((numbers[i + p] - mean[p]) * (numbers[i + q] - mean[q]) for i in range(0, 2 * rows, 2)) for p, q in ((0, 1), (0, 0), (1, 1)))
    a = by_column(told)["x0"]
    assert (a["rows"], a["pearson"]) == (rows, pytest.approx(xy / math.sqrt(xx * yy), rel=1e-11)) and a["spearman"] == pytest.approx(a["pearson"], abs=0.02)
    assert statistics(server, "large", "?target=x1") == told  # the same rows are drawn again
    maps = pathlib.Path("/proc/%d/maps" % server.process.pid).read_text()
    assert ".col" not in maps
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: server.raw("GET", "/v1/datasets/large/statistics?target=x1"), range(12)))
    assert all(json.loads(answer.body) == told for answer in answers)
