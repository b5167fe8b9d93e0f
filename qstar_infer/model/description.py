"""Name and one-sentence description of a model, for start-up lines and model cards."""

from transformers import BitsAndBytesConfig, PreTrainedModel

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.source_name import source_name


def describe(model: QuietStarModel) -> str:
    """One sentence: name, size, dtype, thought length, and whether the thoughts are trained."""
    backbone = model.backbone
    size = _count(backbone.num_parameters())  # counts packed 4-bit weights correctly
    head = f"{model_name(model)} ({size} parameters, {_precision(backbone)})"
    if model.thought_parts is None or model.config is None:
        return f"{head}, a plain language model without thought parts; it cannot think"
    length = model.config.num_thought_tokens
    tokens = "token" if length == 1 else "tokens"
    thinking = f"{head}, thinks {length} {tokens} before each token"
    if model.config.training is None:
        return (
            f"{thinking}; thought parts freshly initialised, so thoughts do not change the text yet"
        )
    return f"{thinking}; thought parts trained"


def model_name(model: QuietStarModel) -> str:
    """The name of the source it was loaded from. The default name of a served model."""
    name = source_name(str(model.backbone.name_or_path or ""))
    return name or str(model.backbone.config.model_type)


def _count(parameters: int) -> str:
    for unit, suffix in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if parameters >= unit:
            value = parameters / unit
            return f"{value:.1f}{suffix}" if value < 10 else f"{value:.0f}{suffix}"
    return str(parameters)


def _precision(backbone: PreTrainedModel) -> str:
    """The dtype of computation, and the quantization if there is one."""
    dtype = str(backbone.dtype).removeprefix("torch.")
    quantization = getattr(backbone.config, "quantization_config", None)
    if not isinstance(quantization, BitsAndBytesConfig):
        return dtype
    return f"{'int8' if quantization.load_in_8bit else 'nf4'}, computed in {dtype}"
