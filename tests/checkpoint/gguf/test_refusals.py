"""What a GGUF file says and the model does not compute is refused by name."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from qstar_infer.checkpoint import load_model
from qstar_infer.checkpoint.gguf.facts import read_gguf_facts
from qstar_infer.errors import CheckpointError
from tests.checkpoint.gguf.toys import write_toy
from tests.checkpoint.gguf.vocabularies import byte_level_vocabulary, sentencepiece_vocabulary

_FACTORS = np.array([1, 2, 4, 8], dtype=np.float32)
_ONE = np.ones(1, dtype=np.float32)
_SQUARE = np.ones((32, 32), dtype=np.float32)


def _key(name: str, value: Any, architecture: str = "llama") -> dict[str, Any]:
    return {"architecture": architecture, "keys": {name: value}}


def _tokenizer(**keys: Any) -> dict[str, Any]:
    return {"vocabulary": byte_level_vocabulary(**keys)}


KEYS = {
    "llama.some_new_thing": _key("some_new_thing", 3),
    "llama.attention.causal": _key("attention.causal", False),
    "llama.attention.clamp_kqv": _key("attention.clamp_kqv", 0.1),
    "llama.attention.max_alibi_bias": _key("attention.max_alibi_bias", 8.0),
    "llama.attention.sliding_window": _key("attention.sliding_window", 8),
    "olmo2.attention.sliding_window": _key("attention.sliding_window", 8, "olmo2"),
    "llama.attention.scale": _key("attention.scale", 0.1),
    "llama.logit_scale": _key("logit_scale", 0.1),
    "llama.embedding_scale": _key("embedding_scale", 12.0),
    "llama.residual_scale": _key("residual_scale", 0.2),
    "llama.attn_logit_softcapping": _key("attn_logit_softcapping", 50.0),
    "llama.final_logit_softcapping": _key("final_logit_softcapping", 30.0),
    "final_logit_softcapping = 30.0": _key("final_logit_softcapping", 30.0, "gemma3"),
    "llama.expert_count": _key("expert_count", 8),
    "llama.rope.scaling.yarn_beta_fast": _key("rope.scaling.yarn_beta_fast", 16.0),
    "llama.rope.scaling.type .* 'dynamic'": _key("rope.scaling.type", "dynamic"),
    "llama.rope.scaling.type .* 'longrope'": _key("rope.scaling.type", "longrope"),
    "rope.scaling.attn_factor = 1.5": _key("rope.scaling.attn_factor", 1.5),
    "a factor of -2.0": _key("rope.scaling.factor", -2.0),
    "llama.rope.freq_base .* 0.0": _key("rope.freq_base", 0.0),
    "llama.rope.freq_base .* nan": _key("rope.freq_base", float("nan")),
    "llama.rope.dimension_count .* 4": _key("rope.dimension_count", 4),
    "llama.rope.dimension_sections": _key("rope.dimension_sections", [2, 1, 1, 0]),
    "llama.attention.key_length .* 0": _key("attention.key_length", 0),
    "llama.attention.value_length .* 16": _key("attention.value_length", 16),
    "llama.attention.head_count .* \\[4, 2\\]": _key("attention.head_count", [4, 2]),
    "llama.attention.head_count_kv .* 0": _key("attention.head_count_kv", 0),
    "llama.context_length .* 256.0": _key("context_length", 256.0),
    "llama.block_count .* 1000000": _key("block_count", 1_000_000),
    "llama.vocab_size .* 7": _key("vocab_size", 7),
    "general.type .* 'model'": _key("general.type", "adapter"),
    "llama.attention.layer_norm_rms_epsilon": {"without": ("attention.layer_norm_rms_epsilon",)},
    "llama.embedding_length": {"without": ("embedding_length",)},
    "architecture 'mamba'": _key("general.architecture", "mamba"),
    "tokenizer.ggml.model .* 't5'": _tokenizer(model="t5"),
    "tokenizer.ggml.pre .* 'tekken'": _tokenizer(pre="tekken"),
    "tokenizer.ggml.precompiled_charsmap": _tokenizer(precompiled_charsmap=[1, 2]),
    "tokenizer.ggml.remove_extra_whitespaces": _tokenizer(remove_extra_whitespaces=True),
    "tokenizer.ggml.suppress_tokens": _tokenizer(suppress_tokens=[3]),
    "tokenizer.ggml.some_new_thing": _tokenizer(some_new_thing=1),
    "tokenizer.ggml.eos_token_id .* 9999": _tokenizer(eos_token_id=9999),
    "tokenizer.ggml.bos_token_id": _tokenizer(pre="llama-bpe", bos_token_id=None),
    "tokenizer.ggml.token_type .* 2 values": _tokenizer(token_type=[1, 2]),
    "tokenizer.ggml.merges .* 'a b c'": _tokenizer(merges=["a b c"]),
    "tokenizer.ggml.tokens .* twice": _tokenizer(tokens=["a", "a"], token_type=[1, 1]),
    "tokenizer.ggml.scores": {"vocabulary": sentencepiece_vocabulary(scores=None)},
}
"""Part of the message -> the file."""

TENSORS = {
    "lacks 1 tensor \\(token_embd.weight\\)": {"without": ("token_embd",)},
    "lacks 1 tensor \\(output_norm.weight\\)": {"without": ("output_norm",)},
    "lacks 9 tensors \\(blk.1.attn_k.weight": {"without": ("blk.1.",)},
    "lacks 1 tensor \\(output.weight\\)": {"architecture": "olmo2", "tied": True},
    "blk.0.attn_output.bias": {"biases": ("attn_q", "attn_k", "attn_v")},
    "blk.1.attn_output.bias": {"architecture": "qwen2", "biases": ("attn_output",)},
    "1 tensor \\(blk.0.attn_new.weight\\)": {"tensors": {"blk.0.attn_new.weight": _SQUARE}},
    "1 tensor \\(blk.2.attn_q.weight\\)": {"tensors": {"blk.2.attn_q.weight": _SQUARE}},
    "1 tensor \\(blk.0.attn_q.scale\\)": {"tensors": {"blk.0.attn_q.scale": _ONE}},
    "1 tensor \\(output.bias\\)": {
        "architecture": "qwen2",
        "tensors": {"output.bias": np.ones(313, dtype=np.float32)},
    },
    "blk.0.attn_q.weight .* \\[32, 31\\]": {
        "tensors": {"blk.0.attn_q.weight": _SQUARE[:, :31].copy()}
    },
    "1 tensor \\(rope_freqs.weight\\)": {
        "architecture": "qwen2",
        "tensors": {"rope_freqs.weight": _FACTORS},
    },
    "rope_freqs.weight .* \\[3\\]": {"tensors": {"rope_freqs.weight": _FACTORS[:3].copy()}},
    "rope_freqs.weight .* not above 0": {"tensors": {"rope_freqs.weight": _FACTORS - 1}},
    "'yarn' in a file": {
        "tensors": {"rope_freqs.weight": _FACTORS},
        "keys": {"rope.scaling.type": "yarn", "rope.scaling.factor": 2.0},
    },
    "lacks 1 tensor \\(rope_factors_short.weight\\)": {
        "architecture": "phi3",
        "tensors": {"rope_factors_long.weight": _FACTORS},
    },
    "rope type 'longrope'": {
        "architecture": "phi3",
        "tensors": {
            "rope_factors_short.weight": _FACTORS,
            "rope_factors_long.weight": 2 * _FACTORS,
        },
        "keys": {"rope.scaling.original_context_length": 64},
    },
}
"""Part of the message -> the file."""


@pytest.mark.parametrize(("message", "toy"), (KEYS | TENSORS).items())
def test_refused_by_name(message: str, toy: dict[str, Any], tmp_path: Path) -> None:
    path = write_toy(tmp_path / "toy.gguf", **toy)
    with pytest.raises(CheckpointError, match=message) as raised:
        load_model(path, dtype="float32", device="cpu")
    assert "\n" not in str(raised.value)
    assert read_gguf_facts(path).refusal == str(raised.value)


def test_integer_weights(tmp_path: Path) -> None:
    path = write_toy(
        tmp_path / "toy.gguf", tensors={"blk.0.attn_q.weight": _SQUARE.astype(np.int8)}
    )
    with pytest.raises(CheckpointError, match=r"blk\.0\.attn_q\.weight .* type I8"):
        load_model(path)


@pytest.mark.parametrize("by_name", [False, True])
def test_a_shard(by_name: bool, tmp_path: Path) -> None:
    name = "toy-00001-of-00003.gguf" if by_name else "toy.gguf"
    keys = {} if by_name else {"split.count": 3, "split.no": 0}
    path = write_toy(tmp_path / name, keys=keys, without=("blk.1.",))
    with pytest.raises(CheckpointError, match="one of 3 shards .*llama-gguf-split --merge"):
        load_model(path)
    with pytest.raises(CheckpointError, match="one of 3 shards"):
        read_gguf_facts(path)


def test_a_file_that_was_split_and_joined(tmp_path: Path) -> None:
    path = write_toy(tmp_path / "toy-00001-of-00001.gguf", keys={"split.count": 0})
    assert not load_model(path).can_think


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_hole_in_the_weights(share: float, tmp_path: Path) -> None:
    """A download that was given its full size first leaves zeros where it stopped."""
    path = write_toy(tmp_path / "toy.gguf", hidden=1024, keys={"attention.key_length": 8})
    content = bytearray(path.read_bytes())
    tensor = next(t for t in gguf.GGUFReader(path).tensors if t.name == "blk.1.ffn_up.weight")
    start = int(tensor.data_offset)
    content[start : start + int(share * tensor.n_bytes)] = bytes(int(share * tensor.n_bytes))
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"blk\.1\.ffn_up\.weight .* zero bytes"):
        load_model(path)
