"""Goal: no route without a test, no route without a description, no description without a route. Runs last."""
import re

import harness


def routes_of_the_source():
    names = set(re.findall(r"^ROUTE\((\w+)\)", (harness.ROOT / "server/routes/routes.def").read_text(), re.M))
    table = {}
    for source in (harness.ROOT / "server/routes").glob("*.c"):
        for name, method, path in re.findall(r'const struct route route_(\w+) = \{\s*"\w+",\s*"(\w+)",\s*"([^"]+)"', source.read_text()):
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


def test_readme_tells_every_route():
    readme = (harness.ROOT / "README.md").read_text()
    for method, path in routes_of_the_source().values():
        assert re.search(r"`%s`|`%s |`%s`, `\w+ |%s" % (path, path, method, re.escape(path)), readme), path


def test_every_route_was_exercised(request, server):
    if len(request.session.items) < 30:
        return  # a part of the suite was chosen
    assert set(routes_of_the_source()) - harness.exercised == set()
