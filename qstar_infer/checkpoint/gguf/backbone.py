"""Builds the backbone from a GGUF file."""

from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GgufConfig, PreTrainedModel

from qstar_infer.checkpoint.architecture import check_supported_config
from qstar_infer.checkpoint.backbone import finish
from qstar_infer.checkpoint.options import LoadOptions
from qstar_infer.checkpoint.reading import alone, third_party
from qstar_infer.errors import CheckpointError, ConfigError

_GGUF_MAGIC = b"GGUF"
_GGUF_ADVICE = (
    "Check that the download is complete. If it is, transformers may not know its architecture."
)


def load_gguf_backbone(path: Path, options: LoadOptions) -> PreTrainedModel:
    """A stock model from a GGUF file, dequantised. Other files in its directory are ignored.

    Its stored dtype counts as bfloat16: a GGUF file names no dtype to compute in, and its quantised
    weights have no more precision than that.

    Raises:
        CheckpointError: truncated, not GGUF, or of an architecture that cannot think.
        ConfigError: `quantization` was given; the file has its own.
    """
    if options.quantization != "none":
        raise ConfigError(
            f"quantization={options.quantization!r} cannot be applied to {path.name}, which is "
            "dequantised when it is read. Run `qstar convert` on it first and load the result."
        )
    _check_gguf_magic(path)
    what = f"The GGUF file {path} ({path.stat().st_size} bytes)"
    with third_party(what, _GGUF_ADVICE), alone(path) as directory:
        config = AutoConfig.from_pretrained(directory, gguf_file=path.name, local_files_only=True)
    check_supported_config(config)
    # transformers draws a progress bar here that its switch does not turn off.
    quiet = redirect_stderr(StringIO())
    with third_party(what, _GGUF_ADVICE), quiet, alone(path) as directory:
        backbone: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            directory,
            gguf_file=path.name,
            config=config,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16 if options.dtype is None else options.dtype,
            local_files_only=True,
            trust_remote_code=False,
        )
    backbone.to(options.device)  # type: ignore[arg-type]  # wrapped method
    return finish(backbone)


def _check_gguf_magic(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(len(_GGUF_MAGIC))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    if magic != _GGUF_MAGIC:
        raise CheckpointError(
            f"{path} is not a GGUF file: it begins with {magic!r}, not {_GGUF_MAGIC!r}. "
            "Fetch it again."
        )
