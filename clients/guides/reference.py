#!/usr/bin/env python3
"""reference.py BACKPROPD OUT.md - the reference of layers, activations, losses, optimizers, schedules, metrics, initializers and formats, as the program itself
tells it: starts `backpropd serve` on a free port with a temporary folder, fetches /v1/catalog, writes Markdown. `make docs` calls it."""
import json
import os
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
    if parameter["type"] == "choice":
        return " ".join("`%s`" % c for c in parameter["choices"])
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
    print("%s: %d entries in %d families" % (out, sum(map(len, families.values())), len(families)))


main()
