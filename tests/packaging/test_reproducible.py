"""Anyone who builds a commit gets the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.build_distributions import copy_checkout


@pytest.mark.slow
def test_another_build_has_the_same_bytes(distributions: Path, tmp_path: Path) -> None:
    """In another directory, later, on another branch, with other umask, time zone and hash seed."""
    checkout = tmp_path / "a checkout with a longer name"
    copy_checkout(checkout)
    subprocess.run(["git", "switch", "--quiet", "--create", "other"], cwd=checkout, check=True)
    (checkout / "qstar_infer" / "not_tracked.py").touch()
    elsewhere = {"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "1"}
    subprocess.run(
        [sys.executable, "-m", "scripts.build_distributions"],
        cwd=checkout,
        env=os.environ | elsewhere,
        umask=0o077,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    built = sorted((checkout / "dist").iterdir())
    assert [path.name for path in built] == sorted(path.name for path in distributions.iterdir())
    assert len(built) == 4
    for path in built:
        assert path.read_bytes() == (distributions / path.name).read_bytes(), path.name
