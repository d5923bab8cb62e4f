"""tables.py [--tables DIR] [--build DIR] [--efforts LIST] [--keep] [--guide] [NAME...] - the program's default against scikit-learn on real tables.

The tables come from the Debian packages r-cran-mlbench and r-cran-modeldata, installed when they are missing and written by R as CSV into
build/tables/, or from a folder of such files (--tables). Settings of the program are chosen on these tables only.

The split is fixed: the rows in an order by random.Random(17), every fifth one, from the first on, is a test row. Peers are fitted on the others with
scikit-learn's own defaults, but for the MLP's, which stop too early on small tables. Their scores are kept in build/tables/peers.json until the table, the peer or scikit-learn changes. The error is
1 - accuracy for classes and the RMSE for numbers. Other programs of this folder import load, split and peer_scores."""
import argparse
import csv
import datetime
import hashlib
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import time
import warnings

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # scikit-learn's threads would spin on a busy machine

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PACKAGES = ("r-base-core", "r-cran-mlbench", "r-cran-modeldata")

# name: package, data set, target, the columns that are left out (keys, or another form of the target)
TABLES = {
    "biomass": ("modeldata", "biomass", "HHV", ["sample", "dataset"]),
    "car_prices": ("modeldata", "car_prices", "Price", []),
    "cells": ("modeldata", "cells", "class", ["case"]),
    "check_times": ("modeldata", "check_times", "check_time", ["package"]),
    "chicago": ("modeldata", "Chicago", "ridership", []),
    "dna": ("mlbench", "DNA", "Class", []),
    "housevotes84": ("mlbench", "HouseVotes84", "Class", []),
    "hpc_data": ("modeldata", "hpc_data", "class", []),
    "ionosphere": ("mlbench", "Ionosphere", "Class", []),
    "lending_club": ("modeldata", "lending_club", "Class", []),
    "ozone": ("mlbench", "Ozone", "ozone", []),
    "servo": ("mlbench", "Servo", "Class", []),
    "stackoverflow": ("modeldata", "stackoverflow", "Remote", []),
    "vehicle": ("mlbench", "Vehicle", "Class", []),
    "wa_churn": ("modeldata", "wa_churn", "churn", []),
    "zoo": ("mlbench", "Zoo", "type", []),
}
REGRESSION = {"biomass", "car_prices", "check_times", "chicago", "ozone", "servo"}
OZONE = ["month", "day", "weekday", "ozone", "pressure_height", "wind", "humidity", "temp_sandburg", "temp_el_monte", "inversion_height", "pressure_gradient",
         "inversion_temp", "visibility"]


def log(text):
    print("tables: " + text, file=sys.stderr, flush=True)


# ---- the tables ----

def r_script(folder):
    """Rows without a target are left out; categories are quoted, missing cells empty."""
    lines = []
    for name, (package, dataset, target, dropped) in TABLES.items():
        lines.append('data(list = "%s", package = "%s"); x <- as.data.frame(%s)' % (dataset, package, dataset))
        if name == "ozone":
            lines.append("names(x) <- c(%s)" % ", ".join('"%s"' % column for column in OZONE))
        lines.append("x <- x[!is.na(x$%s), setdiff(names(x), c(%s)), drop = FALSE]" % (target, ", ".join('"%s"' % column for column in dropped)))
        lines.append('write.csv(x, "%s/%s.csv", row.names = FALSE, na = "")' % (folder, name))
    return "\n".join(lines) + "\n"


def export(folder):
    """Writes the tables that are missing in the folder. Raises RuntimeError, with what to do, when R or its packages are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    if all((folder / (name + ".csv")).exists() for name in TABLES):
        return
    if subprocess.run([str(ROOT / "tests" / "deps.sh"), *PACKAGES]).returncode != 0:
        raise RuntimeError("the packages %s are not installed; give a folder of the tables as CSV with --tables" % ", ".join(PACKAGES))
    made = subprocess.run(["Rscript", "--vanilla", "-"], input=r_script(folder), text=True, capture_output=True)
    if made.returncode != 0:
        raise RuntimeError("Rscript: " + made.stderr.strip()[-500:])


class Table:
    """header, rows (lists of texts, "" is missing), target, kind ("classification" or "regression"), path."""

    def __init__(self, name, path):
        self.name, self.path, self.target = name, path, TABLES[name][2]
        self.kind = "regression" if name in REGRESSION else "classification"
        with open(path, newline="") as file:
            self.header, *self.rows = csv.reader(file)
        self.at = self.header.index(self.target)
        self.rows = [row for row in self.rows if row[self.at] != ""]

    def split(self):
        """The training rows and the test rows."""
        rows = list(self.rows)
        random.Random(17).shuffle(rows)
        return [row for i, row in enumerate(rows) if i % 5], [row for i, row in enumerate(rows) if i % 5 == 0]


def load(folder, names=()):
    """The tables of the folder, all or those named."""
    return [Table(name, folder / (name + ".csv")) for name in TABLES if (not names or name in names) and (folder / (name + ".csv")).exists()]


# ---- peers ----

def number_of(text):
    """A number, or the day of a date; None: neither."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return float(datetime.date.fromisoformat(text).toordinal())
    except ValueError:
        return None


