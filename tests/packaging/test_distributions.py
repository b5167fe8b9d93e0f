"""What is in the sdists and wheels, and what they say of themselves."""

import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.metadata import Metadata
from packaging.version import Version

from ..meta.test_habits import releases

ROOT = Path(__file__).parents[2]


class Distribution(NamedTuple):
    """One of the two projects: where it lies in the repository, and its package directories."""

    name: str
    project: str
    packages: tuple[str, ...]


PACKAGES = ("qstar_eval", "qstar_infer", "qstar_lab", "qstar_train", "server/qstar_server")
QSTAR = Distribution("qstar", ".", PACKAGES)
CLIENT = Distribution("qstar_client", "clients/python", ("src/qstar_client",))
each = pytest.mark.parametrize("distribution", [QSTAR, CLIENT], ids=lambda each: each.name)


def tracked(*directories: Path) -> set[Path]:
    """Absolute paths of the files that git tracks there."""
    listed = subprocess.check_output(["git", "ls-files", "-z", *directories], cwd=ROOT, text=True)
    return {ROOT / name for name in listed.split("\0") if name}


def wheel_of(distributions: Path, distribution: Distribution) -> Path:
    (path,) = distributions.glob(f"{distribution.name}-*.whl")
    return path


def metadata_of(distributions: Path, distribution: Distribution) -> Metadata:
    """Checked against the standards for metadata while it is read."""
    path = wheel_of(distributions, distribution)
    info = "-".join(path.name.split("-")[:2]) + ".dist-info"
    with zipfile.ZipFile(path) as wheel:
        return Metadata.from_email(wheel.read(f"{info}/METADATA"))


@each
def test_a_wheel_is_the_files_of_its_packages(
    distributions: Path, distribution: Distribution
) -> None:
    """All of them, data included, byte for byte; no tests, no compiled files."""
    project = ROOT / distribution.project
    wanted = {
        path.relative_to((project / package).parent).as_posix(): path.read_bytes()
        for package in distribution.packages
        for path in tracked(project / package)
    }
    with zipfile.ZipFile(wheel_of(distributions, distribution)) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info/" not in name]
        assert sorted(names) == sorted(wanted)
        assert all(wheel.read(name) == wanted[name] for name in names)
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())


@each
def test_an_sdist_is_what_git_tracks(distributions: Path, distribution: Distribution) -> None:
    (path,) = distributions.glob(f"{distribution.name}-*.tar.gz")
    project = ROOT / distribution.project
    wanted = {file.relative_to(project).as_posix() for file in tracked(project)}
    with tarfile.open(path) as sdist:
        files = {m.name.partition("/")[2] for m in sdist.getmembers() if m.isfile()}
    generated = {name for name in files - wanted if ".egg-info/" not in name}
    assert generated == {"PKG-INFO", "setup.cfg"}
    assert not wanted - files


@each
def test_the_metadata_is_valid(distributions: Path, distribution: Distribution) -> None:
    metadata = metadata_of(distributions, distribution)
    assert metadata.name == distribution.name.replace("_", "-")
    assert metadata.license_expression == "Apache-2.0"
    assert metadata.description_content_type == "text/markdown"
    readme = ROOT / distribution.project / "README.md"
    assert metadata.description == readme.read_text(encoding="utf-8")


def test_versions_agree_with_each_other_and_with_the_changelog(distributions: Path) -> None:
    """Of a tagged commit its release; of a later one a development version of the next."""
    version, client = (metadata_of(distributions, one).version for one in (QSTAR, CLIENT))
    assert version == client
    newest = Version(releases()[0])
    if version.is_devrelease:
        next_patch = f"{newest.major}.{newest.minor}.{newest.micro + 1}"
        assert version.base_version == next_patch
    else:
        assert version.public == newest.public


def test_both_have_the_same_licence() -> None:
    """The client's distribution needs a copy, because it cannot reach above its directory."""
    texts = [(ROOT / one.project / "LICENSE").read_bytes() for one in (QSTAR, CLIENT)]
    assert texts[0] == texts[1]
