"""Options of a load, checked once: dtype, device, quantization, and what the caller overrides."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from qstar_infer.context_length import context_length
from qstar_infer.engine_args import ThoughtVectors
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.hardware import has_fast_bfloat16

Quantization = Literal["none", "int8", "nf4", "int8-cpu", "int4-cpu"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
QUANTIZATIONS = get_args(Quantization)
BITSANDBYTES = ("int8", "nf4")
"""The quantizations that bitsandbytes does while loading; ours round the loaded model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """Resolved options of one load."""

    dtype: torch.dtype | None
    """None: the dtype that the checkpoint stores; bfloat16 for GGUF."""
    device: torch.device
    quantization: Quantization
    num_ranks: int = 1
    """If more than one, this process has joined their process group, and each loads a shard."""

    @classmethod
    def resolve(
        cls,
        *,
        dtype: str | torch.dtype,
        device: str | torch.device,
        quantization: str,
        num_ranks: int = 1,
    ) -> "LoadOptions":
        """Check the arguments of `load_model`, and choose the dtype of "auto".

        Raises:
            ConfigError: an unknown value, an absent device, or bitsandbytes is not installed.
        """
        if quantization not in QUANTIZATIONS:
            raise ConfigError(
                f"quantization={quantization!r} is unknown; use one of {', '.join(QUANTIZATIONS)}."
            )
        if quantization in BITSANDBYTES and importlib.util.find_spec("bitsandbytes") is None:
            raise ConfigError(
                f"quantization={quantization!r} needs bitsandbytes, which is not installed: "
                'pip install "qstar[quantization]"'
            )
        resolved_device = _resolve_device(device)
        if num_ranks > 1 and resolved_device.type == "cuda":
            resolved_device = torch.device("cuda", torch.distributed.get_rank())
        if quantization.endswith("-cpu") and resolved_device.type != "cpu":
            raise ConfigError(
                f"quantization={quantization!r} is for CPUs, and the device is {resolved_device}; "
                f"use {' or '.join(BITSANDBYTES)} there, or device='cpu'."
            )
        return cls(
            dtype=_resolve_dtype(dtype, device=resolved_device),
            device=resolved_device,
            quantization=quantization,  # type: ignore[arg-type]  # checked above
            num_ranks=num_ranks,
        )

    @property
    def uses_bitsandbytes(self) -> bool:
        return self.quantization in BITSANDBYTES

    @property
    def rounds_on_cpu(self) -> bool:
        """Whether the layers of the loaded model are rounded here, for a CPU."""
        return self.quantization.endswith("-cpu")

    def from_pretrained_arguments(self, *, is_quantised: bool = False) -> dict[str, Any]:
        """The arguments of `from_pretrained` that these options amount to.

        Args:
            is_quantised: the checkpoint is. Without a device, transformers would load it on a GPU.
        """
        arguments: dict[str, Any] = {"dtype": "auto" if self.dtype is None else self.dtype}
        if self.num_ranks > 1:
            arguments["distributed_config"] = _distributed_config(self.num_ranks)
        elif self.device.type != "cpu" or self.uses_bitsandbytes or is_quantised:
            arguments["device_map"] = {"": self.device}
        if self.uses_bitsandbytes:
            arguments["quantization_config"] = self._quantization_config()
        return arguments

    def _quantization_config(self) -> Any:
        from transformers import BitsAndBytesConfig

        # The output embedding mixes two hidden states: it stays in full precision.
        skipped = ["lm_head"]
        if self.quantization == "int8":
            return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
                load_in_8bit=True, llm_int8_skip_modules=skipped
            )
        return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch.bfloat16 if self.dtype is None else self.dtype,
            llm_int8_skip_modules=skipped,
        )


