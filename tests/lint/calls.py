#!/usr/bin/env python3
"""calls.py BUILD_DIR - no cycle of calls between the object files of engine/kernels: each knows only those below it (see engine/README.md).

Reads the symbols that the objects of the float32 build define and use. Prints each cycle; exit status 1 when there was one."""
import glob
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from dependencies import cycles  # noqa: E402


def symbols(path, flag):
    listed = subprocess.run(["nm", "-g", flag, path], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in listed.splitlines() if line.strip()}


def graph(folder):
    """{object: {object whose symbols it uses}}"""
    objects = sorted(glob.glob(os.path.join(folder, "*.o")))
    owner = {symbol: path for path in objects for symbol in symbols(path, "--defined-only")}
    return {path: {owner[symbol]: [] for symbol in symbols(path, "--undefined-only") if owner.get(symbol, path) != path} for path in objects}


def main():
    found = graph(os.path.join(sys.argv[1], "f32", "engine", "kernels"))
    if not any(found.values()):
        sys.exit("calls.py: no objects of engine/kernels: build first")
    for cycle in cycles(found):
        print("calls in a circle: " + " ".join(os.path.basename(path) for path in cycle))
        sys.exit(1)


if __name__ == "__main__":
    main()
