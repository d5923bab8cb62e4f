"""coverage.py BUILD_DIR - after the tests of a --coverage build have run: how many lines of each room and file they reached, by gcov alone. A line that
was compiled several times (kernels per instruction set, the engine in double) counts once, and as reached when any of them was."""
import collections
import json
import os
import pathlib
import subprocess
import sys

ROOMS = ("engine", "schema", "server")


def read(build):
    """{source: {line: times}}"""
    root = os.getcwd()
    lines = collections.defaultdict(lambda: collections.defaultdict(int))
    notes = [str(p) for p in pathlib.Path(build).rglob("*.gcno") if "/tests/" not in str(p)]
    for at in range(0, len(notes), 50):
        out = subprocess.run(["gcov", "--json-format", "--stdout", *notes[at:at + 50]], capture_output=True, text=True, check=True).stdout
        for document in filter(None, out.splitlines()):
            for file in json.loads(document)["files"]:
                source = os.path.relpath(os.path.join(root, file["file"]), root)
                if source.split("/")[0] in ROOMS:
                    for line in file["lines"]:
                        lines[source][line["line_number"]] += line["count"]
    return lines


def share(files):
    total = sum(map(len, files))
    reached = sum(1 for f in files for count in f.values() if count)
    return reached, total, 100.0 * reached / total if total else 0.0


def main():
    lines = read(sys.argv[1])
    if not lines:
        sys.exit("coverage: %s holds no coverage notes" % sys.argv[1])
    report = pathlib.Path(sys.argv[1]) / "coverage.txt"
    with open(report, "w", encoding="utf-8") as file:
        for source in sorted(lines, key=lambda s: (s.split("/")[0], share([lines[s]])[2])):
            missed = [n for n, count in sorted(lines[source].items()) if not count]
            file.write("%5.1f%%  %-45s %s\n" % (share([lines[source]])[2], source, ("not reached: " + " ".join(map(str, missed))) if missed else ""))
    for room in ROOMS:
        mine = {s: v for s, v in lines.items() if s.split("/")[0] == room}
        print("%-7s %5d of %5d lines, %5.1f%%" % ((room,) + share(list(mine.values()))))
        for source in sorted(mine, key=lambda s: share([mine[s]])[2])[:5]:
            print("        %5.1f%% %s" % (share([mine[source]])[2], source))
    print("%-7s %5d of %5d lines, %5.1f%%; every file and the lines not reached: %s" % (("all",) + share(list(lines.values())) + (report,)))


main()
