"""What is refused before anything of a checkpoint is loaded.

A checkpoint is input from strangers. Two kinds of it run their author's code: pickled weights, and
JSON that names code (`auto_map`) or an attention kernel to fetch and run (`_attn_implementation*`).
This module only looks at file names and JSON.
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
# spellings without underscore name a function, and a name of the form org/name is fetched and run.
_IMPLEMENTATION_KEY = re.compile(r"^_?(attn|experts|attention)_implementation|^_attn")
_CODE_KEYS = frozenset({"auto_map", "custom_pipelines", "trust_remote_code"})


def check_no_code(directory: Path) -> None:
    """Refuse a directory whose JSON files name code to run.

    Raises:
        CheckpointError: naming the file and the key.
    """
    for name in _CHECKED_FILES:
        content = read_json_if_present(directory / name)
        if content is None:
            continue
        for key in _keys(content):
            _check_key(directory / name, key)


def _keys(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict):
            yield from inner
            waiting.extend(inner.values())
        elif isinstance(inner, list):
            waiting.extend(inner)


def _check_key(path: Path, key: str) -> None:
    if key in _CODE_KEYS:
        raise CheckpointError(
            f"{path} has the key {key!r}, which points at Python code shipped with the checkpoint. "
            "Such code is never run here. Use a checkpoint of an architecture that transformers "
            f"itself knows; if this one is such, remove {key!r} from the file."
        )
    if _IMPLEMENTATION_KEY.match(key):
        raise CheckpointError(
            f"{path} has the key {key!r}, which can make a loader fetch and run foreign attention "
            "code. The attention is chosen here, never by a checkpoint: remove the key."
        )


def check_quantization(config: dict[str, Any], path: Path) -> None:
    """Refuse weights quantised by anything but bitsandbytes.

    Several of transformers' other quantizers fetch compute kernels from a hub and run them.

    Raises:
        CheckpointError: naming the method.
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
    """Refuse a single file by its suffix.

    Raises:
        CheckpointError: the file is pickled weights.
    """
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise CheckpointError(_pickle_message(str(path)))


def check_not_only_pickles(directory: Path) -> None:
    """Refuse a directory without safetensors whose weights would come from a pickle.

    A pickled file that lies beside safetensors is never opened, so it is no reason to refuse.

    Raises:
        CheckpointError: naming the pickled files.
    """
    if not any(directory.glob("*.safetensors")):
        check_no_pickles(str(directory), (path.name for path in directory.iterdir()))


def check_no_pickles(where: str, names: Iterable[str]) -> None:
    """Refuse a place that holds a pickled file.

    Raises:
        CheckpointError: naming the pickled files.
    """
    pickles = sorted(name for name in names if Path(name).suffix.lower() in PICKLE_SUFFIXES)
    if pickles:
        raise CheckpointError(_pickle_message(f"{where} ({', '.join(pickles[:4])})"))


def _pickle_message(what: str) -> str:
    return (
        f"{what} holds pickled weights. Loading a pickle runs whatever code its author put in it, "
        "so only safetensors and GGUF are read. Convert it where you trust its author: load it "
        "with transformers there and call save_pretrained(), which writes safetensors."
    )
