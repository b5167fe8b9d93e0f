"""The sources of the page: the bundle that is shipped comes from them, and their own tests pass."""

import shutil
from pathlib import Path

import pytest

from tests.typescript.node_package import UNREACHABLE, check, run, skip_without_node

ROOT = Path(__file__).parents[3]
BUNDLE = Path("server/qstar_server/playground/bundle")
IGNORED = shutil.ignore_patterns("node_modules", "dist", "build", "__pycache__", "*.egg-info")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, with the packages that their lock file names.

    It lies as in the repository, so that what is built does not land there.
    """
    skip_without_node()
    root = tmp_path_factory.mktemp("sources")
    for name in ("server/playground", "clients"):
        shutil.copytree(ROOT / name, root / name, ignore=IGNORED)
    page = root / "server/playground"
    installed = run("npm", "ci", folder=page)
    if installed.returncode and UNREACHABLE.search(installed.stderr):
        pytest.skip("npm cannot reach its registry, which has the tools that build the page")
    check(installed)
    return page


def test_the_shipped_bundle_is_what_the_sources_give(sources: Path) -> None:
    """Byte for byte, so that nobody ships what nobody can read. `make playground` builds it."""
    check(run("npm", "run", "build", folder=sources))
    built = files_of(sources.parents[1] / BUNDLE)
    shipped = files_of(ROOT / BUNDLE)
    assert sorted(built) == sorted(shipped), "run `make playground` and commit what it builds"
    assert [name for name in built if built[name] != shipped[name]] == []


def test_the_tests_of_the_sources_pass(sources: Path) -> None:
    check(run("npm", "test", folder=sources))


def test_the_lock_file_names_no_host_of_packages() -> None:
    """So that it works with any registry."""
    lock = (ROOT / "server/playground/package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in lock
    assert '"integrity"' in lock


def files_of(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
