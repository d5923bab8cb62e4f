"""Goal: no route without a test, no route without a description, no description without a route. tests/run.sh runs it after all others."""
import os
import pathlib
import re

import pytest

import harness


def routes_of_the_source():
    names = set(re.findall(r"^ROUTE\((\w+)\)", (harness.ROOT / "server/routes/routes.def").read_text(), re.M))
    table = {}
    for source in (harness.ROOT / "server/routes").glob("*.c"):
        for name, method, path in re.findall(r'const struct route route_(\w+) = \{\s*\.name = "\w+",\s*\.method = "(\w+)",\s*\.path = "([^"]+)"', source.read_text()):
            table[name] = (method, path)
    assert set(table) == names
    return table


def test_contract_and_routes_agree(server):
    described = {}
    for path, operations in server.contract()["paths"].items():
        for method, operation in operations.items():
            if method == "parameters":
                continue
            described[operation["operationId"]] = (method.upper(), path)
    assert described == routes_of_the_source()


def routes_of_the_guide():
    """The pairs of method and path in the first column of the table: "`GET`, `DELETE /v1/jobs/{id}`" are two."""
    guide = (harness.ROOT / "clients/guides/api.md").read_text()
    table = guide[guide.index("| method and path |"):]
    found, methods = [], []
    for row in re.findall(r"^\| (`.*?) \|", table[:table.index("\n\n")], re.M):
        for token in re.findall(r"`([^`]+)`", row):
            method, _, path = token.partition(" ")
            methods.append(method)
            if path:
                found += [(m, path) for m in methods]
                methods = []
    return found


def test_guide_lists_every_route_once():
    assert sorted(routes_of_the_guide()) == sorted(routes_of_the_source().values())


@pytest.mark.skipif("EXERCISED_ROUTES" not in os.environ, reason="EXERCISED_ROUTES names no file that the other API tests have written")
def test_every_route_was_exercised():
    noted = pathlib.Path(os.environ["EXERCISED_ROUTES"]).read_text().split()
    assert set(routes_of_the_source()) - set(noted) == set()
