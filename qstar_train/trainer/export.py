"""Write the final checkpoint of a run: native, ready to serve; with LoRA also the adapter."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from qstar_infer.checkpoint.adapter.config import ADAPTER_CONFIG, ADAPTER_TENSORS, base_of_adapter
from qstar_infer.checkpoint.adapter.merge import merge_layers
from qstar_infer.checkpoint.packaged_base import BASE_MODEL
from qstar_infer.checkpoint.save import save_model, share_files, write_thought_parts
from qstar_infer.checkpoint.source import SourceKind, find_source
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.thinking_rule import read_rule
from qstar_train.atomic_write import replacing
from qstar_train.config import LoraConfig, TrainConfig
from qstar_train.trainer.lora import adapter_tensors, peft_config, target_modules_of
from qstar_train.trainer.model_setup import adapter_source, model_to_train, unscale_vectors
from qstar_train.trainer.objective_module import ObjectiveModule
from qstar_train.trainer.run_directory import RunDirectory
from qstar_train.trainer.state import load_weights


def export_checkpoint(config: TrainConfig, directory: RunDirectory, state: Path) -> None:
    """Write `model/` (and, with LoRA over a plain model, `adapter/`) from a saved state.

    The model is loaded again on the CPU without quantisation, so that the result does not depend on
    how the run was distributed. Earlier files are replaced once the new ones are complete.

    Args:
        config: of the run, with its dtype resolved.

    Raises:
        CheckpointError: the model cannot be loaded or the files cannot be written.
    """
    module = ObjectiveModule(model_to_train(_unquantised(config), device="cpu"), config.objective)
    load_weights(state, module)
    model = module.model.eval()
    if model.config is not None:
        unscale_vectors(model.thinking_parts)
        rule = model.config.thinking if config.thinking is None else read_rule(config.thinking)
        model.config = dataclasses.replace(
            model.config,
            thinking=rule,
            num_talk_tokens=config.objective.num_talk_tokens,
            thought_temperature=config.objective.thought_temperature,
            training={
                "method": "Quiet-STaR (arXiv 2403.09629)",
                "state": state.name,
                "settings": config.model_dump(mode="json", exclude={"output"}),
            },
        )
    if config.lora is not None:
        base = _plain_base_of(config)
        if base is not None:
            with replacing(directory.adapter) as new:
                _write_adapter(model, config.lora, new, base=base)
        merge_layers(model.backbone)
    model.backbone.to(getattr(torch, config.dtype))
    with replacing(directory.model) as new:
        save_model(model, new)


def _unquantised(config: TrainConfig) -> TrainConfig:
    if config.lora is None:
        return config
    lora = config.lora.model_copy(update={"quantization": "none"})
    return config.model_copy(update={"lora": lora})


def _plain_base_of(config: TrainConfig) -> str | None:
    """The base of the adapter: a hub id, or an absolute path.

    None if that model has thought parts or an adapter of its own: only plain models are bases.
    """
    if config.model is None:
        return BASE_MODEL
    adapter = adapter_source(config)
    if adapter is not None:
        base, _ = base_of_adapter(adapter.directory)
    elif find_source(config.model).kind in (SourceKind.PLAIN, SourceKind.GGUF):
        base = config.model
    else:
        return None
    path = Path(base).expanduser()
    return str(path.resolve()) if path.exists() else base


def _write_adapter(model: QuietStarModel, lora: LoraConfig, directory: Path, *, base: str) -> None:
    """Write only the trained parts, in float32, as they are trained."""
    directory.mkdir(parents=True)
    values: dict[str, Any] = peft_config(lora).to_dict()  # type: ignore[no-untyped-call]
    values["base_model_name_or_path"] = base
    values["target_modules"] = target_modules_of(model.backbone)
    text = json.dumps(values, indent=2, default=list) + "\n"
    (directory / ADAPTER_CONFIG).write_text(text, encoding="utf-8")
    save_file(adapter_tensors(model.backbone), directory / ADAPTER_TENSORS)
    if model.can_think:
        write_thought_parts(model, directory)
    share_files(directory)
