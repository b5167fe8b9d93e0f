"""The sampling settings that a checkpoint recommends, and invalid values in its file."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qstar_infer.checkpoint import default, load_model, save_model
from qstar_infer.checkpoint.native import read_native
from qstar_infer.errors import CheckpointError
from qstar_infer.llm import LLM
from qstar_infer.model.generation_defaults import sampling_defaults
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.sampling_defaults import SamplingDefaults

ToyMaker = Callable[..., Path]
JsonEditor = Callable[..., None]


@pytest.fixture
def load_with(make_plain: ToyMaker, edit_json: JsonEditor) -> Callable[..., QuietStarModel]:
    """Load a plain model whose `generation_config.json` has these fields."""

    def load(**fields: Any) -> QuietStarModel:
        directory = make_plain()
        edit_json(directory / "generation_config.json", **fields)
        return load_model(directory, device="cpu")

    return load


def test_file_without_sampling_settings_recommends_nothing(
    load_with: Callable[..., QuietStarModel],
) -> None:
    """Not even top_k = 50, which transformers uses as its default."""
    assert sampling_defaults(load_with(do_sample=True, max_length=30)) == SamplingDefaults()


def test_each_setting_of_the_file_is_used(load_with: Callable[..., QuietStarModel]) -> None:
    settings: dict[str, Any] = {
        "temperature": 0.6,
        "top_k": 20,
        "top_p": 0.95,
        "min_p": 0.05,
        "repetition_penalty": 1.1,
    }
    model = load_with(do_sample=True, typical_p=0.5, **settings)
    assert sampling_defaults(model) == SamplingDefaults(**settings)


def test_tiny_temperature_is_greedy(load_with: Callable[..., QuietStarModel]) -> None:
    model = load_with()
    model.backbone.generation_config.temperature = 1e-7
    assert sampling_defaults(model).temperature == 0.0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("temperature", 2.5, r"temperature must be a number in \[0, 2\], got 2.5"),
        ("top_k", 5.5, r"top_k must be an integer in .*, got 5.5"),
        ("repetition_penalty", 11.0, r"repetition_penalty must be a number in .*, got 11.0"),
    ],
)
def test_value_that_a_request_could_not_have_is_rejected(
    load_with: Callable[..., QuietStarModel], field: str, value: float, message: str
) -> None:
    model = load_with()
    setattr(model.backbone.generation_config, field, value)
    with pytest.raises(CheckpointError, match=message) as caught:
        sampling_defaults(model)
    assert str(caught.value).startswith("generation_config.json of plain: ")
    assert "--generation-config none" in str(caught.value)


@pytest.mark.parametrize("value", [None, 0.25, 2])
def test_thought_temperature_is_saved_loaded_and_recommended(
    native: Path, tmp_path: Path, value: float | None
) -> None:
    model = load_model(native, device="cpu")
    assert model.config is not None
    assert model.config.thought_temperature is None
    model.config = dataclasses.replace(model.config, thought_temperature=value)
    save_model(model, tmp_path / "saved")
    loaded = load_model(tmp_path / "saved", device="cpu")
    assert loaded.config == model.config
    assert sampling_defaults(loaded) == SamplingDefaults(thought_temperature=value)


def test_checkpoint_from_before_thought_temperature_still_loads(
    native: Path, edit_json: JsonEditor
) -> None:
    edit_json(native / "quiet_star.json", thought_temperature=...)
    assert sampling_defaults(load_model(native, device="cpu")) == SamplingDefaults()


def test_default_model_recommends_its_training_temperature() -> None:
    config, _ = read_native(default.PARTS_DIRECTORY, hidden=576)
    assert config.training is not None
    trained_at = config.training["settings"]["objective"]["thought_temperature"]
    assert config.thought_temperature == trained_at == 0.5


def test_engine_uses_the_checkpoints_defaults_unless_disabled(
    native: Path, edit_json: JsonEditor
) -> None:
    edit_json(native / "generation_config.json", temperature=0.6)
    edit_json(native / "quiet_star.json", thought_temperature=0.5)
    info = LLM(str(native), device="cpu").model_info
    assert info.sampling_defaults == SamplingDefaults(temperature=0.6, thought_temperature=0.5)
    info = LLM(str(native), device="cpu", generation_config="none").model_info
    assert info.sampling_defaults == SamplingDefaults()
