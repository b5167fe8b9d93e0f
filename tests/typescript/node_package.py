"""The TypeScript client as an npm package in a folder of its own, and programs that use it."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SOURCES = Path(__file__).parents[2] / "clients" / "typescript"
PROGRAMS = Path(__file__).parent / "programs"
OLDEST_NODE = 20
UNREACHABLE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH")


def build_package(folder: Path) -> None:
    """Build the client from a copy of its sources, as its lock file says.

    Skips the test where Node or npm is missing, or the registry cannot be reached.
    """
    skip_without_node()
    ignored = shutil.ignore_patterns("node_modules", "dist", "build")
    shutil.copytree(SOURCES, folder, ignore=ignored)
    installed = run("npm", "ci", "--no-audit", "--no-fund", folder=folder)
    if installed.returncode and UNREACHABLE.search(installed.stderr):
        pytest.skip("npm cannot reach its registry, which has the TypeScript compiler")
    check(installed)
    check(run("npm", "run", "build", folder=folder))
    shutil.copytree(PROGRAMS, folder / "programs")


def skip_without_node() -> None:
    """Skip the test where Node or npm is missing or too old."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node or npm is missing")
    version = run("node", "--version", folder=SOURCES).stdout
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        pytest.skip(f"node {version.strip()} is older than {OLDEST_NODE}")


def run_program(folder: Path, name: str, job: object, **environment: str) -> Any:
    """What a program of `programs/` prints as JSON for a job."""
    done = run("node", f"programs/{name}", json.dumps(job), folder=folder, **environment)
    return json.loads(check(done))


@contextmanager
def running_program(folder: Path, name: str, job: object) -> Iterator["subprocess.Popen[str]"]:
    """A program of `programs/`, whose input ends with the block."""
    command = ["node", f"programs/{name}", json.dumps(job)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, text=True) as program:
        yield program
        program.communicate(timeout=30)


def run(*command: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in the folder, without the settings of this environment."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("QSTAR_")}
    return subprocess.run(
        command,
        cwd=folder,
        env=plain | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def check(done: "subprocess.CompletedProcess[str]") -> str:
    """The output of a command that succeeded."""
    assert done.returncode == 0, f"{done.args}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
