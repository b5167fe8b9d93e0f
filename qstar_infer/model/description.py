"""Name and one-sentence description of a model, for start-up lines and model cards."""

from torch import nn
from transformers import BitsAndBytesConfig, PreTrainedModel

from qstar_infer.kernels.quantised_linear import QuantisedLinear
from qstar_infer.model.config import QuietStarConfig
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.source_name import source_name
from qstar_infer.model.thought_parts import TalkHead, ThoughtParts


def describe(model: QuietStarModel) -> str:
    """One sentence: name, size, dtype, thought length, and whether the thoughts are trained."""
    backbone = model.backbone
    # The method of transformers counts packed weights of bitsandbytes correctly.
    size = _count(backbone.num_parameters() + sum(each.num_weights for each in _rounded(backbone)))
    head = f"{model_name(model)} ({size} parameters, {_precision(backbone)})"
    if model.thought_parts is None or model.config is None:
        return f"{head}, a plain language model without thought parts; it cannot think"
    length = model.config.num_thought_tokens
    tokens = "token" if length == 1 else "tokens"
    thinking = f"{head}, thinks {length} {tokens} {model.config.thinking.describe()}"
    return f"{thinking}; {_training(model.thought_parts, model.config)}"


def changes_nothing(talk_head: TalkHead) -> bool:
    """Whether the mixing weight is 0 everywhere, as that of a fresh talk head.

    Read from the weights: a checkpoint may have been saved without notes about its training.
    """
    last = talk_head[-1]  # a sigmoid would make a half of 0
    return isinstance(last, nn.Linear) and not any(bool(each.any()) for each in last.parameters())


def _training(parts: ThoughtParts, config: QuietStarConfig) -> str:
    if changes_nothing(parts.talk_head):
        if config.training is None:
            return "thought parts freshly initialised, so thoughts do not change the text yet"
        return "its talk head is zero even after training, so thoughts do not change the text"
    return "thought parts trained" + ("" if config.training else ", it is not noted how")


def model_name(model: QuietStarModel) -> str:
    """The name of the source it was loaded from. The default name of a served model."""
    return backbone_name(model.backbone)


def backbone_name(backbone: PreTrainedModel) -> str:
    """As `model_name`."""
    return source_name(str(backbone.name_or_path or "")) or str(backbone.config.model_type)


def _count(parameters: int) -> str:
    for unit, suffix in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if parameters >= unit:
            value = parameters / unit
            return f"{value:.1f}{suffix}" if value < 10 else f"{value:.0f}{suffix}"
    return str(parameters)


def _precision(backbone: PreTrainedModel) -> str:
    """The dtype of computation, and the quantization if there is one."""
    dtype = str(backbone.dtype).removeprefix("torch.")
    for layer in _rounded(backbone):
        return f"{layer.format_name}, computed in bfloat16"
    quantization = getattr(backbone.config, "quantization_config", None)
    if not isinstance(quantization, BitsAndBytesConfig):
        return dtype
    return f"{'int8' if quantization.load_in_8bit else 'nf4'}, computed in {dtype}"


def _rounded(backbone: PreTrainedModel) -> list[QuantisedLinear]:
    return [layer for layer in backbone.modules() if isinstance(layer, QuantisedLinear)]
