"""Name, size and precision of a language model, for a person."""

from transformers import BitsAndBytesConfig, PreTrainedModel

from qstar_infer.kernels.quantised_linear import QuantisedLinear
from qstar_infer.model.source_name import source_name


def backbone_name(backbone: PreTrainedModel) -> str:
    """The name of the source it was loaded from."""
    return source_name(str(backbone.name_or_path or "")) or str(backbone.config.model_type)


def size_and_precision(backbone: PreTrainedModel) -> str:
    """For example `135M parameters, bfloat16`."""
    # The method of transformers counts packed weights of bitsandbytes correctly.
    rounded = sum(layer.num_weights for layer in _rounded(backbone))
    size = count_text(backbone.num_parameters() + rounded)
    return f"{size} parameters, {_precision(backbone)}"


def count_text(parameters: int) -> str:
    """A number of parameters in K, M or B."""
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
