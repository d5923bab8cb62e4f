"""Goal: help, contract and version numbers agree with the tables of the program. README and the guides: test_readme.py."""
import re
import subprocess

import harness


def test_help_lists_every_setting():
    out = subprocess.run([harness.BACKPROPD, "help", "serve"], capture_output=True, text=True, check=True).stdout
    for name in re.findall(r"^SETTING\(\w+, (\w+)", (harness.ROOT / "server/settings.def").read_text(), re.M):
        assert "--%s " % name.replace("_", "-") in out


def test_contract_lists_every_error_code(server):
    codes = set(re.findall(r"^PROBLEM\((\w+), ", (harness.ROOT / "server/problems.def").read_text(), re.M))
    assert set(server.contract()["components"]["schemas"]["ProblemCode"]["enum"]) == codes


def test_versions_agree(server):
    version = re.search(r"^VERSION := (\S+)$", (harness.ROOT / "Makefile").read_text(), re.M).group(1)
    assert server.contract()["info"]["version"] == version
    assert server.get("/v1/server").json["version"] == version
    assert subprocess.run([harness.BACKPROPD, "--version"], capture_output=True, text=True).stdout.startswith("backpropd %s " % version)


def test_every_make_target_is_in_help():
    makefile = (harness.ROOT / "Makefile").read_text()
    listed = set(re.findall(r'@echo "make (\w+) ', makefile))
    for target in "deps demo test bench lint format sanitize fuzz coverage docs docker install clean".split():
        assert target in listed, target
