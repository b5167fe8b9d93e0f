"""Load the model that a run trains and its teacher, and mark what learns."""

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import PreTrainedModel

from qstar_infer.checkpoint.adapter.config import base_of_adapter
from qstar_infer.checkpoint.default import load_default_base
from qstar_infer.checkpoint.fresh import add_fresh_parts
from qstar_infer.checkpoint.load import load_model
from qstar_infer.checkpoint.native import read_native
from qstar_infer.checkpoint.packaged_base import BASE_MODEL, BASE_PACKAGE, base_source
from qstar_infer.checkpoint.source import Source, SourceKind, find_source
from qstar_infer.errors import ConfigError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thought_parts import ThinkingGate, ThoughtParts
from qstar_infer.thinking_rule import read_rule, resolve_rule
from qstar_train.config import ObjectiveConfig, TrainConfig
from qstar_train.objective.places import PlaceRule
from qstar_train.trainer.lora import add_adapters, read_adapters

DEFAULT_THOUGHT_TOKENS = 5
FRESH_GATE_BIAS = 0.5
_VECTORS = ("start_thought", "end_thought")


def model_to_train(config: TrainConfig, *, device: str | torch.device) -> QuietStarModel:
    """The model of `load_to_train` alone."""
    return load_to_train(config, device=device)[0]


def load_to_train(
    config: TrainConfig, *, device: str | torch.device
) -> tuple[QuietStarModel, TrainConfig]:
    """Load the model, add thought parts if it has none, and mark what learns.

    Full fine-tuning keeps all weights in float32. With LoRA the weights are frozen in
    `config.dtype` and the adapters are float32.

    Returns:
        The model, and the config with the dtype that `auto` means for it on this device.

    Raises:
        CheckpointError: the model cannot be loaded.
        ConfigError: the config does not fit the model.
    """
    model, config = _load_resolved(config, device)
    model = _with_parts(model, config)
    _check_positions(model, config)
    _check_rule(model, config)
    model.requires_grad_(False)
    if config.lora is None:
        model.requires_grad_(True)
    else:
        add_adapters(model.backbone, config.lora, seed=config.seed)
        adapter = adapter_source(config)
        if adapter is not None:
            read_adapters(model.backbone, config.lora, adapter.directory)
    if model.can_think:
        _mark_parts(model.thinking_parts, learns_gate=config.objective.gate is not None)
        scale_vectors(model.thinking_parts, config.objective.embedding_scale)
    if config.gradient_checkpointing:
        _checkpoint_layers(model.backbone)
    _disable_dropout(model.backbone)
    return model.train(), config


def teacher_of(config: TrainConfig, model: QuietStarModel) -> QuietStarModel | None:
    """The frozen teacher, on the model's device; None if the run has none or trains no thoughts.

    Raises:
        CheckpointError: it cannot be loaded.
        ConfigError: its vocabulary is not the model's.
    """
    if config.teacher is None or config.trains_without_thoughts:
        return None
    teacher = load_model(config.teacher, dtype=config.dtype, device=model.device)
    if teacher.vocab_size != model.vocab_size:
        raise ConfigError(
            f"teacher = {config.teacher} has {teacher.vocab_size} tokens, the model has "
            f"{model.vocab_size}. Give a teacher with the same vocabulary."
        )
    return teacher.requires_grad_(False)


def _disable_dropout(backbone: PreTrainedModel) -> None:
    """Turn off dropout and router jitter.

    Their noise is not a function of the run's seed, and it would enter the rewards: a text with a
    thought and the same text without one would see different masks.
    """
    for module in backbone.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        for name, value in list(vars(module).items()):
            if isinstance(value, float) and ("drop" in name or "jitter" in name):
                setattr(module, name, 0.0)


def _checkpoint_layers(backbone: PreTrainedModel) -> None:
    # transformers renamed the method; the old name warns if the new one exists.
    old = "gradient_checkpointing_enable"
    name = "activation_checkpointing_enable"
    enable = getattr(backbone, name if hasattr(backbone, name) else old)
    enable({"use_reentrant": False})


