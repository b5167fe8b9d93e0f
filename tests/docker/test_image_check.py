"""`make image-check` reads the Dockerfile as an engine does, and refuses what it cannot do."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.image_check.build_context import context_files, is_ignored, read_rule
from scripts.image_check.commands import CheckError
from scripts.image_check.copying import copy_from_context, inside_of
from scripts.image_check.dockerfile import DockerfileError, expand, parse
from scripts.image_check.image import Image
from scripts.image_check.machine import fetch_debootstrap, why_not

ROOT = Path(__file__).parents[2]
EXAMPLE = """
# A comment.
ARG TAG=bookworm
FROM debian:${TAG} AS base
RUN --mount=type=cache,target=/a --mount=type=secret,id=b,target=/c \\
    one && \\
    # a comment between
    two
ENV PLACE=/opt PATH="$PLACE/bin:$PATH"

FROM base AS last
ENTRYPOINT ["a", "b c"]
"""


def test_stages_and_steps() -> None:
    file = parse(EXAMPLE)
    assert {name: stage.base for name, stage in file.stages.items()} == {
        "base": "debian:bookworm",
        "last": "base",
    }
    run, env = file.stages["base"].instructions
    assert run.flags == (
        ("mount", "type=cache,target=/a"),
        ("mount", "type=secret,id=b,target=/c"),
    )
    assert (run.line, run.value.split()) == (5, ["one", "&&", "two"])
    assert env.pairs({"PLACE": "/x", "PATH": "/y"}) == {"PLACE": "/opt", "PATH": "/x/bin:/y"}
    assert [stage.name for stage in file.lineage("last")] == ["base", "last"]
    assert file.stages["last"].instructions[0].exec_form() == ["a", "b c"]


@pytest.mark.parametrize(
    "text",
    [
        "# syntax=docker/dockerfile:1\nFROM a AS b",
        "FROM a",
        "RUN a",
        "FROM a AS b\nADD c d",
        "FROM a AS b\nRUN <<END\nEND",
        "FROM a AS b\nRUN c \\",
        "FROM a AS b\nRUN --network none c",
        "FROM --platform=linux/arm64 a AS b",
    ],
)
def test_what_it_does_not_know_is_an_error(text: str) -> None:
    with pytest.raises(DockerfileError):
        parse(text)


@pytest.mark.parametrize("text", ["${A:-b}", "a\\$b", "cost: 1$"])
def test_replacements_that_it_does_not_know_are_errors(text: str) -> None:
    with pytest.raises(DockerfileError):
        expand(text, {"A": "1"})


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("CMD serve", "JSON array"),
        ("HEALTHCHECK NONE", "HEALTHCHECK"),
        ("RUN a", "cannot be executed"),
    ],
)
def test_steps_that_cannot_be_executed_are_errors(step: str, message: str, tmp_path: Path) -> None:
    (instruction,) = parse(f"FROM a AS b\n{step}").stages["b"].instructions
    with pytest.raises(CheckError, match=message):
        Image(tmp_path).describe(instruction)


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("a.txt", True),
        ("kept.txt", False),
        ("folder/a/b.txt", False),
        ("folder/a/__pycache__/b.pyc", True),
        ("__pycache__/b.pyc", True),
        ("folder/secret/c", True),
    ],
)
def test_the_last_rule_that_matches_counts(path: str, ignored: bool) -> None:
    patterns = ["*", "!kept.txt", "!folder", "**/__pycache__", "folder/secret"]
    assert is_ignored(path, [read_rule(pattern) for pattern in patterns]) is ignored


def test_files_are_copied_as_far_as_they_are_in_the_context(tmp_path: Path) -> None:
    context, root = tmp_path / "context", tmp_path / "root"
    for name in ("a/b.txt", "a/c.txt", "d.txt"):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text(name, encoding="utf-8")
    (context / ".dockerignore").write_text("*\n!a\na/c.txt\n", encoding="utf-8")
    assert context_files(context) == ["a/b.txt"]
    copy_from_context(context, "a", root, "/folder/")
    copy_from_context(context, "a/b.txt", root, "/file")
    copy_from_context(context, "a/b.txt", root, "/other/")
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert found == {"folder/b.txt", "file", "other/b.txt"}
    with pytest.raises(CheckError, match="leaves it out"):
        copy_from_context(context, "d.txt", root, "/d")


def test_no_path_leads_out_of_a_root(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(CheckError, match="out of the root"):
        inside_of(tmp_path, "/link/passwd")


@pytest.mark.slow
def test_the_image_is_built_and_serves(tmp_path: Path) -> None:
    """Some minutes: the whole of `make image-check`."""
    reason = why_not()
    if reason is not None:
        pytest.skip(f"cannot build images here: {reason}")
    try:
        fetch_debootstrap(tmp_path)
    except CheckError as error:
        pytest.skip(f"no mirror of Debian: {error}")
    if not Path(sys.executable).with_name("hadolint").exists():
        pytest.skip("needs hadolint, of qstar[deployment-test]")
    command = [sys.executable, "-m", "scripts.image_check"]
    result = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
    assert "thought '" in result.stdout
