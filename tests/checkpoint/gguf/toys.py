"""Writes small GGUF files of every architecture, from the tensors and keys that llama.cpp asks for.

Written from llama.cpp's description of each architecture and not from the loader. The weights are
the same on every machine, so that numbers recorded from llama.cpp stay valid.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from tests.checkpoint.gguf.vocabularies import byte_level_vocabulary

HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN, LAYERS, CONTEXT = 32, 4, 2, 8, 48, 2, 256
KV = KV_HEADS * HEAD_DIM

Shape = tuple[int, ...]
Keys = Mapping[str, Any]

_NORM, _BIASED = ("weight",), ("weight", "bias")
_ATTENTION = {
    "attn_q": (HIDDEN, HIDDEN),
    "attn_k": (KV, HIDDEN),
    "attn_v": (KV, HIDDEN),
    "attn_output": (HIDDEN, HIDDEN),
}
_GATED = {"ffn_gate": (FFN, HIDDEN), "ffn_up": (FFN, HIDDEN), "ffn_down": (HIDDEN, FFN)}
_PLAIN = {"ffn_up": (FFN, HIDDEN), "ffn_down": (HIDDEN, FFN)}
_NORMS = {"attn_norm": (HIDDEN,), "ffn_norm": (HIDDEN,)}
_HEAD_NORMS = {"attn_q_norm": (HEAD_DIM,), "attn_k_norm": (HEAD_DIM,)}
_POST_NORMS = {"post_attention_norm": (HIDDEN,), "post_ffw_norm": (HIDDEN,)}

_LAYERS: dict[str, dict[str, Shape]] = {
    "llama": _NORMS | _ATTENTION | _GATED,
    "qwen2": _NORMS | _ATTENTION | _GATED,
    "qwen3": _NORMS | _ATTENTION | _GATED | _HEAD_NORMS,
    "smollm3": _NORMS | _ATTENTION | _GATED,
    "phi3": _NORMS
    | {"attn_qkv": (HIDDEN + 2 * KV, HIDDEN), "attn_output": (HIDDEN, HIDDEN)}
    | {"ffn_up": (2 * FFN, HIDDEN), "ffn_down": (HIDDEN, FFN)},
    "olmo2": _ATTENTION | _GATED | _POST_NORMS | {"attn_q_norm": (HIDDEN,), "attn_k_norm": (KV,)},
    "gemma": _NORMS | _ATTENTION | _GATED,
    "gemma3": _NORMS | _ATTENTION | _GATED | _HEAD_NORMS | _POST_NORMS,
    "starcoder2": _NORMS | _ATTENTION | _PLAIN,
    "nemotron": _NORMS | _ATTENTION | _PLAIN,
}
"""Architecture -> the tensors of one layer, in torch's order of dimensions."""

_WITH_BIAS = {
    "qwen2": {"attn_q", "attn_k", "attn_v"},
    "starcoder2": set(_NORMS) | set(_ATTENTION) | set(_PLAIN) | {"output_norm"},
    "nemotron": set(_NORMS) | {"output_norm"},
}
_EPS_BY_RMS = {"llama", "qwen2", "qwen3", "smollm3", "phi3", "olmo2", "gemma", "gemma3"}
ARCHITECTURES = tuple(_LAYERS)


def noise(shape: Shape, *, seed: int, scale: float) -> NDArray[np.float32]:
    """Numbers spread evenly in [-scale, scale), by integer arithmetic alone."""
    mask = np.uint64(2**32 - 1)
    state = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(seed * 1_000_003 + 1)
    for multiplier in (2_654_435_761, 2_246_822_519):
        state = (state * np.uint64(multiplier)) & mask
        state ^= state >> np.uint64(15)
    values = state.astype(np.float64) / 2**31 - 1
    return (scale * values).astype(np.float32).reshape(shape)


