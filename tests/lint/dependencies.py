"""dependencies.py [FILE] - includes between folders: only those that dependencies.txt allows, and no cycle between files or folders.

Prints each fault; exit status 1 when there was one. With --print it prints the folders as they are, in the form of dependencies.txt.
"""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = ("engine", "schema", "server")


def includes():
    """{file: [included file, ...]} of our own headers, by their path from the root."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *(f"{m}/*.[ch]" for m in MODULES)],
                            capture_output=True, text=True, check=True).stdout.split()
    found = {}
    for path in filter(os.path.exists, listed):
        with open(path, encoding="utf-8") as source:
            found[path] = re.findall(r'^\s*#\s*include "([^"]+)"', source.read(), re.M)
    return found


def folders_of(files):
    graph = {}
    for path, targets in files.items():
        folder = os.path.dirname(path)
        for target in targets:
            if os.path.dirname(target) != folder:
                graph.setdefault(folder, {}).setdefault(os.path.dirname(target), []).append(path)
    return graph


def cycles(graph):
    """Strongly connected components with more than one member (Tarjan 1972)."""
    index, low, stack, on_stack, found = {}, {}, [], set(), []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        on_stack.add(node)
        for target in graph.get(node, ()):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in on_stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            component = []
            while not component or component[-1] != node:
                component.append(stack.pop())
                on_stack.discard(component[-1])
            if len(component) > 1:
                found.append(sorted(component))

    for node in list(graph):
        if node not in index:
            visit(node)
    return found


def allowed(path):
    rules = {}
    with open(path, encoding="utf-8") as text:
        for line in text:
            line = line.split("#")[0].strip()
            if line:
                folder, _, targets = line.partition(":")
                rules[folder.strip()] = targets.split()
    return rules


def main():
    files = includes()
    graph = folders_of(files)
    if "--print" in sys.argv:
        for folder in sorted(graph):
            print(f"{folder}: {' '.join(sorted(graph[folder]))}")
        return 0
    faults = []
    for path, targets in files.items():
        for target in targets:
            if not os.path.exists(target):
                faults.append(f'{path} includes "{target}": name the header by its path from the root')
    rules = allowed(os.path.join(HERE, "dependencies.txt"))
    for folder, targets in graph.items():
        for target, users in targets.items():
            if target not in rules.get(folder, []):
                faults.append(f"{users[0]}: {folder} may not include {target}; if that is intended, add it to tests/lint/dependencies.txt")
    for folder, targets in rules.items():
        for target in targets:
            if target not in graph.get(folder, {}):
                faults.append(f"tests/lint/dependencies.txt: {folder} does not include {target} (it may have been deleted): remove it")
    for kind, what in (("folders", graph), ("files", files)):
        for component in cycles(what):
            faults.append(f"a cycle of {kind}: {' '.join(component)}")
    for fault in faults:
        print(f"lint: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
