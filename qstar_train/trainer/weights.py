"""What learns: the model made ready, and its parameters in groups."""

import dataclasses
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from qstar_infer.checkpoint.adapter import base_of_adapter
from qstar_infer.checkpoint.default import load_default_base
from qstar_infer.checkpoint.fresh import add_fresh_parts
from qstar_infer.checkpoint.load import load_model
from qstar_infer.checkpoint.native import read_native
from qstar_infer.checkpoint.packaged_base import BASE_MODEL, BASE_PACKAGE, base_source
from qstar_infer.checkpoint.source import Source, SourceKind, find_source
from qstar_infer.errors import ConfigError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.objective.vectors import scale_vectors
from qstar_train.trainer.config import OptimizerSettings, TrainSettings
from qstar_train.trainer.lora import add_adapters, read_adapters

DEFAULT_THOUGHT_TOKENS = 5


def model_to_train(settings: TrainSettings, *, device: str | torch.device) -> QuietStarModel:
    """Load the model, give it thought parts if it has none, and free what learns.

    Full fine-tuning holds all weights in float32. With LoRA the weights are frozen in
    `settings.dtype`, the adapters are float32; an adapter is trained further over its own base.

    Raises:
        CheckpointError: it cannot be loaded.
        ConfigError: the settings do not fit the model.
    """
    model = _with_parts(_load(settings, device), settings)
    _require_positions(model, settings)
    model.requires_grad_(False)
    if settings.lora is None:
        model.requires_grad_(True)
    else:
        add_adapters(model.backbone, settings.lora, seed=settings.seed)
        adapter = adapter_source(settings)
        if adapter is not None:
            read_adapters(model.backbone, settings.lora, adapter.directory)
    if model.can_think:
        model.thinking_parts.requires_grad_(True)
        scale_vectors(model.thinking_parts, settings.objective.embedding_scale)
    if settings.gradient_checkpointing:
        _checkpoint_layers(model.backbone)
    _silence_noise(model.backbone)
    return model.train()


def teacher_of(settings: TrainSettings, model: QuietStarModel) -> QuietStarModel | None:
    """The teacher, on the model's device; None if there is none, or no thoughts to hold against.

    Raises:
        CheckpointError: it cannot be loaded.
        ConfigError: it predicts other tokens than the model.
    """
    if settings.teacher is None or settings.is_silent:
        return None
    teacher = load_model(settings.teacher, dtype=settings.dtype, device=model.device)
    if teacher.vocab_size != model.vocab_size:
        raise ConfigError(
            f"teacher = {settings.teacher} has {teacher.vocab_size} tokens, the model has "
            f"{model.vocab_size}. Give a teacher of the same vocabulary."
        )
    return teacher.requires_grad_(False)


def _silence_noise(backbone: PreTrainedModel) -> None:
    """No dropout, no jitter of routers. The noise of a run is a function of its seed; theirs is
    not, and would enter the rewards: the same text with and without a thought under other masks.
    """
    for module in backbone.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        for name, value in list(vars(module).items()):
            if isinstance(value, float) and ("drop" in name or "jitter" in name):
                setattr(module, name, 0.0)


def _checkpoint_layers(backbone: PreTrainedModel) -> None:
    # transformers renamed the method; its old name warns where the new one exists.
    old = "gradient_checkpointing_enable"
    name = "activation_checkpointing_enable"
    enable = getattr(backbone, name if hasattr(backbone, name) else old)
    enable({"use_reentrant": False})


def parameter_groups(model: nn.Module, settings: OptimizerSettings) -> list[dict[str, Any]]:
    """AdamW's groups: backbone, talk head and vectors apart, matrices decayed.

    Returns:
        Groups with `params`, `lr`, `full_lr` and `weight_decay`.
    """
    rates = {
        "talk_head": settings.talk_head_learning_rate,
        "vectors": settings.vector_learning_rate,
        "backbone": settings.learning_rate,
    }
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (_part_of(name), parameter.dim() > 1)
            groups.setdefault(key, []).append(parameter)
    result = []
    for (part, is_decayed), parameters in groups.items():
        rate = rates[part] if rates[part] is not None else settings.learning_rate
        decay = settings.weight_decay if is_decayed else 0.0
        group = {"params": parameters, "lr": rate, "full_lr": rate, "weight_decay": decay}
        result.append(group)
    return result


