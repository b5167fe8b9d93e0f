"""Random changes to a checkpoint's files. Each says what it did.

They know nothing of the loader: whether a change matters is for the reference to say.
"""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

DTYPES = (
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.int8,
    torch.uint8,
    torch.int32,
    torch.int64,
    torch.bool,
    torch.float8_e4m3fn,
    torch.complex64,
)
ADDED_SUFFIXES = (
    ".bias",
    "_scale",
    ".weight_scale",
    ".absmax",
    ".g_idx",
    ".inv_freq",
    "2",
    ".sinks",
)
ADDED_NAMES = (
    "lm_head.weight",
    "lm_head.bias",
    "model.norm.bias",
    "model.layers.2.self_attn.q_proj.weight",
    "model.layers.0.self_attn.q_norm.weight",
    "model.layers.0.self_attn.rotary_emb.inv_freq",
    "talk_head.0.0.weight",
    "start_embedding",
    "thinking_gate.fc1.weight",
    "gate.weight",
    "gate.bias",
    "extra",
)
KEYS: dict[str, tuple[Any, ...]] = {
    "attention_bias": (True, False),
    "attention_multiplier": (0.5,),
    "attn_logit_softcapping": (20.0,),
    "compression_config": ({"quant_method": "compressed-tensors"},),
    "dtype": ("float16", "float7", None),
    "embedding_multiplier": (2.0,),
    "final_logit_softcapping": (10.0, None),
    "head_dim": (4, 8, None),
    "hidden_act": ("gelu", "nonsense"),
    "layer_types": (
        ["full_attention"] * 2,
        ["sliding_attention"] * 2,
        ["full_attention"],
        ["x", "y"],
    ),
    "logit_scale": (0.5,),
    "logits_scaling": (2.0,),
    "max_thoughts": (13, 3, "x"),
    "mlp_bias": (True,),
    "model_type": ("llama", "mistral", "qwen2", "nonsense", 5),
    "num_key_value_heads": (1, 4, 3),
    "pad_token_id": (0, 600, -1),
    "partial_rotary_factor": (0.5,),
    "query_pre_attn_scalar": (8,),
    "quantization_config": (
        {"quant_method": "fp8"},
        {"quant_method": "gptq", "bits": 4},
        {},
        "int8",
    ),
    "residual_multiplier": (0.5,),
    "rms_norm_eps": (0.1,),
    "rope_parameters": (
        {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0},
        {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0},
        {"rope_type": "nonsense", "rope_theta": 10000.0},
        {"rope_type": "default", "rope_theta": 100.0},
        {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
        {"rope_type": "linear"},
        None,
    ),
    "rope_scaling": (
        {"type": "linear", "factor": 2.0},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
        {"type": "su", "short_factor": [1.0, 2.0], "long_factor": [1.0, 3.0]},
        {"factor": 2.0},
        "linear",
    ),
    "rope_theta": (500.0, "x"),
    "scale_attn_by_inverse_layer_idx": (True,),
    "scale_attn_weights": (False,),
    "scale_embeddings": (True,),
    "sliding_window": (3, 0, None, "x"),
    "thinking": (
        {"where": "everywhere"},
        {"where": "gate"},
        {"where": "behind", "tokens": [79]},
        {"where": "behind", "tokens": ["no such token"]},
        {"where": "behind", "tokens": "<s>"},
        {"where": "nowhere"},
        "gate",
    ),
    "tie_word_embeddings": (True, False),
    "use_qk_norm": (True,),
    "use_sliding_window": (True, False),
}
REPLACEMENTS: tuple[Any, ...] = (
    0,
    1,
    2,
    -1,
    7,
    0.5,
    1e30,
    True,
    False,
    None,
    "x",
    [],
    [1],
    {},
    {"a": 1},
)


def mutate(directory: Path, random: Random) -> str:
    """Change one thing in the directory, and say what."""
    files = sorted(directory.rglob("*.safetensors"))
    configs = sorted(path for path in directory.rglob("*.json") if path.name in CONFIG_NAMES)
    if random.random() < 0.5:
        return _mutate_tensors(random.choice(files), random)
    return _mutate_json(random.choice(configs), random)


CONFIG_NAMES = frozenset({"config.json", "adapter_config.json", "quiet_star.json"})


def _mutate_tensors(path: Path, random: Random) -> str:
    if random.random() < 0.1:
        return _cut(path, random)
    tensors = load_file(path)
    name = random.choice(sorted(tensors))
    change = random.choice(_TENSOR_CHANGES)
    what = change(tensors, name, random)
    save_file(
        {key: tensor.contiguous().clone() for key, tensor in tensors.items()},
        path,
        metadata={"format": "pt"},
    )
    return f"{path.name}: {what}"


def _cut(path: Path, random: Random) -> str:
    content = path.read_bytes()
    end = random.randrange(len(content))
    if random.random() < 0.7:
        path.write_bytes(content[:end])
        return f"{path.name}: cut after {end} of {len(content)} bytes"
    header = random.randrange(min(len(content), 400))
    path.write_bytes(content[:header] + bytes([content[header] ^ 0x15]) + content[header + 1 :])
    return f"{path.name}: byte {header} changed"


def _drop(tensors: dict[str, Tensor], name: str, random: Random) -> str:
    del random, tensors[name]
    return f"{name} dropped"


def _add(tensors: dict[str, Tensor], name: str, random: Random) -> str:
    new = random.choice(
        [*ADDED_NAMES, *(name.removesuffix(".weight") + suffix for suffix in ADDED_SUFFIXES)]
    )
    if new in tensors:
        return f"{new} kept"
    shape = random.choice([tensors[name].shape, tensors[name].shape[:1], (1,)])
    tensors[new] = torch.randn(shape)
    return f"{new} of shape {list(shape)} added"


def _rename(tensors: dict[str, Tensor], name: str, random: Random) -> str:
    new = random.choice(
        [
            f"_lm_model.{name}",
            f"module.{name}",
            name.removeprefix("model."),
            name.replace("q_proj", "k_proj"),
            name.replace(".0.", ".1."),
            name.replace("weight", "bias"),
            name.replace("layers.1", "layers.2"),
            name + "_",
        ]
    )
    tensors[new] = tensors.pop(name)
    return f"{name} renamed to {new}"


def _transpose(tensors: dict[str, Tensor], name: str, random: Random) -> str:
    del random
    tensors[name] = tensors[name].T
    return f"{name} transposed"


def _reshape(tensors: dict[str, Tensor], name: str, random: Random) -> str:
    shape = random.choice([(-1,), (1, -1), (-1, 1), (-1, 2), (2, -1)])
    tensors[name] = tensors[name].reshape(shape)
    return f"{name} reshaped to {shape}"


def _retype(tensors: dict[str, Tensor], name: str, random: Random) -> str:
    dtype = random.choice(DTYPES)
    tensors[name] = (tensors[name] * (1 if dtype.is_floating_point else 20)).to(dtype)
    return f"{name} stored as {dtype}"


def _cut_rows(tensors: dict[str, Tensor], name: str, random: Random) -> str:
    rows = random.randrange(tensors[name].shape[0]) if tensors[name].dim() else 0
    tensors[name] = tensors[name][:rows] if tensors[name].dim() else tensors[name]
    return f"{name} cut to {rows} rows"


def _poison(tensors: dict[str, Tensor], name: str, random: Random) -> str:
    value = random.choice([float("nan"), float("inf"), 1e20])
    if tensors[name].is_floating_point() and tensors[name].numel():
        tensors[name].view(-1)[random.randrange(tensors[name].numel())] = value
    return f"{name} holds {value}"


def _swap(tensors: dict[str, Tensor], name: str, random: Random) -> str:
    others = [n for n in tensors if n != name and tensors[n].shape == tensors[name].shape]
    other = random.choice(sorted(others) or [name])
    tensors[name], tensors[other] = tensors[other], tensors[name]
    return f"{name} and {other} swapped"


_TENSOR_CHANGES: tuple[Callable[[dict[str, Tensor], str, Random], str], ...] = (
    _drop,
    _add,
    _add,
    _rename,
    _rename,
    _transpose,
    _reshape,
    _retype,
    _retype,
    _cut_rows,
    _poison,
    _swap,
)


def _mutate_json(path: Path, random: Random) -> str:
    content = json.loads(path.read_text(encoding="utf-8"))
    key = random.choice(sorted(content))
    way = random.choice(["drop", "replace", "known", "known", "misspell", "number", "cut"])
    if way == "drop":
        del content[key]
        what = f"{key} dropped"
    elif way == "replace":
        content[key] = random.choice(REPLACEMENTS)
        what = f"{key} = {content[key]!r}"
    elif way == "known":
        key = random.choice(sorted(KEYS))
        content[key] = random.choice(KEYS[key])
        what = f"{key} = {content[key]!r}"
    elif way == "misspell":
        content[f"{key}s"] = content.pop(key)
        what = f"{key} renamed to {key}s"
    elif way == "number":
        numbers = sorted(k for k, v in content.items() if type(v) in (int, float))
        key = random.choice(numbers or [key])
        content[key] = _other_number(content[key], random)
        what = f"{key} = {content[key]!r}"
    else:
        text = path.read_text(encoding="utf-8")
        end = random.randrange(len(text))
        path.write_text(text[:end], encoding="utf-8")
        return f"{path.name}: cut after {end} characters"
    path.write_text(json.dumps(content), encoding="utf-8")
    return f"{path.name}: {what}"


def _other_number(value: Any, random: Random) -> Any:
    if type(value) not in (int, float):
        return value
    return random.choice(
        [value * 2, value + 1, value - 1, -value, value / 2, str(value), value * 10**9]
    )
