"""The checkpoint a run ends with: native, served as it is; with LoRA also the small adapter."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from qstar_infer.checkpoint.adapter import ADAPTER_CONFIG, ADAPTER_TENSORS, base_of_adapter
from qstar_infer.checkpoint.packaged_base import BASE_MODEL
from qstar_infer.checkpoint.save import save_model, share_files, write_thought_parts
from qstar_infer.checkpoint.source import SourceKind, find_source
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.objective.vectors import unscale_vectors
from qstar_train.trainer.config import LoraSettings, TrainSettings
from qstar_train.trainer.lora import adapter_tensors, lora_config, merge_lora, target_modules_of
from qstar_train.trainer.module import ObjectiveModule
from qstar_train.trainer.run_directory import RunDirectory
from qstar_train.trainer.state import load_weights
from qstar_train.trainer.weights import adapter_source, model_to_train
from qstar_train.trainer.writing import written


def export_checkpoint(settings: TrainSettings, directory: RunDirectory, state: Path) -> None:
    """Write `model/` (and, with LoRA over a plain model, `adapter/`) from a saved state.

    The model is loaded anew on the CPU, not quantised: however a run was spread, it ends the same.
    What an earlier end left there is replaced once the new files are whole.

    Raises:
        CheckpointError: the model cannot be loaded or the files not be written.
    """
    module = ObjectiveModule(
        model_to_train(_unquantised(settings), device="cpu"), settings.objective
    )
    load_weights(state, module)
    model = module.model.eval()
    if model.config is not None:
        unscale_vectors(model.thinking_parts)
        model.config = dataclasses.replace(
            model.config,
            num_talk_tokens=settings.objective.num_talk_tokens,
            training={
                "method": "Quiet-STaR (arXiv 2403.09629)",
                "state": state.name,
                "settings": settings.model_dump(mode="json", exclude={"output"}),
            },
        )
    if settings.lora is not None:
        base = _plain_base_of(settings)
        if base is not None:
            with _replacing(directory.adapter) as new:
                _write_adapter(model, settings.lora, new, base=base)
        merge_lora(model.backbone)
    model.backbone.to(getattr(torch, settings.dtype))
    with _replacing(directory.model) as new:
        save_model(model, new)


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A directory beside the target, absent yet, that takes its place once it is written.

    Raises:
        CheckpointError: it cannot be written; the target is as it was.
    """
    new = target.with_name(f".{target.name}")
    shutil.rmtree(new, ignore_errors=True)
    try:
        with written(target):
            yield new
            shutil.rmtree(target, ignore_errors=True)
            new.rename(target)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _unquantised(settings: TrainSettings) -> TrainSettings:
    if settings.lora is None:
        return settings
    lora = settings.lora.model_copy(update={"quantization": "none"})
    return settings.model_copy(update={"lora": lora})


def _plain_base_of(settings: TrainSettings) -> str | None:
    """What the adapter is to be laid over: a hub id, or an absolute path.

    None where that has thought parts or an adapter of its own: only plain models are bases.
    """
    if settings.model is None:
        return BASE_MODEL
    adapter = adapter_source(settings)
    if adapter is not None:
        base, _ = base_of_adapter(adapter.directory)
    elif find_source(settings.model).kind in (SourceKind.PLAIN, SourceKind.GGUF):
        base = settings.model
    else:
        return None
    path = Path(base).expanduser()
    return str(path.resolve()) if path.exists() else base


def _write_adapter(
    model: QuietStarModel, lora: LoraSettings, directory: Path, *, base: str
) -> None:
    """The trained parts alone, in bfloat16."""
    directory.mkdir(parents=True)
    config: dict[str, Any] = lora_config(lora).to_dict()  # type: ignore[no-untyped-call]
    config["base_model_name_or_path"] = base
    config["target_modules"] = target_modules_of(model.backbone)
    text = json.dumps(config, indent=2, default=list) + "\n"
    (directory / ADAPTER_CONFIG).write_text(text, encoding="utf-8")
    save_file(adapter_tensors(model.backbone), directory / ADAPTER_TENSORS)
    if model.can_think:
        write_thought_parts(model, directory, dtype=torch.bfloat16)
    share_files(directory)
