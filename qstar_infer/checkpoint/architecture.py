"""Checks that a backbone can think.

The engine replaces a model's attention with its own, and applies the output embedding itself, to
the mixed hidden state. Not every architecture allows that; each error says what is in the way.
"""

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
)

from qstar_infer.checkpoint.rope import depends_on_length, rope_sets
from qstar_infer.errors import CheckpointError

SUPPORTED_LAYER_TYPES = frozenset({"full_attention", "sliding_attention"})

# Fields that make the logits differ from `lm_head(hidden)`, with the value that has no effect.
# Granite divides by `logits_scaling`, Cohere multiplies by `logit_scale`.
_LOGIT_FIELDS = {
    "final_logit_softcapping": None,
    "logits_scaling": 1.0,
    "logit_scale": 1.0,
    "logits_soft_cap": None,
}
_NEXT_STEP = "Use another base model, for example a Llama, Mistral, Qwen2 or Qwen3."


def config_class(values: dict[str, Any], where: str) -> type[PreTrainedConfig]:
    """The transformers class for a `config.json`.

    Args:
        values: the content of `config.json`.
        where: the file, for the message.

    Raises:
        CheckpointError: `model_type` is missing, unknown or not a decoder-only language model.
    """
    model_type = values.get("model_type")
    if not isinstance(model_type, str):
        raise CheckpointError(
            f"{where} has no 'model_type' string, so its architecture is unknown. "
            "Fetch or save the checkpoint again."
        )
    if model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or model_type not in CONFIG_MAPPING:
        raise CheckpointError(
            f"{where} has model_type {model_type!r}, which the installed transformers does not "
            f"know as a causal language model. {_NEXT_STEP}"
        )
    config: type[PreTrainedConfig] = CONFIG_MAPPING[model_type]
    return config


def check_supported_config(config: PreTrainedConfig) -> None:
    """Check what the config says, before weights are read.

    Raises:
        CheckpointError: a property is not supported; the message says which, and why.
    """
    if config.is_encoder_decoder:
        _raise_unsupported(
            config, "is an encoder-decoder", "a thought continues the text it follows"
        )
    if not getattr(config, "is_causal", True):  # transformers reads it for every architecture
        _raise_unsupported(
            config,
            f"has is_causal = {config.is_causal}",
            "a thought may not see the tokens after it",
        )
    _check_known_layers(config)
    for _, parameters in rope_sets(config):
        if depends_on_length(parameters):
            _raise_unsupported(
                config,
                f"uses rope type {parameters['rope_type']!r}",
                "its rotation depends on the current length, so cached keys become wrong when the "
                "text grows",
            )
    for field, neutral in _LOGIT_FIELDS.items():
        value = getattr(config, field, neutral)
        if value is not None and value != neutral:
            _raise_unsupported(
                config,
                f"has {field} = {value}",
                "base and thought are mixed before the output embedding, so nothing may change "
                "the logits after it",
            )
    if getattr(config, "attn_logit_softcapping", None) is not None:
        _raise_unsupported(
            config,
            f"has attn_logit_softcapping = {config.attn_logit_softcapping}",
            "the attention of thoughts does not cap its scores",
        )
    _check_attention(config)


def check_supported_model(backbone: PreTrainedModel) -> None:
    """Check what only the built model shows.

    Raises:
        CheckpointError: the output embedding is not a bias-free linear layer named `lm_head`, its
            width is not the input embedding's, or the attention is not causal or has learned sinks.
    """
    width, hidden = (
        embedding_table(backbone).shape[1],
        backbone.config.get_text_config().hidden_size,
    )
    if width != hidden:
        _raise_unsupported(
            backbone.config,
            f"has embeddings of width {width} and hidden states of width {hidden}",
            "thought vectors are fed like embeddings and read like hidden states",
        )
    head = backbone.get_output_embeddings()  # type: ignore[no-untyped-call]
    if not isinstance(head, nn.Linear):
        kind = type(head).__name__
        _raise_unsupported(
            backbone.config,
            f"has a {kind} as output embedding",
            "hidden states are mixed before it, so it must be one linear layer",
        )
    elif head.bias is not None:
        _raise_unsupported(
            backbone.config,
            "has an output embedding with a bias",
            "mixing hidden states equals mixing logits only without a bias",
        )
    elif head is not getattr(backbone, "lm_head", None):
        _raise_unsupported(
            backbone.config,
            "has an output embedding with another name than lm_head",
            "it is looked up by that name and applied separately from the rest of the model",
        )
    if any(getattr(module, "is_causal", True) is False for module in backbone.modules()):
        _raise_unsupported(
            backbone.config,
            "has attention that is not causal",
            "a thought may not see the tokens after it",
        )
    if any(name.endswith(".sinks") for name, _ in backbone.named_parameters()):
        _raise_unsupported(
            backbone.config,
            "has attention sinks",
            "the attention of thoughts has none, so its scores would differ",
        )


def embedding_table(backbone: PreTrainedModel) -> Tensor:
    """The input embedding, `[rows, hidden]`, in the backbone's dtype, on its device."""
    embedding = backbone.get_input_embeddings()
    assert isinstance(embedding, nn.Embedding), "a causal language model embeds token ids"
    return embedding.weight


def _check_known_layers(config: PreTrainedConfig) -> None:
    layer_types = set(getattr(config, "layer_types", None) or ())
    if "sliding_attention" in layer_types and getattr(config, "sliding_window", None) is None:
        _raise_unsupported(
            config,
            "has layers with a sliding window and sliding_window = None",
            "the length of the window is not known",
        )
    unknown = layer_types - SUPPORTED_LAYER_TYPES
    if unknown:
        _raise_unsupported(
            config,
            f"has layers of type {', '.join(sorted(unknown))}",
            "a thought branches off the text, so it needs the keys and values of earlier tokens, "
            "which only full and sliding attention keep",
        )


def _check_attention(config: PreTrainedConfig) -> None:
    model_class = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    if not getattr(model_class, "_supports_attention_backend", False):
        _raise_unsupported(
            config,
            "has attention that transformers cannot replace",
            "thoughts need attention of their own",
        )


def _raise_unsupported(config: PreTrainedConfig, what: str, why: str) -> None:
    raise CheckpointError(
        f"This {config.model_type} model {what}, so it cannot think here: {why}. {_NEXT_STEP}"
    )