def toy_tensors(
    architecture: str = "llama",
    *,
    vocabulary: int,
    tied: bool = False,
    biases: Collection[str] = (),
) -> dict[str, NDArray[np.float32]]:
    """The tensors of a toy. Norms are near 1; matrices are large enough that attention matters."""
    biased = _WITH_BIAS.get(architecture, set()) | set(biases)
    shapes: dict[str, Shape] = {"token_embd.weight": (vocabulary, HIDDEN)}
    for name, shape in {"output_norm": (HIDDEN,)}.items():
        shapes |= {f"{name}.{part}": shape for part in (_BIASED if name in biased else _NORM)}
    if not tied:
        shapes["output.weight"] = (vocabulary, HIDDEN)
    for layer in range(LAYERS):
        for name, shape in _LAYERS[architecture].items():
            shapes[f"blk.{layer}.{name}.weight"] = shape
            if name in biased:
                shapes[f"blk.{layer}.{name}.bias"] = shape[:1]
    return {
        name: noise(shape, seed=index, scale=0.3) + (name.endswith("norm.weight"))
        for index, (name, shape) in enumerate(shapes.items())
    }


def toy_keys(architecture: str = "llama") -> dict[str, Any]:
    """The keys of an architecture, without its prefix."""
    by_rms = architecture in _EPS_BY_RMS
    keys = {
        "block_count": LAYERS,
        "context_length": CONTEXT,
        "embedding_length": HIDDEN,
        "feed_forward_length": FFN,
        "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS,
        f"attention.layer_norm_{'rms_' if by_rms else ''}epsilon": 1e-5,
        "rope.dimension_count": HEAD_DIM // 2 if architecture == "nemotron" else HEAD_DIM,
        "rope.freq_base": 10000.0,
    }
    if architecture == "gemma3":
        keys |= {"attention.sliding_window": 8, "attention.key_length": HEAD_DIM}
    return keys


def write_toy(
    path: Path,
    architecture: str = "llama",
    *,
    keys: Keys | None = None,
    without: Collection[str] = (),
    tensors: Mapping[str, NDArray[np.float32]] | None = None,
    vocabulary: Mapping[str, Any] | None = None,
    types: Mapping[str, gguf.GGMLQuantizationType] | None = None,
    tied: bool = False,
    biases: Collection[str] = (),
) -> Path:
    """Write a toy file.

    Args:
        path: where.
        architecture: of ARCHITECTURES.
        keys: more keys, or other values; without a dot-separated "tokenizer", "general" or "split"
            in front, the architecture's.
        without: names of keys and beginnings of names of tensors to leave out.
        tensors: more tensors, or other values.
        vocabulary: the tokenizer's keys; a byte-level one by default.
        types: tensor -> how it is quantised.
        tied, biases: as for `toy_tensors`.
    """
    words = dict(byte_level_vocabulary() if vocabulary is None else vocabulary)
    count = len(words["tokenizer.ggml.tokens"])
    writer = gguf.GGUFWriter(path, architecture)
    for name, value in (toy_keys(architecture) | words | dict(keys or {})).items():
        own = name.split(".")[0] not in ("tokenizer", "general", "split", "other")
        if name not in without and value is not None:
            _add_key(writer, f"{architecture}.{name}" if own else name, value)
    held = toy_tensors(architecture, vocabulary=count, tied=tied, biases=biases) | dict(
        tensors or {}
    )
    for name, values in held.items():
        if not name.startswith(tuple(without)):
            _add_tensor(writer, name, values, (types or {}).get(name))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_key(writer: gguf.GGUFWriter, name: str, value: Any) -> None:
    if isinstance(value, list):
        writer.add_array(name, value)
    elif isinstance(value, bool):
        writer.add_bool(name, value)
    elif isinstance(value, int):
        writer.add_uint16(name, value) if name.startswith("split.") else writer.add_uint32(
            name, value
        )
    elif isinstance(value, float):
        writer.add_float32(name, value)
    else:
        writer.add_string(name, value)


def _add_tensor(
    writer: gguf.GGUFWriter,
    name: str,
    values: NDArray[Any],
    kind: gguf.GGMLQuantizationType | None,
) -> None:
    if values.dtype == np.uint8:
        writer.add_tensor(name, values, raw_dtype=kind)
    elif kind is None:
        writer.add_tensor(name, values)
    else:
        writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