def columns_of(table, train):
    """The columns of numbers and those of categories, target apart: what a CSV without types shows, factors of R being quoted numbers too."""
    numbers, categories = [], []
    for i in range(len(table.header)):
        if i != table.at:
            (numbers if all(number_of(row[i]) is not None for row in train if row[i] != "") else categories).append(i)
    return numbers, categories


def matrix(rows, numbers, categories):
    import numpy
    x = numpy.empty((len(rows), len(numbers) + len(categories)), dtype=object)
    for i, row in enumerate(rows):
        for k, column in enumerate(numbers):
            x[i, k] = number_of(row[column]) if row[column] != "" else numpy.nan
        for k, column in enumerate(categories):
            x[i, len(numbers) + k] = row[column]
    return x


def pipelines(kind, numbers, categories):
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
    classes = kind == "classification"
    n, c = list(range(len(numbers))), list(range(len(numbers), len(numbers) + len(categories)))
    impute = SimpleImputer(strategy="median", add_indicator=True)
    places = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    trees = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    forest = RandomForestClassifier if classes else RandomForestRegressor
    mlp = MLPClassifier if classes else MLPRegressor
    return {
        "hist_gradient_boosting": lambda seed: make_pipeline(ColumnTransformer([("n", "passthrough", n), ("c", places, c)]), trees(random_state=seed)),
        "random_forest": lambda seed: make_pipeline(ColumnTransformer([("n", impute, n), ("c", one_hot, c)]), forest(random_state=seed)),
        "mlp": lambda seed: make_pipeline(ColumnTransformer([("n", make_pipeline(impute, StandardScaler()), n), ("c", one_hot, c)]),
                                          mlp((64, 32), early_stopping=True, n_iter_no_change=20, batch_size=32, learning_rate_init=0.005, max_iter=500, random_state=seed)),
    }


def score(kind, truth, guess):
    """The error, and accuracy or R2."""
    import numpy
    if kind == "classification":
        accuracy = float(numpy.mean(numpy.asarray(truth) == numpy.asarray(guess)))
        return {"error": 1 - accuracy, "score": accuracy}
    truth, guess = numpy.asarray(truth, dtype=float), numpy.asarray(guess, dtype=float)
    return {"error": float(numpy.sqrt(numpy.mean((truth - guess) ** 2))), "score": float(1 - numpy.sum((truth - guess) ** 2) / numpy.sum((truth - truth.mean()) ** 2))}


def fit_peer(table, peer, seeds):
    import numpy
    train, test = table.split()
    numbers, categories = columns_of(table, train)
    make = pipelines(table.kind, numbers, categories)[peer]
    y, truth = [row[table.at] for row in train], [row[table.at] for row in test]
    scale, centre = 1.0, 0.0
    if table.kind == "regression":
        y, truth = [float(v) for v in y], [float(v) for v in truth]
        centre, scale = float(numpy.mean(y)), float(numpy.std(y)) or 1.0  # an MLP learns nothing of large numbers
        y = [(v - centre) / scale for v in y]
    runs, seconds = [], []
    for seed in seeds:
        model, started = make(seed), time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(matrix(train, numbers, categories), y)
            seconds.append(time.perf_counter() - started)
            guess = model.predict(matrix(test, numbers, categories))
        runs.append(score(table.kind, truth, guess if table.kind == "classification" else guess * scale + centre))
    mean = {key: float(numpy.mean([run[key] for run in runs])) for key in runs[0]}
    return {**mean, "std": float(numpy.std([run["error"] for run in runs])), "seconds": float(numpy.mean(seconds)), "seeds": len(runs)}


def peer_scores(table, build, peers=("hist_gradient_boosting", "random_forest", "mlp")):
    """{"mlp": {"error", "score", "std" of the errors over seeds, "seconds" of a fit, "seeds"}}, kept in build/tables/peers.json."""
    import sklearn
    cache = build / "tables" / "peers.json"
    kept = json.loads(cache.read_text()) if cache.exists() else {}
    found = {}
    for peer in peers:
        seeds = range(5) if peer == "mlp" else range(1)
        key = "%s/%s" % (table.name, peer)
        state = hashlib.sha256(table.path.read_bytes() + json.dumps([sklearn.__version__, len(seeds), 1]).encode()).hexdigest()  # 1: of these pipelines
        if kept.get(key, {}).get("state") != state:
            kept[key] = {**fit_peer(table, peer, seeds), "state": state}
            cache.parent.mkdir(parents=True, exist_ok=True)
            cache.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
        found[peer] = {name: value for name, value in kept[key].items() if name != "state"}
    return found


# ---- the program ----

