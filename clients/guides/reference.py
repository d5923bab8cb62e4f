#!/usr/bin/env python3
"""reference.py BACKPROPD OUT.md - the reference of layers, losses, column types and the other families, as the program itself prints it: starts `backpropd
serve` on a free port with a temporary folder, fetches /v1/catalog, writes Markdown. Then it rewrites the tables of the guides that list the same. `make docs`
calls it; a test compares the tables."""
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request


def fetch(program):
    with tempfile.TemporaryDirectory(prefix="backpropd-docs-") as folder:
        log = os.path.join(folder, "log")
        with open(log, "wb") as errors:
            server = subprocess.Popen([program, "serve", "--listen", "127.0.0.1:0", "--data-dir", os.path.join(folder, "data")],
                                      stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            line = server.stdout.readline()
            if "listening on " not in line:
                sys.exit("reference.py: %s did not start: %s" % (program, open(log).read().strip()))
            url = line.split("listening on ")[1].strip()
            with urllib.request.urlopen(url + "/v1/catalog", timeout=10) as answer:
                catalog = json.load(answer)
            with urllib.request.urlopen(url + "/v1/server", timeout=10) as answer:
                return catalog, json.load(answer)["version"]
        finally:
            server.terminate()
            server.wait(30)


def anchor(family):
    return family.lower().replace(" ", "-")


def cell(value):
    return (value if isinstance(value, str) else json.dumps(value)).replace("|", "\\|")


def limits(parameter):
    """What a parameter may be, in words."""
    if "choices" in parameter:
        return " ".join("`%s`" % c for c in parameter["choices"]) + (" or a number" if "number" in parameter else "")
    if parameter["type"] == "entry":
        return "one of [%s](#%s)" % (parameter["family"], anchor(parameter["family"]))
    words = [parameter["type"]]
    for key, word in (("minimum", "from"), ("above", "above"), ("maximum", "to"), ("below", "below")):
        if key in parameter:
            words.append("%s %s" % (word, parameter[key]))
    return " ".join(words)


def entry_lines(entry):
    yield "### `%s`" % entry["name"]
    yield ""
    yield entry["summary"][:1].upper() + entry["summary"][1:].rstrip(".") + "."
    yield ""
    if not entry["params"]:
        return
    yield "| parameter | what | allowed | default |"
    yield "|---|---|---|---|"
    for p in entry["params"]:
        default = "required" if p.get("required") else "`%s`" % cell(p["default"])
        yield "| `%s` | %s | %s | %s |" % (p["name"], cell(p["help"]), cell(limits(p)), default)
    yield ""


GUIDES = os.path.dirname(os.path.abspath(__file__))


def names(entries):
    return " ".join("`%s`" % e["name"] for e in entries)


def families_table(catalog):
    """The families of models and trainings, with their members."""
    yield "| family | members |"
    for family, entries in catalog.items():
        if isinstance(entries, list) and family not in ("columns", "formats", "options"):
            yield "| %s | %s |" % (family, names(entries))


def columns_table(catalog):
    yield "| type | content | options of a feature |"
    for column in catalog["columns"]:
        yield "| `%s` | %s | %s |" % (column["name"], column["summary"], names(column["params"]))


def settings_table(_):
    yield "| setting | default | reload | description |"
    with open(os.path.join(GUIDES, "../../server/reload.def"), encoding="utf-8") as rows:
        reloads = set(re.findall(r"^RELOAD\((\w+)\)", rows.read(), re.M))
    with open(os.path.join(GUIDES, "../../server/settings.def"), encoding="utf-8") as rows:
        for name, preset, text in re.findall(r'^SETTING\(\w+, (\w+), "([^"]*)", [^,]+, [^,]+, "([^"]*)"\)', rows.read(), re.M):
            yield "| `%s` | %s | %s | %s |" % (name, preset and "`%s`" % preset, "yes" if name in reloads else "", text)


def metrics_table(_):
    yield "| metric | type | labels | description |"
    with open(os.path.join(GUIDES, "../../server/ops/metrics.def"), encoding="utf-8") as rows:
        for name, kind, labels, text in re.findall(r'^METRIC\((\w+), (\w+), \w+, "([^"]*)", "((?:[^"\\]|\\.)*)"\)', rows.read(), re.M):
            yield "| `%s` | %s | %s | %s |" % (name, kind.lower(), " ".join("`%s`" % label for label in labels.split()), text.replace('\\"', '"'))


# guide, heading of the section, the rows of its only table
TABLES = (("models.md", "Families", families_table), ("data.md", "Column types", columns_table), ("settings.md", "Settings", settings_table),
          ("operations.md", "Metrics", metrics_table))


def with_table(text, heading, rows):
    """The text with the table of that section replaced."""
    head, *body = rows
    table = "\n".join([head, "|" + "---|" * (head.count("|") - 1), *body]) + "\n"
    start = text.index("\n## %s\n" % heading)
    return text[:start] + re.sub(r"(?:^\|.*\n)+", lambda _: table, text[start:], count=1, flags=re.M)


def update_guides(catalog):
    for guide, heading, rows in TABLES:
        path = os.path.join(GUIDES, guide)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        updated = with_table(text, heading, list(rows(catalog)))
        if updated != text:
            with open(path, "w", encoding="utf-8") as file:
                file.write(updated)
            print("%s: table of %s updated" % (os.path.relpath(path), heading.lower()))


def main():
    program, out = sys.argv[1:3]
    catalog, version = fetch(program)
    families = {k: v for k, v in catalog.items() if isinstance(v, list)}
    lines = ["# backpropd %s: reference" % version, "", "Written by the program (`make docs`): the same as a running server's `/v1/catalog`.", "",
             "| family | entries |", "|---|---|"]
    lines += ["| [%s](#%s) | %s |" % (f, anchor(f), ", ".join("`%s`" % e["name"] for e in entries)) for f, entries in families.items()]
    for family, entries in families.items():
        lines += ["", "## %s" % family, ""]
        for entry in entries:
            lines += entry_lines(entry)
    with open(out, "w", encoding="utf-8") as file:
        file.write("\n".join(lines).rstrip() + "\n")
    update_guides(catalog)
    print("%s: %d entries in %d families" % (out, sum(map(len, families.values())), len(families)))


if __name__ == "__main__":
    main()
