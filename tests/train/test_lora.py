"""Adapters: which layers get one, how one is written down, which are trained further."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from qstar_infer.checkpoint import load_model
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_train.trainer.model_setup import model_to_train
from qstar_train.trainer.objective_module import ObjectiveModule
from qstar_train.trainer.state import load_weights, saved_states
from qstar_train.trainer.train import train

from .trainer_toys import config_of, write_config

LORA: dict[str, Any] = {"rank": 2, "alpha": 4, "target_modules": ["q_proj", "up_proj"]}
TARGETS = {
    "last names": (["q_proj", "up_proj"], ["q_proj", "up_proj"]),
    "a layer": (["layers.0.self_attn.q_proj"], ["model.layers.0.self_attn.q_proj"]),
    "a pattern": (r".*layers\.1\..*_proj", None),
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("lora"))


def train_adapter(config: Path, output: Path, **changes: Any) -> Path:
    """One step over the plain model, or over what `changes` say; the adapter's directory."""
    common = {"model": str(config.parent / "plain"), "steps": 1, "lora": LORA}
    train(config_of(config, **common | changes, output=str(output)))
    return output / "adapter"


@pytest.fixture(scope="module")
def adapter(config: Path) -> Path:
    return train_adapter(config, config.parent / "first")


@pytest.mark.parametrize("case", TARGETS)
def test_an_adapter_of_some_layers_is_read_as_it_was_written(
    config: Path, tmp_path: Path, case: str
) -> None:
    """With one layer of a name adapted, all layers of that name were said to be."""
    given, written = TARGETS[case]
    lora = LORA | {"target_modules": given}
    adapter = train_adapter(config, tmp_path / "run", lora=lora)
    if written is not None:
        values = json.loads((adapter / "adapter_config.json").read_text())
        assert values["target_modules"] == written
    ids = torch.randint(0, 256, (1, 9), generator=torch.Generator().manual_seed(1))
    merged = load_model(tmp_path / "run" / "model", dtype="float32", device="cpu").think(ids)
    got = load_model(adapter, dtype="float32", device="cpu").think(ids)
    assert_close(got.base_logits, merged.base_logits, rtol=0.02, atol=0.02)
    train_adapter(config, tmp_path / "further", lora=lora, model=str(adapter))


EXPORTS: dict[str, dict[str, Any]] = {
    "layers": {"target_modules": "all-linear"},
    "tied head": {"target_modules": ["q_proj", "lm_head"]},
}


@pytest.mark.parametrize("case", EXPORTS)
def test_what_is_saved_is_what_was_trained(config: Path, tmp_path: Path, case: str) -> None:
    """The adapter was rounded to bfloat16, and that of a tied head reached the embedding.

    The tolerance is float32's: an adapter multiplies in another order than a merged layer.
    """
    source, ids = config.parent / "plain", torch.arange(40, 52).unsqueeze(0)
    for run in (tmp_path / "first", tmp_path / "further"):
        lora = LORA | EXPORTS[case]
        settings = config_of(config, model=str(source), lora=lora, steps=2, output=str(run))
        train(settings)
        live = ObjectiveModule(model_to_train(settings, device="cpu"), settings.objective)
        before = live.model.eval().think(ids).base_logits
        load_weights(saved_states(run / "states")[-1], live)
        wanted = live.model.think(ids)
        assert (wanted.base_logits - before).abs().max() > 1e-3, "nothing was trained"
        for exported in (run / "model", run / "adapter"):
            got = load_model(exported, dtype="float32", device="cpu").think(ids)
            assert_close(got.base_logits, wanted.base_logits, rtol=1e-4, atol=1e-4)
            assert_close(got.logits, wanted.logits, rtol=1e-4, atol=1e-4)
        source = run / "adapter"


@pytest.mark.parametrize("targets", ["all-linear", None, ["v_proj", "q_proj"]])
def test_an_adapter_of_other_layers_is_not_trained_further(
    config: Path, tmp_path: Path, adapter: Path, targets: str | list[str] | None
) -> None:
    """`all-linear` was read letter by letter, a missing list was a traceback."""
    settings = config_of(
        config,
        model=str(changed(adapter, tmp_path, target_modules=targets)),
        lora=LORA | {"target_modules": ["v_proj", "q_proj"]},
    )
    with pytest.raises(ConfigError, match=r"target_modules: only one of the two has .*layers\.0"):
        model_to_train(settings, device="cpu")


def test_what_the_tensors_are_decides_and_not_their_description(
    config: Path, tmp_path: Path, adapter: Path
) -> None:
    described = changed(adapter, tmp_path, target_modules=None)
    model_to_train(config_of(config, model=str(described), lora=LORA), device="cpu")


@pytest.mark.parametrize(
    ("name", "value"),
    [("use_rslora", True), ("rank_pattern", {"q_proj": 4}), ("bias", "all")],
)
def test_an_adapter_that_computes_otherwise_is_not_trained_further(
    config: Path, tmp_path: Path, adapter: Path, name: str, value: object
) -> None:
    """A rank-stabilised one went on with another scale, without a word."""
    source = changed(adapter, tmp_path, **{name: value})
    with pytest.raises(ConfigError, match=f"an adapter with {name} = .*qstar convert"):
        model_to_train(config_of(config, model=str(source), lora=LORA), device="cpu")


def test_what_differs_is_named_by_its_setting(config: Path, tmp_path: Path, adapter: Path) -> None:
    settings = config_of(config, model=str(adapter), lora=LORA | {"rank": 4})
    with pytest.raises(ConfigError, match=r"lora\.rank was 2 and is 4\. Change lora"):
        model_to_train(settings, device="cpu")
    other = changed(adapter, tmp_path, peft_type="IA3")
    with pytest.raises(CheckpointError, match="only LORA"):
        model_to_train(config_of(config, model=str(other), lora=LORA), device="cpu")


def changed(adapter: Path, directory: Path, **values: object) -> Path:
    """A copy of the adapter with other values in its config."""
    for name in ("adapter_model", "quiet_star"):
        save_file(load_file(adapter / f"{name}.safetensors"), directory / f"{name}.safetensors")
    (directory / "quiet_star.json").write_text((adapter / "quiet_star.json").read_text())
    config = json.loads((adapter / "adapter_config.json").read_text())
    (directory / "adapter_config.json").write_text(json.dumps(config | values))
    return directory
