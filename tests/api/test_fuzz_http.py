"""Goal: mutated requests never end the server, and each answer is well-formed HTTP. `make soak` sends many more."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "faults"))
import fuzz_http  # noqa: E402


def test_mutated_requests(fresh):
    server = fresh("--workers", "1", "--cors-origin", "http://a")
    assert fuzz_http.fuzz(server, 600, seed=1) > 100
    assert server.stop() == 0