def _distributed_config(num_ranks: int) -> Any:
    from transformers.distributed.configuration_utils import DistributedConfig

    return DistributedConfig(tp_size=num_ranks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What is used in place of what a checkpoint says.

    Raises:
        ConfigError: a value is invalid, or two contradict each other.
    """

    num_thought_tokens: int | None = None
    """The thought length; None: the checkpoint's."""
    thought_vectors: ThoughtVectors = "kept"
    tokenizer: str | Path | None = None
    """A directory or a hub id; None: the checkpoint's own tokenizer."""
    ignore_thought_parts: bool = False
    """Whether to load only the language model."""

    def __post_init__(self) -> None:
        if self.thought_vectors not in get_args(ThoughtVectors):
            raise ConfigError(
                f"thought_vectors={self.thought_vectors!r} is unknown; use one of "
                f"{', '.join(get_args(ThoughtVectors))}."
            )
        if self.num_thought_tokens is not None:
            check_thought_length(self.num_thought_tokens)
        if not isinstance(self.ignore_thought_parts, bool):
            raise ConfigError(
                f"ignore_thought_parts={self.ignore_thought_parts!r} must be true or false."
            )
        if self.ignore_thought_parts and (
            self.num_thought_tokens is not None or self.thought_vectors != "kept"
        ):
            raise ConfigError(
                "ignore_thought_parts loads a language model that cannot think, so "
                "num_thought_tokens and thought_vectors have no meaning with it. Leave out either."
            )


NO_OVERRIDES = Overrides()


def check_thought_length(num_thought_tokens: int) -> None:
    """Check a thought length that a caller gave.

    Raises:
        ConfigError: not an integer of at least 1.
    """
    # bool is an int in Python, but True is no count.
    if type(num_thought_tokens) is not int or num_thought_tokens < 1:
        raise ConfigError(
            f"num_thought_tokens={num_thought_tokens!r} must be an integer, at least 1. To serve "
            "without thinking, ask for 0 in a request instead."
        )


def check_length_fits(num_thought_tokens: int, backbone_config: Any, where: str) -> None:
    """Check that a thought of this length fits into the model's context behind one token.

    Args:
        num_thought_tokens: without the two delimiters.
        backbone_config: the `PreTrainedConfig` of the language model.
        where: the checkpoint, for the message.

    Raises:
        CheckpointError: it does not.
    """
    context = context_length(backbone_config)
    if context.is_stated and num_thought_tokens + 3 > context.num_tokens:
        raise CheckpointError(
            f"{where} thinks {num_thought_tokens} tokens at a time, which with two delimiters and "
            f"one token of text is more than its context of {context.num_tokens} "
            f"({context.origin}). Correct num_thought_tokens."
        )


def _resolve_dtype(dtype: str | torch.dtype, *, device: torch.device) -> torch.dtype | None:
    if dtype == "auto":
        return None if has_fast_bfloat16(device) else torch.float32
    if dtype == "stored":
        return None
    if isinstance(dtype, str):
        if dtype not in DTYPES:
            raise ConfigError(f"dtype={dtype!r} is unknown; use auto, stored, {', '.join(DTYPES)}.")
        return DTYPES[dtype]
    if dtype not in DTYPES.values():
        raise ConfigError(f"dtype={dtype} cannot be computed in; use {', '.join(DTYPES)}.")
    return dtype


def _resolve_device(device: str | torch.device) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    unknown = ConfigError(f"device={str(device)!r} is unknown; use auto, cpu, cuda or cuda:N.")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise unknown from error
    # torch knows many more, such as meta, on which models of ours do not run.
    if resolved.type not in ("cpu", "cuda"):
        raise unknown
    if resolved.type == "cuda":
        _check_cuda(resolved)
    return resolved


def _check_cuda(device: torch.device) -> None:
    if not torch.cuda.is_available():
        raise ConfigError(
            f"device={str(device)!r} was asked for, but this torch sees no CUDA device; "
            "use device='cpu' or install a CUDA build of torch."
        )
    there = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if device.index is not None and str(device) not in there:
        raise ConfigError(
            f"device={str(device)!r} was asked for, but this torch sees only {', '.join(there)}; "
            "use one of those."
        )
