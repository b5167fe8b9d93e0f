"""A small checkpoint for each cell of the table in docs/loading.md: format x feature."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from peft import IA3Config, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from ..fuzz.gguf_files import HIDDEN, VOCAB, Content, make_content, write
from ..fuzz.seeds import Maker, adapter, native, plain, published

FORMATS: dict[str, Callable[[str, dict[str, Any]], Maker]] = {
    "plain": lambda model_type, settings: plain(model_type, **settings),
    "native": lambda model_type, settings: native(model_type, **settings),
    "published": lambda _, settings: published(**settings),
    "adapter": lambda model_type, settings: adapter(
        {"model_type": model_type, **settings}, target_modules=["q_proj"]
    ),
}
"""The formats of directories. GGUF files have a maker of their own."""

GgufChange = Callable[[Content], object]
TensorChange = Callable[[dict[str, Tensor]], object]


@dataclass(frozen=True, kw_only=True)
class Feature:
    """How a checkpoint with this feature differs from the small valid one of its format."""

    model_type: str = "llama"
    """Of the backbone; that of a published checkpoint is a Mistral."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the backbone's config class."""
    keys: dict[str, Any] = field(default_factory=dict)
    """Written into config.json afterwards; the value `...` removes the key."""
    tensors: TensorChange | None = None
    """Changes the tensors of the backbone."""
    files: Callable[[Path], None] | None = None
    """Changes the files of the backbone's directory."""
    gguf: GgufChange | None = None
    adapter: Maker | None = None
    """A feature of the adapter itself; other formats have no such thing."""

    def exists_in(self, format_name: str) -> bool:
        if self.adapter is not None:
            return format_name == "adapter"
        if format_name == "GGUF":
            return self.gguf is not None or self == Feature()
        return self == Feature() or self != Feature(gguf=self.gguf)


def make_directory(feature: Feature, format_name: str, directory: Path) -> None:
    if feature.adapter is not None:
        feature.adapter(directory)
        return
    FORMATS[format_name](feature.model_type, feature.settings)(directory)
    backbone = directory / "base" if format_name == "adapter" else directory
    if feature.keys:
        path = backbone / "config.json"
        content = json.loads(path.read_text(encoding="utf-8")) | feature.keys
        kept = {key: value for key, value in content.items() if value is not ...}
        path.write_text(json.dumps(kept), encoding="utf-8")
    if feature.tensors is not None:
        tensors = load_file(backbone / "model.safetensors")
        feature.tensors(tensors)
        save_file(tensors, backbone / "model.safetensors", metadata={"format": "pt"})
    if feature.files is not None:
        feature.files(backbone)


def make_gguf(feature: Feature, path: Path) -> Content:
    content = make_content()
    if feature.gguf is not None:
        feature.gguf(content)
    write(content, path)
    return content


DOWN = "model.layers.0.mlp.down_proj.weight"
GGUF_DOWN = "blk.0.ffn_down.weight"


def _add_tensors(**added: Tensor) -> TensorChange:
    return lambda tensors: tensors.update(added)


def _store_as_int8(tensors: dict[str, Tensor]) -> None:
    scale = tensors[DOWN].abs().amax(1, keepdim=True) / 127
    tensors[DOWN] = (tensors[DOWN] / scale).round().to(torch.int8)
    tensors[f"{DOWN}_scale"] = scale


def _store_as_f16(tensors: dict[str, Tensor]) -> None:
    tensors[DOWN] = tensors[DOWN].half()


def _untie(tensors: dict[str, Tensor]) -> None:
    tensors["lm_head.weight"] = torch.randn_like(tensors["model.embed_tokens.weight"])


def _poison(tensors: dict[str, Tensor]) -> None:
    tensors[DOWN][0, 0] = float("nan")


def _transpose(tensors: dict[str, Tensor]) -> None:
    tensors[DOWN] = tensors[DOWN].T.contiguous()


