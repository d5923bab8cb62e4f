"""Goal: every example in the contract works as written: requests succeed, responses match their schemas."""
import copy
import json
import urllib.parse

import pytest

import harness

CSV = (harness.ROOT / "clients/examples/penguins.csv").read_bytes()


def examples_of(node):
    """Name and value of each example of a media type, a parameter or a schema."""
    if "example" in node:
        yield "example", node["example"]
    for name, example in node.get("examples", {}).items():
        yield name, example["value"]


def places(node, path=()):
    """Every place in the document that holds an example."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "example" or (key == "examples" and isinstance(value, dict)):
                yield path
            else:
                yield from places(value, path + (key,))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from places(value, path + (i,))


def resolve(contract, node, path):
    """The node, and its own place, after resolving references."""
    while "$ref" in node:
        path = tuple(node["$ref"].lstrip("#/").split("/"))
        node = contract
        for part in path:
            node = node[part]
    return node, path


class Walk:
    def __init__(self, server):
        self.server, self.contract, self.seen, self.sent = server, server.contract(), set(), 0

    def parameters(self, owner, path):
        """Values by place and name of the parameters that have an example."""
        found = {"path": {}, "query": {}, "header": {}}
        for i, parameter in enumerate(owner.get("parameters", [])):
            parameter, where = resolve(self.contract, parameter, path + ("parameters", i))
            for _, value in examples_of(parameter):
                self.seen.add(where)
                found[parameter["in"]][parameter["name"]] = value
            for _, value in examples_of(parameter["schema"]):
                self.seen.add(where + ("schema",))
                found[parameter["in"]][parameter["name"]] = value
        return found

    def send(self, method, template, values, headers=None, body=None):
        path = template
        for name, value in values["path"].items():
            path = path.replace("{%s}" % name, urllib.parse.quote(str(value)))
        for name, value in {"id": None, "version": "1", "column": "extra", "model": "penguins", "name": "penguins"}.items():
            path = path.replace("{%s}" % name, self.own(template) if name == "id" and "{id}" in path else value or "")
        query = {k: json.dumps(v) if isinstance(v, bool) else v for k, v in values["query"].items() if not ("/datasets" == template[3:] and k == "column" and body is None)}
        if template == "/v1/compare":
            query["jobs"] = ",".join(self.compared)
        if query:
            path += "?" + urllib.parse.urlencode(query, doseq=True)
        answer = self.server.request(method.upper(), path, body=body, headers={**values["header"], **(headers or {})})
        self.sent += 1
        assert answer.status < 300, (method, path, body, answer)

    def operation(self, method, template, operation, shared, path):
        values = copy.deepcopy(shared)
        for place, more in self.parameters(operation, path).items():
            values[place].update(more)
        if "requestBody" not in operation:
            if method == "get":
                self.send(method, template, values)
            return
        body, where = resolve(self.contract, operation["requestBody"], path + ("requestBody",))
        for kind, media in body["content"].items():
            for name, value in examples_of(media):
                self.seen.add(where + ("content", kind))
                text = json.dumps(value) if kind.endswith("json") and not isinstance(value, str) else value
                self.prepare(template)
                own = copy.deepcopy(values)
                if template == "/v1/datasets":  # what a query says of another format does not apply to this one
                    own["query"] = {k: v for k, v in own["query"].items() if k != "types"}
                    own["query"]["name"] = harness.unique("example")
                    if kind.endswith("/json"):
                        own["query"] = {}
                        text = json.dumps({**value, "name": own["query"].get("name") or harness.unique("example")})
                ended, self.job = self.job, self.unfinished() if template == "/v1/jobs/{id}" else self.job
                self.send(method, template, own, {"Content-Type": kind}, text.encode())
                self.job = ended

    def own(self, template):
        """The id of a job of the kind that the path is about."""
        made = {"/v1/batches/": ("/v1/batches", {"model": "penguins", "dataset": "penguins@1"}),
                "/v1/jobs/{id}/evaluation": ("/v1/models/penguins/evaluate", {"dataset": "penguins@1", "async": True, "bootstrap": 0})}
        for start, (path, body) in made.items():
            if template.startswith(start):
                return self.server.wait(self.server.post(path, body).json["id"])["id"]
        return self.sweep if template.startswith("/v1/sweeps/") else self.job

    def unfinished(self):
        """A job that is not at its end: only such a one can be changed."""
        self.server.upload("waiting", harness.DATA / "digits.csv", "&replace=1")
        return self.server.submit(model={"layers": [{"type": "dense", "units": 64}]}, dataset="waiting", target="digit", epochs=1000000)["id"]

    def prepare(self, template):
        """What rows and columns are added to has the columns of the examples."""
        if template.startswith("/v1/datasets/{name}/"):
            server = self.server
            harness.until(lambda: server.delete("/v1/datasets/penguins").status in (204, 404), what="the end of the jobs that use the dataset")
            if template.endswith("rows"):
                server.upload("penguins", "bill,island\n39.1,Torgersen\n46.5,Biscoe\n")
            else:
                server.upload("penguins", "bill\n1\n2\n3\n")


def test_every_example_works(fresh):
    server = fresh()
    walk = Walk(server)
    walk.job = server.train(model={"name": "penguins", "layers": [{"type": "dense", "units": 4}]}, dataset={"name": "penguins", "records": [
        dict(zip(CSV.decode().split("\n")[0].split(","), (float(c) if c.replace(".", "").isdigit() else c or None for c in line.split(",")))) for line in
        CSV.decode().split("\n")[1:] if line]}, target="species", epochs=2, test={"fraction": 0.2})["id"]
    walk.compared = [walk.job, server.train(model="penguins", dataset="penguins", target="species", epochs=2, l2=0.01)["id"]]
    walk.sweep = server.post("/v1/sweeps", {"model": "penguins", "dataset": "penguins", "job": {"target": "species", "epochs": 2}, "space": {"l2": {"choice": [0, 1]}}, "method": "grid"}).json["id"]
    changing = []
    for template, operations in walk.contract["paths"].items():
        shared = walk.parameters(operations, ("paths", template))
        for method, operation in operations.items():
            if method == "parameters":
                continue
            changes = template.startswith("/v1/datasets/{name}/") and method == "post"
            (changing if changes else []).append((method, template, operation, shared))
            if not changes:
                walk.operation(method, template, operation, shared, ("paths", template, method))
    for method, template, operation, shared in changing:  # last: they replace the dataset that the others use
        walk.operation(method, template, operation, shared, ("paths", template, method))
    # answers and parts: the example fits the schema beside it
    for place in set(places(walk.contract)) - walk.seen:
        node = walk.contract
        for part in place:
            node = node[part]
        schema = node.get("schema", {k: v for k, v in node.items() if k not in ("example", "examples")})
        for name, value in examples_of(node):
            assert schema, place
            harness._validate(walk.contract, schema, value, "the example %s at %s" % (name, "/".join(map(str, place))))
    assert walk.sent > 35
