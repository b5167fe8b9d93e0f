"""The checks before a commit, the pinned packages and the versions agree with each other."""

import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import qstar_client
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts import install_torch

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PROJECTS = ["pyproject.toml", "clients/python/pyproject.toml"]
PIN = re.compile(r"(?P<name>[a-z0-9-]+)==[0-9a-z.]+( ; .+)?")
RELEASE = re.compile(r"^## \[(?P<version>\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", re.MULTILINE)


def project_of(path: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / path).read_text(encoding="utf-8"))


def requirements() -> list[Requirement]:
    """What both distributions and their extras need, without each other."""
    found = []
    for path in PROJECTS:
        project = project_of(path)["project"]
        extras = project.get("optional-dependencies", {}).values()
        found += [*project["dependencies"], *(line for extra in extras for line in extra)]
    parsed = [Requirement(line) for line in found]
    return [requirement for requirement in parsed if not requirement.name.startswith("qstar")]


def releases() -> list[str]:
    """Released versions of the changelog, from the top."""
    return [found["version"] for found in RELEASE.finditer(CHANGELOG)]


def test_commit_hooks_are_the_checks_of_make_test() -> None:
    """All but the tests themselves, called through make, so that nothing can differ."""
    line = re.search(r"^test: ([a-z ]+) ##", MAKEFILE, flags=re.MULTILINE)
    assert line is not None
    wanted = [f"make {target}" for target in line[1].split() if target != "unit"]
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == wanted
    assert all(hook["always_run"] and not hook["pass_filenames"] for hook in hooks)


def test_make_help_lists_every_target() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.MULTILINE)
    assert phony is not None
    explained = re.findall(r"^([a-z-]+):.*## ", MAKEFILE, flags=re.MULTILINE)
    assert sorted(phony[1].split()) == sorted(explained)


def test_constraints_are_releases_and_nothing_else() -> None:
    """No address, no path of a machine, no option: any pip on any machine can read them."""
    comment, *lines = CONSTRAINTS
    assert comment.startswith("# ")
    assert not [line for line in lines if not PIN.fullmatch(line)]


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_every_dependency_is_pinned_to_a_release_that_fits(requirement: Requirement) -> None:
    """After a change of dependencies, run `make lock`."""
    name = canonicalize_name(requirement.name)
    pins = [Requirement(line) for line in [*CONSTRAINTS[1:], install_torch.PINNED]]
    here = [pin for pin in pins if canonicalize_name(pin.name) == name]
    here = [pin for pin in here if pin.marker is None or pin.marker.evaluate()]
    assert len(here) == 1, f"{name} is not pinned once: run `make lock`"
    (exact,) = here[0].specifier
    assert exact.version in requirement.specifier, f"{here[0]} is not {requirement}: `make lock`"


def test_builds_of_torch_are_left_to_its_script() -> None:
    names = {line.partition("==")[0] for line in CONSTRAINTS}
    assert "torch" not in names
    assert not [name for name in names if install_torch.CUDA_PACKAGE.search(name)]
    assert install_torch.REQUIREMENT in project_of("pyproject.toml")["project"]["dependencies"]
    oldest = ".".join(map(str, install_torch.MIN_VERSION))
    assert install_torch.REQUIREMENT.endswith(f">={oldest}")


def test_setup_honours_the_constraints() -> None:
    """And runs again after they change."""
    recipe = MAKEFILE.partition("$(STAMP):")[2].partition("\n\n")[0].replace("\\\n", "")
    (install,) = [line for line in recipe.splitlines() if "--editable" in line]
    assert " --constraint constraints.txt " in install
    files = re.search(r"^PACKAGES := (.*)$", MAKEFILE, flags=re.MULTILINE)
    assert files is not None
    assert "constraints.txt" in files[1].split()
    assert "$(PACKAGES)" in recipe.splitlines()[0]


def test_changelog_has_unreleased_first_and_then_releases_from_new_to_old() -> None:
    headings = re.findall(r"^## .*$", CHANGELOG, flags=re.MULTILINE)
    assert headings[0] == "## [Unreleased]"
    assert len(headings) == 1 + len(releases())
    assert sorted(releases(), key=Version, reverse=True) == releases()


@pytest.mark.parametrize("path", PROJECTS)
def test_version_without_a_tag_is_that_of_the_newest_release(path: str) -> None:
    project = project_of(path)
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools_scm"]["fallback_version"] == releases()[0]


def test_the_newest_tag_has_an_entry_in_the_changelog() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("a source tree without git")
    command = ["git", "tag", "--list", "v*", "--merged", "HEAD", "--sort=-version:refname"]
    tags = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    if not tags:
        pytest.skip("no tags here, as in a shallow clone")
    assert tags.split()[0].removeprefix("v") in releases()


def test_both_distributions_are_installed_from_the_same_release() -> None:
    """Only the release is compared: the count of commits differs after installing just one."""
    ours, clients = Version(version("qstar")), Version(qstar_client.__version__)
    assert ours.base_version == clients.base_version, "installed at different times: `make setup`"