def _cut_file(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _pickle_weights(directory: Path) -> None:
    torch.save(load_file(directory / "model.safetensors"), directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()


def _drop_a_shard(directory: Path) -> None:
    tensors = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    shard = "model-00001-of-00002.safetensors"
    weight_map = dict.fromkeys(tensors, shard) | {DOWN: "model-00002-of-00002.safetensors"}
    index = {"metadata": {}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    del tensors[DOWN]
    save_file(tensors, directory / shard, metadata={"format": "pt"})


def _add_tokens(directory: Path) -> None:
    path = directory / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    taken = {token["id"] for token in content["added_tokens"]}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    content["added_tokens"] += [
        {"id": number, "content": f"<unused{number}>", "special": True, **flags}
        for number in range(500, VOCAB + 1)
        if number not in taken
    ]
    path.write_text(json.dumps(content), encoding="utf-8")


def _gguf_key(**keys: Any) -> GgufChange:
    named = {key.replace("__", "."): value for key, value in keys.items()}
    return lambda content: content.keys.update(named)


def _gguf_tensor(name: str, array: Any) -> GgufChange:
    return lambda content: content.tensors.update({name: array})


def _gguf_drop(name: str) -> GgufChange:
    return lambda content: content.tensors.pop(name)


def _gguf_type(kind: Any) -> GgufChange:
    def change(content: Content) -> None:
        width = 256
        content.keys["llama.feed_forward_length"] = width
        for layer in range(2):
            for part in ("gate", "up"):
                content.tensors[f"blk.{layer}.ffn_{part}.weight"] = _wide(width, HIDDEN)
            name = f"blk.{layer}.ffn_down.weight"
            content.tensors[name] = _wide(HIDDEN, width)
            content.types[name] = kind

    return change


def _wide(rows: int, columns: int) -> Any:
    return (np.random.default_rng(3).standard_normal((rows, columns)) * 0.2).astype(np.float32)


def _gguf_poison(content: Content) -> None:
    content.tensors[GGUF_DOWN][0, 0] = np.nan


def _gguf_cut(content: Content) -> None:
    content.cut = 0.9


def _ia3(directory: Path) -> None:
    plain("llama")(directory / "base")
    base = AutoModelForCausalLM.from_pretrained(directory / "base")
    config = IA3Config(
        target_modules=["k_proj", "down_proj"],
        feedforward_modules=["down_proj"],
        task_type="CAUSAL_LM",
    )
    wrapped = get_peft_model(base, config)
    wrapped.peft_config["default"].base_model_name_or_path = "base"
    wrapped.save_pretrained(str(directory))


def _rope(kind: str, **more: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **more}}


LLAMA3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}

FEATURES: dict[str, Feature] = {
    "complete and unchanged": Feature(),
    "a tensor is missing": Feature(
        tensors=lambda tensors: tensors.pop(DOWN), gguf=_gguf_drop(GGUF_DOWN)
    ),
    "a tensor has the wrong shape": Feature(
        tensors=_transpose, gguf=_gguf_tensor(GGUF_DOWN, _wide(24, HIDDEN))
    ),
    "a tensor that the model does not use": Feature(
        tensors=_add_tensors(**{"model.layers.0.mlp.down_proj.bias": torch.ones(HIDDEN)}),
        gguf=_gguf_tensor("blk.0.ffn_down.bias", np.ones(HIDDEN, dtype=np.float32)),
    ),
    "a weight is NaN": Feature(tensors=_poison, gguf=_gguf_poison),
    "a file is cut off": Feature(files=_cut_file, gguf=_gguf_cut),
    "a shard is missing": Feature(files=_drop_a_shard, gguf=_gguf_key(split__count=2, split__no=0)),
    "weights in float16": Feature(
        tensors=_store_as_f16,
        gguf=lambda content: content.tensors.update(
            {GGUF_DOWN: content.tensors[GGUF_DOWN].astype(np.float16)}
        ),
    ),
    "8-bit weights with scales, by another tool": Feature(tensors=_store_as_int8),
    "GGUF type Q8_0": Feature(gguf=_gguf_type(gguf.GGMLQuantizationType.Q8_0)),
    "GGUF type Q4_0": Feature(gguf=_gguf_type(gguf.GGMLQuantizationType.Q4_0)),
    "`quantization_config` of another method": Feature(
        keys={"quantization_config": {"quant_method": "gptq", "bits": 4}}
    ),
    "pickled weights": Feature(files=_pickle_weights),
    "code (`auto_map`)": Feature(keys={"auto_map": {"AutoModelForCausalLM": "model.Model"}}),
    "tied embeddings": Feature(
        settings={"tie_word_embeddings": True}, gguf=_gguf_drop("output.weight")
    ),
    "tied embeddings, and another output embedding": Feature(
        settings={"tie_word_embeddings": True}, tensors=_untie
    ),
    "sliding window": Feature(
        model_type="mistral",
        settings={"sliding_window": 5},
        gguf=_gguf_key(llama__attention__sliding_window=5),
    ),
    "rope scaling: linear": Feature(
        settings=_rope("linear", factor=2.0),
        gguf=_gguf_key(llama__rope__scaling__type="linear", llama__rope__scaling__factor=2.0),
    ),
    "rope scaling: llama3 (GGUF: `rope_freqs.weight`)": Feature(
        settings=_rope("llama3", **LLAMA3),
        gguf=_gguf_tensor("rope_freqs.weight", np.array([1, 8], dtype=np.float32)),
    ),
    "rope scaling: yarn": Feature(
        settings=_rope("yarn", factor=4.0, original_max_position_embeddings=32),
        gguf=_gguf_key(
            llama__rope__scaling__type="yarn",
            llama__rope__scaling__factor=4.0,
            llama__rope__scaling__original_context_length=32,
        ),
    ),
    "rope scaling: dynamic": Feature(settings=_rope("dynamic", factor=2.0)),
    "rope scaling: longrope, one set of factors": Feature(
        settings=_rope(
            "longrope",
            short_factor=[1.0, 4.0],
            long_factor=[1.0, 4.0],
            factor=1.0,
            original_max_position_embeddings=128,
        )
    ),
    "rope scaling: longrope, two sets": Feature(
        settings=_rope(
            "longrope",
            short_factor=[1.0, 1.0],
            long_factor=[1.0, 4.0],
            factor=4.0,
            original_max_position_embeddings=32,
        )
    ),
    "rope scaling: unknown": Feature(
        keys=_rope("nonsense"), gguf=_gguf_key(llama__rope__scaling__type="nonsense")
    ),
    "soft cap of the logits": Feature(
        keys={"final_logit_softcapping": 5.0}, gguf=_gguf_key(llama__final_logit_softcapping=5.0)
    ),
    "scale of the logits": Feature(
        keys={"logit_scale": 0.5}, gguf=_gguf_key(llama__logit_scale=0.5)
    ),
    "a key about numbers that the model does not know": Feature(
        keys={"attention_multiplier": 0.5}, gguf=_gguf_key(llama__attention__scale=0.5)
    ),
    "added tokens without an embedding": Feature(files=_add_tokens),
    "LoRA of one of two tied embeddings": Feature(
        adapter=adapter({"tie_word_embeddings": True}, target_modules=["embed_tokens"])
    ),
    "DoRA, rank and alpha patterns": Feature(
        adapter=adapter(
            target_modules=["q_proj", "down_proj"],
            use_dora=True,
            rank_pattern={"q_proj": 3},
            alpha_pattern={"down_proj": 5},
        )
    ),
    "rsLoRA, with biases": Feature(
        adapter=adapter(
            {"attention_bias": True}, target_modules=["q_proj"], use_rslora=True, bias="all"
        )
    ),
    "`modules_to_save`": Feature(
        adapter=adapter(target_modules=["q_proj"], modules_to_save=["lm_head", "embed_tokens"])
    ),
    "another adapter than LoRA": Feature(adapter=_ia3),
}
