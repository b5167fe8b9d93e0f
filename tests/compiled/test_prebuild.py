"""Libraries that were built beforehand are found without a compiler, on every CPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import qstar_infer
from qstar_infer import prebuild
from qstar_infer.compiled import build

SOURCE = prebuild.SOURCES[1]  # the one that is compiled fastest
PACKAGE = Path(qstar_infer.__file__).parent
LOADED = """
from qstar_infer.compiled import build
from qstar_infer.prebuild import SOURCES
print(sum(build.load_library(source) is not None for source in SOURCES))
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a C compiler named cc")


@pytest.fixture(autouse=True)
def no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without `cc` and with an empty cache; `prebuilt` is a folder of the test."""
    monkeypatch.setattr(build, "PREBUILT", tmp_path / "prebuilt")
    monkeypatch.setenv("QSTAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with `cc`; runs after `no_compiler`."""
    monkeypatch.setenv("PATH", os.defpath)


def test_every_c_file_can_be_prebuilt() -> None:
    assert {source.path for source in prebuild.SOURCES} == set(PACKAGE.rglob("*.c"))


@pytest.mark.usefixtures("compiler")
def test_a_damaged_one_is_not_loaded(tmp_path: Path) -> None:
    for built in build.prebuild([SOURCE], build.PREBUILT):
        built.write_bytes(built.read_bytes()[:-1])
    build.load_library(SOURCE)
    assert len(list((tmp_path / "cache").glob("*.so"))) == 1, "built again"


@pytest.mark.usefixtures("compiler")
def test_neither_compiler_nor_cache_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.prebuild([SOURCE], build.PREBUILT)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("QSTAR_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", _no_home)
    assert build.load_library(SOURCE) is not None
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
def test_every_cpu_finds_the_prebuilt_libraries(tmp_path: Path) -> None:
    """Torch takes another set of instructions where the CPU lacks the one asked for."""
    build.prebuild(prebuild.SOURCES, build.PREBUILT)
    environment = {"PATH": str(tmp_path), "QSTAR_CACHE": str(build.PREBUILT)}
    command = [sys.executable, "-c", LOADED]
    for capability in ("default", "avx2", "avx512"):
        capable = environment | {"ATEN_CPU_CAPABILITY": capability}
        result = subprocess.run(command, env=capable, capture_output=True, text=True, check=True)
        assert result.stdout == "3\n", capability


def _no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")
