"""Finds the GGUF file of a source, or converts the source once into the cache directory."""

import hashlib
import json
import logging
import sys
from pathlib import Path

import torch

from qstar_infer.cache_directory import cache_directory
from qstar_infer.checkpoint.default import default_model_directory
from qstar_infer.checkpoint.gguf.llama_cpp import llama_cpp
from qstar_infer.checkpoint.gguf.save import MODEL_FILE, QUANTISED_TYPES, save_gguf
from qstar_infer.checkpoint.load import load_model
from qstar_infer.checkpoint.load_source import find_base
from qstar_infer.checkpoint.packaged_base import BASE_MODEL
from qstar_infer.checkpoint.source import Source, find_source
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.hardware import has_fast_bfloat16
from qstar_infer.model.source_name import source_name
from qstar_infer.runner.llama_cpp.model import LlamaCppModel, open_model, with_exact_cache

logger = logging.getLogger(__name__)
_RECIPE = 2
"""Increase it when `save_gguf` writes something else, so that old files are not used."""
_TYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}


def load_llama_cpp_model(args: EngineArgs) -> LlamaCppModel:
    """Open the model that the settings name. What is not a GGUF file is converted first, once.

    Raises:
        CheckpointError: as `load_model`, or llama.cpp cannot serve the model.
        ConfigError: a setting does not apply to this runner, or llama-cpp-python is not installed.
    """
    llama_cpp()
    _check_device(args.device)
    kind = _type_of_weights(args)
    source = args.model if args.model is not None else str(default_model_directory())
    label = args.model if args.model is not None else BASE_MODEL
    found = find_source(source, revision=args.revision)
    if found.gguf_file is None:
        path = _converted(found, args, kind, label) / MODEL_FILE
    else:
        _check_applies_to_gguf(args)
        path = found.directory / found.gguf_file
    model = open_model(
        path,
        name=source_name(label),
        num_thought_tokens=args.num_thought_tokens,
        ignores_thoughts=args.ignore_thought_parts,
    )
    return with_exact_cache(model) if args.dtype == "float32" else model


def _check_device(device: str) -> None:
    if device not in ("auto", "cpu"):
        raise ConfigError(
            f"device={device!r} does not fit runner='llama.cpp', which runs on the CPU. Leave out "
            "either."
        )


def _type_of_weights(args: EngineArgs) -> str:
    """The GGUF type to convert to."""
    if args.quantization != "none":
        if args.quantization not in QUANTISED_TYPES:
            raise ConfigError(
                f"quantization={args.quantization!r} is not one that runner='llama.cpp' has; use "
                f"none, {', '.join(QUANTISED_TYPES)}."
            )
        return args.quantization
    if args.dtype in ("auto", "stored"):
        return "bf16" if has_fast_bfloat16(torch.device("cpu")) else "f16"
    if args.dtype not in _TYPES:
        raise ConfigError(
            f"dtype={args.dtype!r} is unknown; use auto, stored, {', '.join(_TYPES)}."
        )
    return _TYPES[args.dtype]


def _check_applies_to_gguf(args: EngineArgs) -> None:
    """Check that nothing was asked for that only a conversion can do."""
    changes = {
        "quantization": args.quantization != "none",
        "dtype": args.dtype in ("float16", "bfloat16"),
        "tokenizer": args.tokenizer is not None,
    }
    for name, is_given in changes.items():
        if is_given:
            raise ConfigError(
                f"{name} was given, but {args.model} is a GGUF file, which llama.cpp runs as it "
                f"is. Leave out {name}, or convert the original checkpoint."
            )


def _converted(found: Source, args: EngineArgs, kind: str, label: str) -> Path:
    """The directory with the converted model, which is made if it is not there."""
    target = cache_directory() / f"llama-cpp-{kind}-{_key(found, args)}"
    if target.exists():
        return target
    logger.info("Converting %s to %s for llama.cpp, in %s.", label, kind, target)
    sys.stderr.write(f"Converting {label} for llama.cpp, once ...\n")
    model = load_model(
        args.model,
        dtype="stored",
        device="cpu",
        num_thought_tokens=args.num_thought_tokens,
        thought_vectors=args.thought_vectors,
        tokenizer=args.tokenizer,
        ignore_thought_parts=args.ignore_thought_parts,
        revision=args.revision,
    )
    try:
        save_gguf(model, target, kind=kind)
    except CheckpointError:
        if not target.exists():
            raise
        logger.info("Another process converted it first; using its result.")
    return target


def _key(found: Source, args: EngineArgs) -> str:
    """A string that changes when the converted model would."""
    directories = [found.directory]
    if found.is_adapter:
        directories.append(find_base(found).directory)
    files = [
        (str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns)
        for directory in directories
        for path in sorted(directory.iterdir())
        if path.is_file()
    ]
    overrides = [
        args.num_thought_tokens,
        args.thought_vectors,
        args.tokenizer,
        args.ignore_thought_parts,
    ]
    content = json.dumps([_RECIPE, files, overrides])
    return hashlib.sha256(content.encode()).hexdigest()[:12]
