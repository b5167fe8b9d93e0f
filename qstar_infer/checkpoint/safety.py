"""Safety checks before anything of a checkpoint is loaded.

A checkpoint is untrusted input. Two things in it can run its author's code: pickled weights, and
JSON that names code (`auto_map`) or an attention kernel to fetch and run (`_attn_implementation*`).
The checks read only file names and JSON.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from qstar_infer.checkpoint.reading import read_json_if_present
from qstar_infer.errors import CheckpointError

PICKLE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})

_CHECKED_FILES = (
    "config.json",
    "tokenizer_config.json",
    "generation_config.json",
    "adapter_config.json",
    "processor_config.json",
    "preprocessor_config.json",
)
# `_attn_implementation`, `_attn_implementation_internal`, `_experts_implementation` and the
# spellings without underscore name a function. A name like org/name is fetched and run.
_IMPLEMENTATION_KEY = re.compile(r"^_?(attn|experts|attention)_implementation|^_attn")
_CODE_KEYS = frozenset({"auto_map", "custom_pipelines", "trust_remote_code"})


def check_no_code(directory: Path) -> None:
    """Check that no JSON file of a directory names code to run.

    Raises:
        CheckpointError: one does; the message names the file and the key.
    """
    for path, key in keys_of_code(directory):
        raise CheckpointError(code_message(path, key))


def keys_of_code(directory: Path) -> Iterator[tuple[Path, str]]:
    """File and key of each JSON key in a directory that names code to run."""
    for name in _CHECKED_FILES:
        content = read_json_if_present(directory / name)
        for key, value in _items(content):
            # Newer versions of transformers note there whether they chose it: true or false.
            names_function = _IMPLEMENTATION_KEY.match(key) and not isinstance(value, bool | None)
            if key in _CODE_KEYS or names_function:
                yield directory / name, key


def code_message(path: Path, key: str) -> str:
    """Why a key that names code is refused."""
    if key in _CODE_KEYS:
        return (
            f"{path} has the key {key!r}, which points at Python code shipped with the checkpoint. "
            "Such code is never run here. Use a checkpoint of an architecture that transformers "
            f"itself knows; if this one is such, remove {key!r} from the file."
        )
    return (
        f"{path} has the key {key!r}, which can make a loader fetch and run foreign attention "
        "code. The attention is chosen here, never by a checkpoint: remove the key."
    )


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict):
            yield from inner.items()
            waiting.extend(inner.values())
        elif isinstance(inner, list):
            waiting.extend(inner)


def check_quantization(config: dict[str, Any], path: Path) -> None:
    """Check that the weights are not quantised, or by bitsandbytes.

    Several other quantizers of transformers fetch compute kernels from a hub and run them.

    Raises:
        CheckpointError: another method; the message names it.
    """
    quantization = config.get("quantization_config")
    if quantization is None:
        return
    method = quantization.get("quant_method") if isinstance(quantization, dict) else quantization
    if method != "bitsandbytes":
        raise CheckpointError(
            f"{path} says that the weights are quantised by {method!r}; only bitsandbytes is "
            "supported. Load the unquantised checkpoint, with quantization='int8' or 'nf4'."
        )


def check_not_pickled(path: Path) -> None:
    """Check the suffix of a file.

    Raises:
        CheckpointError: it is that of pickled weights.
    """
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise CheckpointError(_pickle_message(str(path)))


def check_not_only_pickles(directory: Path) -> None:
    """Check that a directory's weights need not come from a pickle.

    Pickled files next to safetensors are allowed, since they are never opened.

    Raises:
        CheckpointError: there are pickles and no safetensors; the message names the pickles.
    """
    if not any(directory.glob("*.safetensors")):
        check_no_pickles(str(directory), (path.name for path in directory.iterdir()))


def check_no_pickles(where: str, names: Iterable[str]) -> None:
    """Check that none of these file names is a pickle's.

    Raises:
        CheckpointError: some are; the message names them.
    """
    pickles = sorted(name for name in names if Path(name).suffix.lower() in PICKLE_SUFFIXES)
    if pickles:
        raise CheckpointError(_pickle_message(f"{where} ({', '.join(pickles[:4])})"))


def _pickle_message(what: str) -> str:
    return (
        f"{what} holds pickled weights. Loading a pickle runs the code that its author put in it, "
        "so only safetensors and GGUF are read. If you trust the author, convert it: load it with "
        "transformers and call save_pretrained(), which writes safetensors. For a Lightning .ckpt "
        "of a Quiet-STaR model: `qstar convert FILE.ckpt DST --base BASE`."
    )
