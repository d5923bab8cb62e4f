"""Goal: a machine without the packages gets their names and the command that installs them, not a compiler error."""
import os
import subprocess

from harness import ROOT


def check(*packages, **env):
    return subprocess.run([ROOT / "tests/deps.sh", "--check", *packages], capture_output=True, text=True, timeout=60, env={**os.environ, **env})


def test_missing_packages_are_named():
    missing = check("make", "backpropd-no-such-package", CC="/no/such/compiler")
    assert missing.returncode == 1 and missing.stdout == ""
    assert "apt-get install backpropd-no-such-package\n" in missing.stderr and "make deps" in missing.stderr


def test_what_compiles_is_enough():
    """Headers that come from elsewhere than Debian's packages are fine."""
    there = check("backpropd-no-such-package")
    assert there.returncode == 0 and there.stderr == ""
