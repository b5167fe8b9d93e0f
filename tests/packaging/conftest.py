"""The distributions of this checkout, built once for all tests of a run, in any worker."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from scripts import build_distributions

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an sdist and a wheel of `qstar` and of `qstar-client`."""
    for package in ("build", "setuptools_scm"):
        pytest.importorskip(package, reason="distributions are built with the extra")
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout: versions and files are taken from git")
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    out = shared / "distributions"
    with FileLock(shared / "distributions.lock"):
        if not out.exists():
            build_distributions.build_all(out)
    return out


@pytest.fixture(scope="session")
def wheels(distributions: Path) -> list[Path]:
    """The wheels: `qstar`, then `qstar-client`."""
    return sorted(distributions.glob("*.whl"))
