"""Goal: statistics of large values are exact: against fractions.Fraction and the statistics module, in the description, after appending, in the statistics and
their associations."""
import fractions
import math
import random
import statistics

import pytest

from harness import unique

CSV = {"Content-Type": "text/csv"}


def exact(values):
    """Mean and deviation, each rounded once."""
    numbers = [fractions.Fraction(v) for v in values]
    mean = sum(numbers) / len(numbers)
    scale = fractions.Fraction(max(abs(v) for v in values))
    return float(mean), math.sqrt(sum(((n - mean) / scale) ** 2 for n in numbers) / len(numbers)) * float(scale)


@pytest.mark.parametrize("start, spread", [(1e14, 10), (1e15, 3), (1577134857123456, 40), (1e17, 1000), (-3e18, 5000), (1e200, 1e190), (1e300, 1e300)])
def test_mean_and_deviation(server, start, spread):
    draw = random.Random(7)
    values = [start + draw.gauss(0, spread) for _ in range(9000)]
    name = unique("large")
    lines = ["%r,%d" % (v, i % 3) for i, v in enumerate(values)]
    dataset = server.post_csv(name, "v,y\n" + "\n".join(lines[:5000]) + "\n", "&types=v:numeric").json
    column = dataset["columns"][0]
    mean, std = exact(values[:5000])
    assert column["mean"] == mean and column["std"] == pytest.approx(std, rel=1e-12)
    assert column["min"] == min(values[:5000]) and column["max"] == max(values[:5000])
    for some in (lines[5000:5001], lines[5001:]):
        column = server.post("/v1/datasets/%s/rows" % name, body=("v,y\n" + "\n".join(some) + "\n").encode(), headers=CSV).json["columns"][0]
    mean, std = exact(values)
    assert column["mean"] == mean and column["std"] == pytest.approx(std, rel=1e-12)
    told = server.get("/v1/datasets/%s/statistics?columns=v" % name).json["columns"][0]
    assert told["mean"] == mean and told["std"] == pytest.approx(std, rel=1e-12) and told["quantiles"]["0.5"] == pytest.approx(statistics.median(values), rel=1e-15)


def test_associations(server):
    draw = random.Random(3)
    x = [10**15 + draw.randrange(1000) for _ in range(500)]
    y = [3 * (v - 10**15) + draw.randrange(500) + 4 * 10**15 for v in x]
    name = unique("large")
    server.post_csv(name, "x,y\n" + "".join("%d,%d\n" % pair for pair in zip(x, y)))
    told = server.get("/v1/datasets/%s/statistics?target=y" % name).json["associations"][0]
    mx, my = fractions.Fraction(sum(x), 500), fractions.Fraction(sum(y), 500)
    r = float(sum((a - mx) * (b - my) for a, b in zip(x, y))) / math.sqrt(float(sum((a - mx) ** 2 for a in x)) * float(sum((b - my) ** 2 for b in y)))
    assert told["pearson"] == pytest.approx(r, rel=1e-12)
