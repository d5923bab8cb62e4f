import fcntl
import json
import os
import pathlib
import pickle
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import bed  # noqa: E402
import harness  # noqa: E402


@pytest.fixture(scope="module")
def slurm(request):
    """Slurm, for all tests of a file; far = ("n1", "n2") in the file: with hosts that have a network of their own."""
    one = bed.Slurm(getattr(request.module, "far", ()))
    yield one
    one.kill_all()


@pytest.fixture
def serve(tmp_path):
    """Starts servers with launchers: serve(near={"command": [...]})."""
    made = []

    def start(*flags, **launchers):
        path = tmp_path / "launchers.json"
        path.write_text(json.dumps({name: {"cache": str(tmp_path / "cache"), "retry_seconds": 1, **members} if name != "local" else members
                                    for name, members in launchers.items()}))
        made.append(harness.Server("--launchers", str(path), "--retry-seconds", "0", *flags))
        made[-1].upload("digits", harness.DATA / "digits.csv")
        return made[-1]

    yield start
    for one in made:
        one.remove()
    harness.until(lambda: not bed.agents() and not bed.processes(r"backpropd (job|relay)$"), what="the end of what the servers had started")


@pytest.fixture(scope="session")
def undisturbed():
    """What bed.RUN comes to on this machine, in a process that is left alone. All files share it: the first one trains."""
    shared = pathlib.Path(os.environ["CLUSTER_SHARED"])
    with open(shared / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "undisturbed").exists():
            (shared / "undisturbed").write_bytes(pickle.dumps(train_undisturbed()))
    return pickle.loads((shared / "undisturbed").read_bytes())


def train_undisturbed():
    server = harness.Server()
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**bed.RUN)
    ended = server.wait(job["id"])
    assert ended["status"] == "succeeded" and ended["attempt"] == 1, ended
    outcome = bed.outcome(server, job["id"])
    assert server.stop() == 0
    server.remove()
    return outcome
