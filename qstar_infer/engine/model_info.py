"""Collects the facts about a loaded model that the engine and a server need."""

import time

from qstar_infer.config import EngineConfig
from qstar_infer.context_length import context_length
from qstar_infer.engine.protocol import ModelInfo
from qstar_infer.errors import ConfigError
from qstar_infer.model.description import changes_nothing, describe
from qstar_infer.model.served_model import ServedModel
from qstar_infer.sampling_defaults import SamplingDefaults
from qstar_infer.text.chat_template import template_text
from qstar_infer.thinking_rule import EVERYWHERE


def model_info(
    model: ServedModel,
    config: EngineConfig,
    *,
    name: str | None,
    sampling_defaults: SamplingDefaults,
) -> ModelInfo:
    """The `ModelInfo` of a model under these limits.

    Args:
        name: the name to serve the model under; None: derived from where the model was loaded.

    Raises:
        CheckpointError: the model's config has an invalid number of positions.
        ConfigError: `max_model_len` exceeds the model's number of positions.
    """
    parts = model.thought_parts
    return ModelInfo(
        name=model.name if name is None else name,
        max_model_len=_max_model_len(model, config),
        vocab_size=model.vocab_size,
        num_thought_tokens=model.num_thought_tokens,
        max_thought_tokens=_max_thought_tokens(model, config),
        is_trained=parts is not None and not changes_nothing(parts.talk_head),
        description=describe(model),
        created=int(time.time()),
        sampling_defaults=sampling_defaults,
        thinking=EVERYWHERE if model.config is None else model.config.thinking,
        has_gate=model.has_gate,
        chat_template=template_text(model.tokenizer),
    )


def eos_token_ids(model: ServedModel) -> frozenset[int]:
    """Token ids that end a text: the tokenizer's, and those of the generation config."""
    found: set[int] = set()
    generation = model.generation_config
    for ids in (
        model.tokenizer.eos_token_id,
        None if generation is None else generation.eos_token_id,
    ):
        if ids is not None:
            found.update([ids] if isinstance(ids, int) else ids)
    return frozenset(token_id for token_id in found if 0 <= token_id < model.vocab_size)


def _max_model_len(model: ServedModel, config: EngineConfig) -> int:
    context = context_length(model.backbone_config)
    if config.max_model_len is None:
        return context.num_tokens
    if context.is_stated and config.max_model_len > context.num_tokens:
        raise ConfigError(
            f"max_model_len is {config.max_model_len}, but the model has only "
            f"{context.num_tokens} positions ({context.origin}); lower max_model_len"
        )
    return config.max_model_len


def _max_thought_tokens(model: ServedModel, config: EngineConfig) -> int:
    if not model.can_think:
        return 0
    return max(config.max_thought_tokens, model.num_thought_tokens)
