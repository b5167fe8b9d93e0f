"""An image for GPUs gets the pinned CUDA build, whatever machine builds it, or no build at all."""

import pytest

from scripts import install_torch

INSTALLED: list[str] = []


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU, no torch, and no pip."""
    INSTALLED.clear()
    monkeypatch.setattr(install_torch, "installed_version", lambda: None)
    monkeypatch.setattr(install_torch, "has_nvidia_gpu", lambda: False)
    monkeypatch.setattr(install_torch, "pip", lambda *arguments: INSTALLED.append(arguments[-1]))
    monkeypatch.setattr("sys.argv", ["install_torch.py", "cuda"])


def plan(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    monkeypatch.setattr(install_torch, "planned_packages", lambda _: list(packages))


def test_the_cuda_build_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    plan(monkeypatch, "torch", "nvidia-cublas", "triton")
    install_torch.main()
    assert INSTALLED == [install_torch.PINNED]


def test_an_index_without_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    plan(monkeypatch, "torch", "sympy")
    with pytest.raises(SystemExit, match="no CUDA build"):
        install_torch.main()
    assert INSTALLED == []
