"""Backbones from GGUF files, through transformers' own reading."""

from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GgufConfig, PreTrainedModel

from qstar_infer.checkpoint.architecture import require_supported_config
from qstar_infer.checkpoint.backbone import finish
from qstar_infer.checkpoint.boundary import third_party
from qstar_infer.checkpoint.options import LoadOptions
from qstar_infer.errors import CheckpointError, ConfigError

_MAGIC = b"GGUF"
_ADVICE = (
    "Check that the download is complete. If it is, transformers may not know its architecture."
)


def load_gguf_backbone(directory: Path, file: str, options: LoadOptions) -> PreTrainedModel:
    """A stock model from a GGUF file, dequantised.

    dtype "auto" is bfloat16: a GGUF file names no dtype to compute in, and its quantised weights
    carry no more precision than that.

    Raises:
        CheckpointError: truncated, not GGUF, or of an architecture that cannot think.
        ConfigError: `quantization` was asked for; the file has its own.
    """
    if options.quantization != "none":
        raise ConfigError(
            f"quantization={options.quantization!r} cannot be applied to {file}, which is "
            "dequantised when it is read. Run `qstar convert` on it first and load the result."
        )
    path = directory / file
    _require_magic(path)
    what = f"The GGUF file {path} ({path.stat().st_size} bytes)"
    with third_party(what, _ADVICE):
        config = AutoConfig.from_pretrained(directory, gguf_file=file, local_files_only=True)
    require_supported_config(config)
    # transformers draws a progress bar of its own here that its switch does not turn off.
    with third_party(what, _ADVICE), redirect_stderr(StringIO()):
        backbone: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            directory,
            gguf_file=file,
            config=config,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16 if options.dtype is None else options.dtype,
            local_files_only=True,
            trust_remote_code=False,
        )
    backbone.to(options.device)  # type: ignore[arg-type]  # wrapped method
    return finish(backbone)


def _require_magic(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    if magic != _MAGIC:
        raise CheckpointError(
            f"{path} is not a GGUF file: it begins with {magic!r}, not {_MAGIC!r}. Fetch it again."
        )
