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
Q, KV = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM

Shape = tuple[int, ...]
Shapes = dict[str, Shape]
Keys = Mapping[str, Any]

H = -1
"""In the shapes below: as wide as the hidden states."""
_ATTENTION: Shapes = {
    "attn_q": (Q, H),
    "attn_k": (KV, H),
    "attn_v": (KV, H),
    "attn_output": (H, Q),
}
_GATED: Shapes = {"ffn_gate": (FFN, H), "ffn_up": (FFN, H), "ffn_down": (H, FFN)}
_PLAIN: Shapes = {"ffn_up": (FFN, H), "ffn_down": (H, FFN)}
_NORMS: Shapes = {"attn_norm": (H,), "ffn_norm": (H,)}
_HEAD_NORMS: Shapes = {"attn_q_norm": (HEAD_DIM,), "attn_k_norm": (HEAD_DIM,)}
_POST_NORMS: Shapes = {"post_attention_norm": (H,), "post_ffw_norm": (H,)}

_TENSORS: dict[str, Shapes] = {
    "llama": _NORMS | _ATTENTION | _GATED,
    "qwen2": _NORMS | _ATTENTION | _GATED,
    "qwen3": _NORMS | _ATTENTION | _GATED | _HEAD_NORMS,
    "smollm3": _NORMS | _ATTENTION | _GATED,
    "phi3": _NORMS
    | {"attn_qkv": (Q + 2 * KV, H), "attn_output": (H, Q)}
    | {"ffn_up": (2 * FFN, H), "ffn_down": (H, FFN)},
    "olmo2": _ATTENTION | _GATED | _POST_NORMS | {"attn_q_norm": (Q,), "attn_k_norm": (KV,)},
    "gemma": _NORMS | _ATTENTION | _GATED,
    "gemma3": _NORMS | _ATTENTION | _GATED | _HEAD_NORMS | _POST_NORMS,
    "starcoder2": _NORMS | _ATTENTION | _PLAIN,
}
"""Architecture -> the tensors of one layer, in torch's order of dimensions."""

_WITH_BIAS = {
    "qwen2": {"attn_q", "attn_k", "attn_v"},
    "starcoder2": set(_NORMS) | set(_ATTENTION) | set(_PLAIN) | {"output_norm"},
}
_EPS_BY_RMS = {"llama", "qwen2", "qwen3", "smollm3", "phi3", "olmo2", "gemma", "gemma3"}
ARCHITECTURES = tuple(_TENSORS)


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
    layers: int = LAYERS,
    hidden: int = HIDDEN,
) -> dict[str, NDArray[np.float32]]:
    """The tensors of a toy. Norms are near 1; matrices are large enough that attention matters."""
    biased = _WITH_BIAS.get(architecture, set()) | set(biases)
    shapes: dict[str, Shape] = {
        "token_embd.weight": (vocabulary, H),
        "output_norm.weight": (H,),
    }
    if "output_norm" in biased:
        shapes["output_norm.bias"] = (H,)
    if not tied:
        shapes["output.weight"] = (vocabulary, H)
    for layer in range(layers):
        for name, shape in _TENSORS[architecture].items():
            shapes[f"blk.{layer}.{name}.weight"] = shape
            if name in biased:
                shapes[f"blk.{layer}.{name}.bias"] = shape[:1]
    return {
        name: noise(tuple(hidden if size == H else size for size in shape), seed=index, scale=0.3)
        + name.endswith("norm.weight")
        for index, (name, shape) in enumerate(shapes.items())
    }


def toy_keys(
    architecture: str = "llama", *, layers: int = LAYERS, hidden: int = HIDDEN
) -> dict[str, Any]:
    """The keys of an architecture, without its prefix."""
    by_rms = architecture in _EPS_BY_RMS
    keys = {
        "block_count": layers,
        "context_length": CONTEXT,
        "embedding_length": hidden,
        "feed_forward_length": FFN,
        "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS,
        f"attention.layer_norm_{'rms_' if by_rms else ''}epsilon": 1e-5,
        "rope.dimension_count": HEAD_DIM,
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
    tensors: Mapping[str, NDArray[Any]] | None = None,
    vocabulary: Mapping[str, Any] | None = None,
    types: Mapping[str, gguf.GGMLQuantizationType] | None = None,
    tied: bool = False,
    biases: Collection[str] = (),
    layers: int = LAYERS,
    hidden: int = HIDDEN,
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
        tied, biases, layers, hidden: as for `toy_tensors`.
    """
    words = dict(byte_level_vocabulary() if vocabulary is None else vocabulary)
    count = len(words["tokenizer.ggml.tokens"])
    held_keys = toy_keys(architecture, layers=layers, hidden=hidden) | words | dict(keys or {})
    writer = gguf.GGUFWriter(path, held_keys.pop("general.architecture", architecture))
    for name, value in held_keys.items():
        own = name.split(".")[0] not in ("tokenizer", "general", "split", "other")
        if name not in without and value is not None:
            _add_key(writer, f"{architecture}.{name}" if own else name, value)
    held = toy_tensors(
        architecture,
        vocabulary=count,
        tied=tied,
        biases=biases,
        layers=layers,
        hidden=hidden,
    ) | dict(tensors or {})
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
