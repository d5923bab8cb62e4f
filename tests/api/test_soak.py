"""Goal: a few seconds of what `make soak` does for an hour: mixed load leaves memory, descriptors and threads flat; kills lose nothing that was acknowledged."""
import pathlib
import random
import sys

import harness

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "faults"))
import soak  # noqa: E402


def test_mixed_load_leaves_nothing_behind(fresh):
    server = fresh("--workers", "2")
    counts, before, after = soak.soak(server, 12, slack=(1024 if server.sanitized() else 64) << 20)  # a sanitizer keeps freed memory
    assert set(counts) == {"predict", "upload", "train", "look", "stream", "break_off", "kill_job"}


def test_kills_lose_nothing_that_was_acknowledged(fresh):
    server = fresh("--workers", "1")
    count, kept = soak.kills(server, 4, random.Random(5))
    assert kept > 0
    assert server.stop() == 0
    assert harness.run("check", "--data-dir", server.folder).returncode == 0