def _load_resolved(
    config: TrainConfig, device: str | torch.device
) -> tuple[QuietStarModel, TrainConfig]:
    """Load the model; replace `dtype="auto"` by what `load_model` chose for it.

    Full fine-tuning updates float32 weights; there the dtype is that of the arithmetic alone.
    """
    if config.dtype != "auto":
        return _load(config, config.dtype if config.lora else "float32", device), config
    model = _load(config, "auto", device)
    if model.dtype == torch.float16:  # gradients would underflow
        return _load_resolved(config.model_copy(update={"dtype": "float32"}), device)
    dtype = str(model.dtype).removeprefix("torch.")
    if config.lora is None:
        model.backbone.to(torch.float32)  # type: ignore[arg-type]  # wrapped method
    return model, config.model_copy(update={"dtype": dtype})


def _load(config: TrainConfig, dtype: str, device: str | torch.device) -> QuietStarModel:
    quantization = "none" if config.lora is None else config.lora.quantization
    if config.model is None:
        if quantization != "none":
            raise ConfigError(
                f"lora.quantization = {quantization}: the default model's base is a GGUF file, "
                "which cannot be quantised again. Give model=DIRECTORY, or lora.quantization=none."
            )
        return load_default_base(dtype=dtype, device=device)
    adapter = adapter_source(config)
    if adapter is None:
        return load_model(config.model, dtype=dtype, device=device, quantization=quantization)
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
    native, parts = read_native(adapter.directory, hidden=model.hidden_size)
    return QuietStarModel(
        model.backbone, model.tokenizer, thought_parts=parts.to(device), config=native
    )


def adapter_source(config: TrainConfig) -> Source | None:
    """The adapter that is trained further; None if LoRA starts fresh or is not used."""
    if config.lora is None or config.model is None:
        return None
    source = find_source(config.model)
    return source if source.is_adapter else None


def _with_parts(model: QuietStarModel, config: TrainConfig) -> QuietStarModel:
    wanted = config.num_thought_tokens
    if config.trains_without_thoughts:
        return QuietStarModel(model.backbone, model.tokenizer)
    base, revision = _base_of(config)
    if model.config is None:
        vectors = config.vectors
        return add_fresh_parts(
            model,
            num_thought_tokens=wanted or max(config.thought_lengths or [DEFAULT_THOUGHT_TOKENS]),
            seed=config.seed,
            base_model=base,
            base_revision=revision,
            start_token=None if vectors is None else vectors.start,
            end_token=None if vectors is None else vectors.end,
        )
    if config.vectors is not None:
        raise ConfigError(
            f"vectors = {config.vectors.start!r}, {config.vectors.end!r}: model = {config.model} "
            "has thought parts already, whose vectors would be lost. Leave vectors out, or give "
            "the model without thought parts."
        )
    if adapter_source(config) is not None:
        model.config = dataclasses.replace(model.config, base_model=base, base_revision=revision)
    if wanted is not None:
        model.config = dataclasses.replace(model.config, num_thought_tokens=wanted)
    return model


def _mark_parts(parts: ThoughtParts, *, learns_gate: bool) -> None:
    """Let the parts learn, but a gate only if it is asked to; add the gate if there is none."""
    if learns_gate and parts.gate is None:
        parts.gate = fresh_gate(parts.start_thought)
    parts.requires_grad_(True)
    if parts.gate is not None:
        parts.gate.requires_grad_(learns_gate)


def fresh_gate(like: Tensor) -> ThinkingGate:
    """A gate that thinks everywhere, though not by much: weight 0, bias 0.5.

    Args:
        like: `[hidden]`, on the gate's device.
    """
    gate = ThinkingGate(like.shape[0])
    with torch.no_grad():
        gate.weight.zero_()
        gate.bias.fill_(FRESH_GATE_BIAS)
    return gate.to(like.device)


