"""Goal: every test that the threat model names exists, and every promise names one."""
import re

import harness

GUIDE = (harness.ROOT / "clients/guides/security.md").read_text()


def promises():
    table = GUIDE[GUIDE.index("| from | promise |"):]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table[:table.index("\n\n")].splitlines()[2:]]


def test_every_promise_has_tests_that_exist():
    rows = promises()
    assert len(rows) > 15
    for source, promise, _, tests in rows:
        named = re.findall(r"`([\w./]+)::(\w+)`", tests)
        assert promise and named, source
        for file, function in named:
            path = harness.ROOT / (file if "/" in file else "tests/api/" + file)
            pattern = r"^START_TEST\(%s\)" if file.endswith(".c") else r"^def %s\("
            assert re.search(pattern % function, path.read_text(), re.M), (file, function)


def test_settings_of_the_promises_exist():
    known = set(re.findall(r"^SETTING\(\w+, (\w+)", (harness.ROOT / "server/settings.def").read_text(), re.M))
    for source, _, settings, _ in promises():
        assert set(re.findall(r"`(\w+)`", settings)) <= known, source
