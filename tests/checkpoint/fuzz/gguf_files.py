"""A small Llama as the content of a GGUF file, how to change it, and what it computes.

`logits` is a forward pass of its own over the content, by the format's description: it shares no
code with the package, transformers or llama.cpp.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .seeds import GOLDEN

HIDDEN, HEADS, KV_HEADS, HEAD_DIM, INNER, VOCAB, LAYERS = 16, 4, 2, 4, 24, 512, 2


@dataclass
class Content:
    """Keys and tensors in file order. Changes are made here, and then written."""

    architecture: str
    keys: dict[str, Any]
    tensors: dict[str, NDArray[Any]]
    types: dict[str, Any] = field(default_factory=dict)
    """Tensor name -> quantisation type to store it in; F32 if absent."""
    cut: float | None = None
    """Keep only this share of the file's bytes."""


def make_content() -> Content:
    generator = np.random.default_rng(0)

    def weight(*shape: int) -> NDArray[np.float32]:
        return (generator.standard_normal(shape) * 0.3).astype(np.float32)

    def norm() -> NDArray[np.float32]:
        return generator.uniform(0.5, 1.5, HIDDEN).astype(np.float32)

    tensors = {"token_embd.weight": weight(VOCAB, HIDDEN)}
    for layer in range(LAYERS):
        tensors |= {
            f"blk.{layer}.attn_norm.weight": norm(),
            f"blk.{layer}.attn_q.weight": weight(HEADS * HEAD_DIM, HIDDEN),
            f"blk.{layer}.attn_k.weight": weight(KV_HEADS * HEAD_DIM, HIDDEN),
            f"blk.{layer}.attn_v.weight": weight(KV_HEADS * HEAD_DIM, HIDDEN),
            f"blk.{layer}.attn_output.weight": weight(HIDDEN, HEADS * HEAD_DIM),
            f"blk.{layer}.ffn_norm.weight": norm(),
            f"blk.{layer}.ffn_gate.weight": weight(INNER, HIDDEN),
            f"blk.{layer}.ffn_up.weight": weight(INNER, HIDDEN),
            f"blk.{layer}.ffn_down.weight": weight(HIDDEN, INNER),
        }
    tensors |= {"output_norm.weight": norm(), "output.weight": weight(VOCAB, HIDDEN)}
    return Content(architecture="llama", keys=_keys(), tensors=dict(tensors))


def _keys() -> dict[str, Any]:
    tokenizer = json.loads((GOLDEN / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)[:500]
    tokens += [f"<unused{index}>" for index in range(len(tokens), VOCAB)]
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    return {
        "llama.block_count": LAYERS,
        "llama.context_length": 128,
        "llama.embedding_length": HIDDEN,
        "llama.feed_forward_length": INNER,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 10000.0,
        "llama.rope.dimension_count": HEAD_DIM,
        "llama.vocab_size": VOCAB,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3] * 3 + [1] * 497 + [5] * (VOCAB - 500),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": True,
    }


def write(content: Content, path: Path) -> None:
    writer = gguf.GGUFWriter(path, content.architecture)
    for key, value in content.keys.items():
        _add_key(writer, key, value)
    for name, array in content.tensors.items():
        kind = content.types.get(name)
        if kind is None:
            writer.add_tensor(name, np.ascontiguousarray(array))
        else:
            packed = gguf.quants.quantize(np.ascontiguousarray(array), kind)
            writer.add_tensor(name, packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if content.cut is not None:
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * content.cut)])