def place_rule(config: ObjectiveConfig, model: QuietStarModel) -> PlaceRule | None:
    """`objective.places` with ids; None to think everywhere.

    Raises:
        ConfigError: a token is not in the vocabulary, or no text can hold it.
    """
    if config.places is None:
        return None
    tokenizer, vocab, ids = model.tokenizer, model.tokenizer.get_vocab(), []
    unwritten = {*tokenizer.all_special_ids, *model.delimiter_ids} - {tokenizer.eos_token_id}
    for name in config.places.behind:
        token_id = vocab.get(name)
        if token_id is None or token_id >= model.vocab_size:
            raise ConfigError(
                f"objective.places.behind = {name!r}: the vocabulary has no such token. Give one "
                "token as tokenizer.json spells it."
            )
        if token_id in unwritten:
            raise ConfigError(
                f"objective.places.behind = {name!r} is a special token, which no text holds: its "
                "name in a text is encoded as plain text. Give another token."
            )
        ids.append(token_id)
    return PlaceRule(behind_ids=tuple(ids), elsewhere=config.places.elsewhere)


def _check_rule(model: QuietStarModel, config: TrainConfig) -> None:
    """Check that the rule to be written fits the model."""
    if config.thinking is None or not model.can_think:
        return
    try:
        resolve_rule(
            read_rule(config.thinking),
            id_of=model.tokenizer.get_vocab().get,
            vocab_size=model.vocab_size,
            has_gate=config.objective.gate is not None or model.thinking_parts.gate is not None,
        )
    except ValueError as error:
        raise ConfigError(
            f"thinking = {config.thinking}: {error}. Correct thinking, or set objective.gate if "
            "it should learn one."
        ) from error


def _check_positions(model: QuietStarModel, config: TrainConfig) -> None:
    """Check that a window, the thought after its last token and the talk tokens fit the model."""
    window, num_talk_tokens = config.data.window, config.objective.num_talk_tokens
    needed, what = window, f"data.window = {window}"
    if model.can_think:
        longest = max(config.thought_lengths or [model.num_thought_tokens])
        # The end vector predicts the first talk token, so one talk token less is fed.
        needed += 1 + longest + 1 + num_talk_tokens - 1
        what += f", thoughts of {longest} and objective.num_talk_tokens = {num_talk_tokens}"
    if model.num_positions is not None and needed > model.num_positions:
        raise ConfigError(
            f"{what} need {needed} positions; the model has {model.num_positions}. Shorten the "
            f"window, the thoughts or the talk by {needed - model.num_positions}."
        )


def _base_of(config: TrainConfig) -> tuple[str, str | None]:
    """The base model and its revision; for an adapter, the adapter's own base."""
    adapter = adapter_source(config)
    if adapter is not None:
        base, revision = base_of_adapter(adapter.directory)
    else:
        base, revision = config.model or BASE_MODEL, None
    return base, BASE_PACKAGE if base == BASE_MODEL and revision is None else revision


class _Scaled(nn.Module):
    """A parametrisation: the tensor is `scale` times the stored parameter."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self._scale = scale

    def forward(self, stored: Tensor) -> Tensor:
        return stored * self._scale

    def right_inverse(self, value: Tensor) -> Tensor:
        return value / self._scale


def scale_vectors(parts: ThoughtParts, scale: float) -> None:
    """Learn `vector / scale` instead of the vector: steps become `scale` times larger.

    The vectors that the model is fed do not change. `unscale_vectors` undoes it.
    """
    for name in _VECTORS:
        parametrize.register_parametrization(parts, name, _Scaled(scale))


def unscale_vectors(parts: ThoughtParts) -> None:
    """Make the vectors plain parameters again, with the value that the model is fed."""
    for name in _VECTORS:
        if parametrize.is_parametrized(parts, name):
            parametrize.remove_parametrizations(parts, name, leave_parametrized=True)
