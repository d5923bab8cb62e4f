import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402


@pytest.fixture(scope="session")
def server():
    """One server for all tests that only need names of their own. It holds the datasets iris, wine, digits, penguins and breast_cancer."""
    one = harness.Server("--workers", "2")
    for csv in sorted(harness.DATA.glob("*.csv")):
        one.upload(csv.stem, csv)
    yield one
    code = one.stop()
    one.remove()
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
        one.remove()
