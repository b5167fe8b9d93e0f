"""The package: its own tests, what it contains, and its README.

The programs of the README run in another project, where the package is installed.
"""

import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.server.fake_engine import SCRIPT
from tests.server.live_server import LiveServer
from tests.typescript.node_package import SOURCES, check, run

README = (SOURCES / "README.md").read_text(encoding="utf-8")
PYTHON_CLIENT = SOURCES.parent / "python"
MAX_LINES = 400
MAX_TEST_LINES = 600
STRICT = ("--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess")


@pytest.fixture(scope="module")
def project(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another project, which has the packed client, and the README's programs as one."""
    folder = tmp_path_factory.mktemp("project")
    (tarball,) = json.loads(check(run("npm", "pack", "--json", folder=package)))
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    archive = package / tarball["filename"]
    check(run("npm", "install", "--offline", "--no-audit", str(archive), folder=folder))
    (folder / "readme.ts").write_text("\n".join(blocks("js")))
    return folder


def blocks(language: str) -> list[str]:
    """The README's programs in a language."""
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return found


def test_its_own_tests(package: Path) -> None:
    output = check(run("npm", "test", folder=package))
    counts = dict(re.findall(r"^# (tests|pass|fail) (\d+)$", output, re.MULTILINE))
    assert counts["fail"] == "0"
    assert counts["pass"] == counts["tests"]
    assert int(counts["tests"]) > 50


def test_the_programs_of_the_readme(project: Path, live: LiveServer) -> None:
    """They run as JavaScript, and each leans on the names of those before it."""
    assert len(blocks("js")) == 4
    (project / "readme.js").write_text("\n".join(blocks("js")))
    lines = check(run("node", "readme.js", folder=project, QSTAR_BASE_URL=live.url)).splitlines()
    text = "\n".join(lines)
    # Tokens are bytes: 8 of them, then 64 of which three quarters are thoughts, then no limit.
    written = SCRIPT.encode()
    assert text.startswith(f"{written[:8].decode()}\n{written[:16].decode()}\n{SCRIPT}\n")
    thoughts = [line for line in lines if line.startswith('"')]
    assert re.fullmatch(r'"H" weight 0\.\d\d thought ".+"', thoughts[0])
    assert f'text "{SCRIPT[0]}' in text
    assert lines[-3:] == [
        f"{len(thoughts)} tokens",
        f"{len(thoughts)} thoughts",
        "BadRequestError 400 top_p",
    ]


def test_the_programs_of_the_readme_have_types(package: Path, project: Path) -> None:
    """Also with the strictest settings, and with the declarations of the package checked."""
    compiler = package / "node_modules" / ".bin" / "tsc"
    target = ("--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom")
    check(run(str(compiler), "--noEmit", *STRICT, *target, "readme.ts", folder=project))


def test_the_commands_of_the_readme(package: Path, tmp_path: Path) -> None:
    """The package was built with the first one; the second one names its folder."""
    build, install = re.findall(r"^(npm .*)$", README, re.MULTILINE)
    assert build == "npm ci && npm run build"
    *command, place = install.split()
    assert place == "PATH/TO/clients/typescript"
    (tmp_path / "package.json").write_text('{"private": true, "type": "module"}')
    check(run(*command, "--offline", "--no-audit", str(package), folder=tmp_path))
    program = 'import("qstar-client").then(({ QStarClient }) => console.log(QStarClient.name))'
    assert check(run("node", "--eval", program, folder=tmp_path)) == "QStarClient\n"


def test_the_readme_names_every_error_event_and_call(package: Path) -> None:
    index = (package / "src" / "index.ts").read_text(encoding="utf-8")
    errors = set(re.findall(r"\b\w+Error\b", index))
    assert len(errors) > 12
    events = re.findall(r'type: "(\w+)"', (package / "src" / "events.ts").read_text())
    assert {"thought", "usage"} < set(events)
    names = errors | {f'`"{name}"`' for name in events if name not in ("text", "reasoning")}
    assert [name for name in sorted(names) if name not in README] == []


def test_contents(package: Path) -> None:
    (packed,) = json.loads(check(run("npm", "pack", "--dry-run", "--json", folder=package)))
    files = {file["path"] for file in packed["files"]}
    assert {"LICENSE", "README.md", "package.json", "dist/index.js", "dist/index.d.ts"} <= files
    assert not [name for name in files if not re.match(r"dist/|LICENSE|README|package\.json", name)]
    licence = (SOURCES / "LICENSE").read_text(encoding="utf-8")
    assert licence == (PYTHON_CLIENT / "LICENSE").read_text(encoding="utf-8")


def test_the_manifest() -> None:
    """The same version as the Python client, nothing to install beside it, and no registry."""
    manifest = json.loads((SOURCES / "package.json").read_text(encoding="utf-8"))
    python = tomllib.loads((PYTHON_CLIENT / "pyproject.toml").read_text(encoding="utf-8"))
    assert manifest["version"] == python["tool"]["setuptools_scm"]["fallback_version"]
    assert manifest["license"] == python["project"]["license"]
    assert not [name for name in manifest if "ependencies" in name and name != "devDependencies"]
    lock = (SOURCES / "package-lock.json").read_text(encoding="utf-8")
    assert json.loads(lock)["version"] == manifest["version"]
    assert "resolved" not in lock
    assert "://" not in lock


def test_files_are_short() -> None:
    for path in SOURCES.glob("src/**/*.ts"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES, path
    for path in SOURCES.glob("tests/*.ts"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_TEST_LINES, path