def _add_key(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif key.startswith("split."):
        writer.add_uint16(key, value)
    elif isinstance(value, int):
        (writer.add_uint32 if 0 <= value < 2**32 else writer.add_int64)(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


ADDED_KEYS: dict[str, tuple[Any, ...]] = {
    "general.alignment": (32, 64, 0, 3),
    "general.architecture": ("mistral", "llama"),
    "general.file_type": (7,),
    "general.name": ("toy",),
    "general.quantization_version": (2,),
    "llama.attention.causal": (False, True),
    "llama.attention.clamp_kqv": (1.0,),
    "llama.attention.key_length": (4, 8),
    "llama.attention.layer_norm_epsilon": (1e-5,),
    "llama.attention.max_alibi_bias": (8.0,),
    "llama.attention.scale": (0.1, 0.5),
    "llama.attention.sliding_window": (3,),
    "llama.attention.value_length": (4, 8),
    "llama.attention.window": (3,),
    "llama.attn_logit_softcapping": (5.0,),
    "llama.embedding_scale": (2.0,),
    "llama.expert_count": (0, 2),
    "llama.expert_used_count": (0, 1),
    "llama.final_logit_softcapping": (5.0,),
    "llama.interleave": (1,),
    "llama.logit_scale": (0.5,),
    "llama.residual_scale": (0.5,),
    "llama.rope.freq_scale": (0.5,),
    "llama.rope.scale_linear": (2.0,),
    "llama.rope.scaling.attn_factor": (2.0,),
    "llama.rope.scaling.factor": (4.0, 1.0),
    "llama.rope.scaling.finetuned": (True, False),
    "llama.rope.scaling.original_context_length": (32,),
    "llama.rope.scaling.type": ("linear", "yarn", "none", "longrope", "nonsense"),
    "llama.rope.scaling.yarn_log_multiplier": (0.1,),
    "llama.tensor_data_layout": ("Meta AI original pth", "reference"),
    "llama.use_parallel_residual": (True, False),
    "quantize.imatrix.file": ("x",),
    "split.count": (0, 1, 2),
    "split.no": (0,),
    "split.tensors.count": (3,),
    "tokenizer.ggml.add_eos_token": (True, False),
    "tokenizer.ggml.model": ("llama", "nonsense"),
    "tokenizer.ggml.pre": ("llama-bpe", "nonsense"),
}


TENSOR_CHANGES = (
    "drop",
    "add",
    "add",
    "rename",
    "transpose",
    "cut",
    "retype",
    "retype",
    "not finite",
)
ADDED_TENSORS: tuple[tuple[str, NDArray[Any]], ...] = (
    ("rope_freqs.weight", np.array([1, 4], dtype=np.float32)),
    ("rope_freqs.weight", np.array([1, 1], dtype=np.float32)),
    ("rope_freqs.weight", np.array([1, 4, 8], dtype=np.float32)),
    ("rope_factors_long.weight", np.array([1, 4], dtype=np.float32)),
    ("blk.0.attn_q.bias", np.ones(HEADS * HEAD_DIM, dtype=np.float32)),
    ("blk.0.attn_output.bias", np.ones(HIDDEN, dtype=np.float32)),
    ("blk.0.ffn_up.bias", np.ones(INNER, dtype=np.float32)),
    ("blk.0.ffn_down.scale", np.ones(1, dtype=np.float32) * 2),
    ("blk.0.attn_q_norm.weight", np.ones(HEAD_DIM, dtype=np.float32)),
    ("blk.2.attn_norm.weight", np.ones(HIDDEN, dtype=np.float32)),
    ("output.bias", np.ones(VOCAB, dtype=np.float32)),
    ("token_types.weight", np.ones((2, HIDDEN), dtype=np.float32)),
    ("x", np.ones(3, dtype=np.float32)),
)


def change(content: Content, random: Random) -> str:
    """Change one thing, and say what."""
    way = random.choice([_change_tensor] * 3 + [_change_key] * 3 + [_change_file])
    return way(content, random)


def _change_file(content: Content, random: Random) -> str:
    content.cut = random.random()
    return f"cut to {content.cut:.3f} of its bytes"


def _change_key(content: Content, random: Random) -> str:
    own = sorted(key for key in content.keys if key.startswith("llama."))
    way = random.choice(["drop", "number", "retype", "rename", "add", "add", "add", "add two"])
    key = random.choice(own)
    if way == "drop":
        key = random.choice(sorted(content.keys))
        del content.keys[key]
        return f"{key} dropped"
    if way == "number":
        value = content.keys[key]
        content.keys[key] = random.choice(
            [value * 2, value + 1, max(value - 1, 0), 0, value * 10**5]
        )
        return f"{key} = {content.keys[key]!r}"
    if way == "retype":
        content.keys[key] = random.choice(
            [str(content.keys[key]), [content.keys[key]] * 2, True, -1]
        )
        return f"{key} = {content.keys[key]!r}"
    if way == "rename":
        content.keys[key.replace("llama.", "mistral.")] = content.keys.pop(key)
        return f"{key} renamed"
    added = random.sample(sorted(ADDED_KEYS), 2 if way == "add two" else 1)
    for key in added:
        content.keys[key] = random.choice(ADDED_KEYS[key])
    return ", ".join(f"{key} = {content.keys[key]!r}" for key in added)


def _change_tensor(content: Content, random: Random) -> str:
    tensors = content.tensors
    name = random.choice(sorted(tensors))
    way = random.choice(
        ["drop", "add", "add", "rename", "transpose", "cut", "retype", "retype", "nan"]
    )
    if way == "drop":
        del tensors[name]
    elif way == "add":
        name, tensor = random.choice(ADDED_TENSORS)
        tensors[name] = tensor
        return f"{name} {tensor.tolist()[:4]} added"
    elif way == "rename":
        tensors[name.replace("blk.1", "blk.2").replace("output", "out")] = tensors.pop(name)
    elif way == "transpose":
        tensors[name] = np.ascontiguousarray(tensors[name].T)
    elif way == "cut":
        tensors[name] = tensors[name][: random.randrange(1, tensors[name].shape[0])]
    elif way == "retype":
        kind = random.choice([np.float16, np.float64, np.int8, np.int32])
        tensors[name] = tensors[name].astype(kind)
        return f"{name} stored as {kind.__name__}"
    else:
        tensors[name] = tensors[name].copy()
        tensors[name].reshape(-1)[0] = random.choice([np.nan, np.inf])
    return f"{name}: {way}"


def stored(content: Content, name: str) -> NDArray[Any]:
    """A tensor's values, after rounding to its quantisation type."""
    array, kind = content.tensors[name], content.types.get(name)
    if kind is None:
        return array
    rounded: NDArray[Any] = gguf.quants.dequantize(gguf.quants.quantize(array, kind), kind)
    return rounded


def logits(content: Content, ids: Tensor) -> Tensor:
    """`[seq, vocab]` of a Llama whose keys and tensors are those of `make_content`, with changed
    values. Raises KeyError or RuntimeError where the content does not describe one."""
    keys = content.keys
    tensors = {name: torch.from_numpy(stored(content, name)).float() for name in content.tensors}
    heads, kv_heads = (
        value[0] if isinstance(value := keys[f"llama.attention.{name}"], list) else value
        for name in ("head_count", "head_count_kv")
    )
    eps = keys["llama.attention.layer_norm_rms_epsilon"]
    rotate = _rotation(content, ids.shape[0], tensors.get("rope_freqs.weight"))
    states = tensors["token_embd.weight"][ids]
    for layer in range(keys["llama.block_count"]):
        part = partial(_part, tensors, layer)
        normed = _norm(states, part("attn_norm"), eps)
        q, k, v = (
            (normed @ part(f"attn_{name}").T).view(len(ids), count, -1)
            for name, count in (("q", heads), ("k", kv_heads), ("v", kv_heads))
        )
        k, v = (x.repeat_interleave(heads // kv_heads, dim=1) for x in (rotate(k), v))
        scores = torch.einsum("ihd,jhd->hij", rotate(q), k) / math.sqrt(q.shape[-1])
        scores = scores + torch.full(scores.shape[1:], float("-inf")).triu(1)
        mixed = torch.einsum("hij,jhd->ihd", scores.softmax(-1), v).flatten(1)
        states = states + mixed @ part("attn_output").T
        normed = _norm(states, part("ffn_norm"), eps)
        gate = torch.nn.functional.silu(normed @ part("ffn_gate").T)
        states = states + (gate * (normed @ part("ffn_up").T)) @ part("ffn_down").T
    head = tensors.get("output.weight", tensors["token_embd.weight"])
    return _norm(states, tensors["output_norm.weight"], eps) @ head.T


def _part(tensors: dict[str, Tensor], layer: int, name: str) -> Tensor:
    return tensors[f"blk.{layer}.{name}.weight"]


def _norm(states: Tensor, weight: Tensor, eps: float) -> Tensor:
    return states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + eps) * weight


def _rotation(content: Content, length: int, factors: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Rotates neighbouring pairs, as GGUF stores the heads of a Llama."""
    width = content.keys.get("llama.rope.dimension_count", HEAD_DIM)
    base = content.keys.get("llama.rope.freq_base", 10000.0)
    frequencies = base ** (-torch.arange(0, width, 2) / width)
    if factors is not None:
        frequencies = frequencies / factors
    scaling = content.keys.get("llama.rope.scaling.type", "linear")
    older = content.keys.get("llama.rope.scale_linear", 1.0)
    factor = content.keys.get("llama.rope.scaling.factor", older)
    size = 1.0
    if scaling == "linear":
        frequencies = frequencies / factor
    if scaling == "yarn":
        length_key = "llama.rope.scaling.original_context_length"
        trained = content.keys.get(length_key, content.keys["llama.context_length"])
        share = _yarn_share(width, base, trained)
        frequencies = frequencies / factor * (1 - share) + frequencies * share
        size = 1 + 0.1 * math.log(factor)
    angles = torch.arange(length)[:, None] * frequencies
    cos, sin = size * angles.cos()[:, None], size * angles.sin()[:, None]

    def rotate(x: Tensor) -> Tensor:
        rotated, rest = x[..., :width], x[..., width:]
        even, odd = rotated[..., 0::2], rotated[..., 1::2]
        pairs = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
        return torch.cat([pairs.flatten(-2), rest], dim=-1)

    return rotate


def _yarn_share(width: int, base: float, trained: int) -> Tensor:
    """The share of each frequency that YaRN leaves as trained: 1 where a pair turns more than 32
    times within the trained length, 0 where it turns less than once."""

    def pair(turns: float) -> float:
        return width * math.log(trained / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = max(math.floor(pair(32)), 0), min(math.ceil(pair(1)), width - 1)
    ramp = (torch.arange(width // 2) - low) / max(high - low, 0.001)
    return 1 - ramp.clamp(0, 1)