def write_rows(path, header, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def own_score(table, program, folder, effort):
    """The program's default on the same split, through files: error, score, seconds of the whole command, its own estimate of the score."""
    train, test = table.split()
    folder.mkdir(parents=True, exist_ok=True)
    data, held, model = folder / "train.csv", folder / "test.csv", folder / "model.bpd"
    write_rows(data, table.header, train)
    write_rows(held, table.header, test)
    started = time.perf_counter()
    done = subprocess.run([str(program), "train", "--data", str(data), "--target", table.target, "--task", table.kind, "--effort", effort, "--seed", "1", "--out", str(model)],
                          capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise RuntimeError("%s: %s" % (table.name, done.stderr.strip()[-500:]))
    said = subprocess.run([str(program), "predict", "--model", str(model), "--data", str(held)], capture_output=True, text=True, check=True).stdout
    guess = [row["label" if table.kind == "classification" else "value"] for row in csv.DictReader(said.splitlines())]
    truth = [row[table.at] for row in test]
    if table.kind == "regression":
        guess, truth = [float(v) for v in guess], [float(v) for v in truth]
    return {**score(table.kind, truth, guess), "seconds": seconds}


def ratio(own, peer, rows):
    """Of the errors; no error counts as half a row."""
    least = 0.5 / rows
    return max(own["error"], least) / max(peer["error"], least)


def summary(results, effort, peer):
    """How many tables have at most the peer's error, how many there are, the geometric mean of the ratios of the errors."""
    ratios = [ratio(r[effort], r[peer], r["test"]) for r in results.values()]
    better = sum(one <= 1.0001 for one in ratios)
    return better, len(ratios), math.exp(sum(math.log(one) for one in ratios) / len(ratios))


PEERS = ("hist_gradient_boosting", "random_forest", "mlp")
SHOWN = {"hist_gradient_boosting": "HistGradientBoosting", "random_forest": "RandomForest", "mlp": "MLP 64/32"}


def markdown(results, efforts):
    lines = ["| table | training rows | " + " | ".join("`%s`" % e for e in efforts) + " | " + " | ".join(SHOWN[p] for p in PEERS) + " |", "|---|---|" + "---|" * (len(efforts) + len(PEERS))]
    for name, r in results.items():
        best = max(r[k]["score"] for k in (*efforts, *PEERS))
        cell = lambda k: ("**%.3f**" if r[k]["score"] > best - 5e-4 else "%.3f") % r[k]["score"] + " (%.1f s)" % r[k]["seconds"]
        lines.append("| %s | %d | %s |" % (name, r["train"], " | ".join(cell(k) for k in (*efforts, *PEERS))))
    lines += ["", "| | " + " | ".join(SHOWN[p] for p in PEERS) + " |", "|---|" + "---|" * len(PEERS)]
    for effort in efforts:
        cells = ["%d of %d, %.2f" % summary(results, effort, peer) for peer in PEERS]
        lines.append("| `%s`: as good or better, geometric mean of error ratios | %s |" % (effort, " | ".join(cells)))
    return "\n".join(lines) + "\n"


GUIDE = ROOT / "clients" / "guides" / "tables.md"
BEGIN, END = "<!-- make tables -->\n", "<!-- end -->\n"


def put_into_guide(text):
    guide = GUIDE.read_text()
    before, rest = guide.split(BEGIN)
    GUIDE.write_text(before + BEGIN + text + END + rest.split(END)[1])


def measure(tables, build, program, efforts, keep):
    if not keep:
        (build / "tables" / "peers.json").unlink(missing_ok=True)
    results = {}
    for table in tables:
        train, test = table.split()
        results[table.name] = {"train": len(train), "test": len(test), **peer_scores(table, build, PEERS),
                               **{effort: own_score(table, program, build / "tables" / "work", effort) for effort in efforts}}
        r = results[table.name]
        print("%-14s %6d rows  %s" % (table.name, len(train), "  ".join("%s %.4f (%.1f s)" % (k, r[k]["score"], r[k]["seconds"]) for k in (*efforts, *PEERS))), flush=True)
    (build / "tables" / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    return results


def main():
    parser = argparse.ArgumentParser(description="the program's default against scikit-learn on tables for development")
    parser.add_argument("--tables", type=pathlib.Path, help="a folder of the tables as CSV, instead of the Debian packages")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--efforts", default="fast,balanced,best")
    parser.add_argument("--keep", action="store_true", help="do not fit the peers again, if their scores are known")
    parser.add_argument("--guide", action="store_true", help="write the result into the guide")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a table; default: all")
    asked = parser.parse_args()
    unknown = set(asked.names) - set(TABLES)
    if unknown:
        parser.error("there is no table %s; there are %s" % (", ".join(sorted(unknown)), ", ".join(TABLES)))
    build = asked.build.resolve()
    folder = asked.tables or build / "tables"
    if not asked.tables:
        try:
            export(folder)
        except RuntimeError as problem:
            sys.exit("tables: %s" % problem)
    tables = load(folder, asked.names)
    if not tables:
        sys.exit("tables: %s has none of the tables" % folder)
    efforts = asked.efforts.split(",")
    text = markdown(measure(tables, build, build / "backpropd", efforts, asked.keep), efforts)
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown CPU")
    text = "Accuracy, or R² for numbers, on the same held-out fifth of the rows, and seconds on %d cores (%s); the best in bold.\n\n" % (os.cpu_count(), cpu) + text
    print("\n" + text)
    if asked.guide:
        put_into_guide(text)


if __name__ == "__main__":
    main()
