import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402


@pytest.fixture(scope="session")
def server():
    """One server for all tests that only need names of their own."""
    one = harness.Server("--workers", "2")
    yield one
    code = one.stop()
    shutil.rmtree(one.folder, ignore_errors=True)
    assert code == 0, "the server ended with %d at SIGTERM" % code


@pytest.fixture
def fresh():
    """Makes servers of one test's own: fresh("--workers", "1")."""
    made = []

    def make(*flags, **more):
        made.append(harness.Server(*flags, **more))
        return made[-1]

    yield make
    for one in made:
        if one.process.poll() is None:
            one.kill()
        shutil.rmtree(one.folder, ignore_errors=True)
