"""Each program of `programs/` runs without an error."""

from pathlib import Path

import pytest

from tests.compat.conftest import NODE_MODULES, PYTHON, Served, run

PROGRAMS = Path(__file__).parent / "programs"


@pytest.mark.parametrize("program", sorted(PROGRAMS.glob("*.py")), ids=lambda path: path.stem)
def test_python_client(program: Path, served: Served) -> None:
    run(PYTHON, program, served.url, served.model)


def test_npm_package(served: Served) -> None:
    if not NODE_MODULES.exists():
        pytest.skip("npm is missing, or `make compat` has not run")
    run("node", PROGRAMS / "openai_package.mjs", served.url, served.model)
