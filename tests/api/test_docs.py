"""Goal: what the documents say is what the program has: settings, error codes, endpoints, packages, rooms."""
import re
import subprocess

import harness

README = (harness.ROOT / "README.md").read_text()


def test_settings_table_is_the_programs():
    rows = re.findall(r'^SETTING\(\w+, (\w+), "([^"]*)", [^,]+, [^,]+, "(.*)"\)$', (harness.ROOT / "server/settings.def").read_text(), re.M)
    table = ["| `%s` | %s | %s |" % (name, "`%s`" % preset if preset else "", text) for name, preset, text in rows]
    assert len(rows) > 15
    assert "\n".join(table) in README


def test_help_tells_every_setting():
    out = subprocess.run([harness.BACKPROPD, "help", "serve"], capture_output=True, text=True, check=True).stdout
    for name in re.findall(r"^SETTING\(\w+, (\w+)", (harness.ROOT / "server/settings.def").read_text(), re.M):
        assert "--%s " % name.replace("_", "-") in out


def test_contract_knows_every_error_code(server):
    codes = set(re.findall(r"^PROBLEM\((\w+), ", (harness.ROOT / "server/problems.def").read_text(), re.M))
    assert set(server.contract()["components"]["schemas"]["ProblemCode"]["enum"]) == codes


def test_readme_says_what_the_contract_limits(server):
    limits = server.get("/v1/server").json["limits"]
    assert limits["json_depth"] == 64 and "64 levels" in README
    assert limits["upload_max"] == 1 << 30


def test_versions_agree(server):
    version = re.search(r"^VERSION := (\S+)$", (harness.ROOT / "Makefile").read_text(), re.M).group(1)
    assert server.contract()["info"]["version"] == version
    assert server.get("/v1/server").json["version"] == version
    assert subprocess.run([harness.BACKPROPD, "--version"], capture_output=True, text=True).stdout.startswith("backpropd %s " % version)


def test_every_make_target_is_in_help():
    makefile = (harness.ROOT / "Makefile").read_text()
    told = set(re.findall(r'@echo "make (\w+) ', makefile))
    for target in "deps demo test bench lint format sanitize fuzz coverage docs docker install clean".split():
        assert target in told, target