def _part_of(name: str) -> str:
    if "talk_head" in name:
        return "talk_head"
    return "vectors" if "start_thought" in name or "end_thought" in name else "backbone"


def _load(settings: TrainSettings, device: str | torch.device) -> QuietStarModel:
    # Full fine-tuning updates float32 weights, whatever the arithmetic.
    dtype = "float32" if settings.lora is None else settings.dtype
    quantization = "none" if settings.lora is None else settings.lora.quantization
    if settings.model is None:
        if quantization != "none":
            raise ConfigError(
                f"lora.quantization = {quantization}: the default model's base is a GGUF file, "
                "which is not quantised again. Give model=DIRECTORY, or lora.quantization=none."
            )
        return load_default_base(dtype=dtype, device=device)
    adapter = adapter_source(settings)
    if adapter is None:
        return load_model(settings.model, dtype=dtype, device=device, quantization=quantization)
    base, revision = base_of_adapter(adapter.directory)
    model = load_model(
        base_source() if base == BASE_MODEL and revision is None else base,
        dtype=dtype,
        device=device,
        quantization=quantization,
        revision=revision,
    )
    if adapter.kind is not SourceKind.NATIVE:
        return model
    config, parts = read_native(adapter.directory, hidden=model.hidden_size)
    return QuietStarModel(
        model.backbone, model.tokenizer, thought_parts=parts.to(device), config=config
    )


def adapter_source(settings: TrainSettings) -> Source | None:
    """The adapter that is trained further; None where LoRA starts afresh, or there is none."""
    if settings.lora is None or settings.model is None:
        return None
    source = find_source(settings.model)
    return source if source.is_adapter else None


def _with_parts(model: QuietStarModel, settings: TrainSettings) -> QuietStarModel:
    wanted = settings.num_thought_tokens
    if settings.is_silent:
        return QuietStarModel(model.backbone, model.tokenizer)
    base, revision = _base_of(settings)
    if model.config is None:
        return add_fresh_parts(
            model,
            num_thought_tokens=wanted or max(settings.thought_lengths or [DEFAULT_THOUGHT_TOKENS]),
            seed=settings.seed,
            base_model=base,
            base_revision=revision,
        )
    if adapter_source(settings) is not None:
        model.config = dataclasses.replace(model.config, base_model=base, base_revision=revision)
    if wanted is not None:
        model.config = dataclasses.replace(model.config, num_thought_tokens=wanted)
    return model


def _require_positions(model: QuietStarModel, settings: TrainSettings) -> None:
    """
    Raises:
        ConfigError: the talk behind the last thought of a window would run past the model's table
            of positions.
    """
    window, num_talk_tokens = settings.data.window, settings.objective.num_talk_tokens
    needed, what = window, f"data.window = {window}"
    if model.can_think:
        longest = max(settings.thought_lengths or [model.num_thought_tokens])
        # The end vector predicts the first talk token, so that one fewer is fed.
        needed += 1 + longest + 1 + num_talk_tokens - 1
        what += f", thoughts of {longest} and objective.num_talk_tokens = {num_talk_tokens}"
    if model.num_positions is not None and needed > model.num_positions:
        raise ConfigError(
            f"{what} need {needed} positions; the model has {model.num_positions}. Shorten the "
            f"window, the thoughts or the talk by {needed - model.num_positions}."
        )


def _base_of(settings: TrainSettings) -> tuple[str, str | None]:
    """The model under all training, and its revision: under an adapter, the adapter's own base."""
    adapter = adapter_source(settings)
    if adapter is not None:
        base, revision = base_of_adapter(adapter.directory)
    else:
        base, revision = settings.model or BASE_MODEL, None
    return base, BASE_PACKAGE if base == BASE_MODEL and revision is None else revision
