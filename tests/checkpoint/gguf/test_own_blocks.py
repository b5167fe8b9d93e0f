"""`int4-cpu` keeps the 4-bit blocks of a GGUF file: the weights are the file's, in bfloat16."""

from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from qstar_infer.checkpoint import load_model
from qstar_infer.kernels.quantised_linear import QuantisedLinear
from tests.checkpoint.gguf.toys import HEAD_DIM, HEADS, LAYERS, noise, write_toy

WIDTH = 64
KEYS = {
    "attention.key_length": HEAD_DIM,
    "attention.value_length": HEAD_DIM,
    "feed_forward_length": WIDTH,
}
QUANTISED = ("blk.0.attn_q.weight", "blk.0.ffn_gate.weight", "blk.1.attn_output.weight")
"""The rows of the first are in another order in the file."""


def write(path: Path, kind: GGMLQuantizationType) -> Path:
    """A toy of the Llama family with three quantised layers."""
    tensors: dict[str, NDArray[Any]] = {
        f"blk.{layer}.ffn_{part}.weight": noise((WIDTH, WIDTH), seed=layer, scale=0.3)
        for layer in range(LAYERS)
        for part in ("gate", "up", "down")
    }
    sizes = ((HEADS * HEAD_DIM, WIDTH), (WIDTH, WIDTH), (WIDTH, HEADS * HEAD_DIM))
    for seed, (name, size) in enumerate(zip(QUANTISED, sizes, strict=True)):
        tensors[name] = gguf.quantize(noise(size, seed=seed, scale=0.3), kind)
    types = dict.fromkeys(QUANTISED, kind)
    return write_toy(path, hidden=WIDTH, keys=KEYS, tensors=tensors, types=types)


def weight_of(layer: torch.nn.Module) -> torch.Tensor:
    if isinstance(layer, QuantisedLinear):
        transposed: torch.Tensor = layer(torch.eye(layer.in_features))
        return transposed.T
    assert isinstance(layer, torch.nn.Linear)
    return layer.weight.detach()


@pytest.mark.parametrize("kind", [GGMLQuantizationType.Q4_0, GGMLQuantizationType.Q4_1])
def test_no_level_is_rounded_again(kind: GGMLQuantizationType, tmp_path: Path) -> None:
    path = write(tmp_path / "toy.gguf", kind)
    exact = load_model(path, dtype="float32", device="cpu").backbone
    kept = load_model(path, dtype="float32", device="cpu", quantization="int4-cpu").backbone
    for place in ("0.self_attn.q_proj", "0.mlp.gate_proj", "1.self_attn.o_proj"):
        got = kept.get_submodule(f"model.layers.{place}")
        assert isinstance(got, QuantisedLinear)
        want = weight_of(exact.get_submodule(f"model.layers.{place}"))
        # Scale, zero, weight and product are each rounded to bfloat16, all of numbers up to 8
        # scales; a level off by one would be a whole scale, about 0.04.
        bound = 4 * 2.0**-9 * float(want.abs().max())
        assert float((weight_of(got) - want).abs().max()) <= bound
    assert type(kept.lm_head) is torch.nn.Linear


def test_other_types_are_rounded_again(tmp_path: Path) -> None:
    path = write(tmp_path / "toy.gguf", GGMLQuantizationType.Q8_0)
    kept = load_model(path, dtype="float32", device="cpu", quantization="int4-cpu").backbone
    exact = load_model(path, dtype="float32", device="cpu").backbone
    got = weight_of(kept.get_submodule("model.layers.0.mlp.gate_proj"))
    want = weight_of(exact.get_submodule("model.layers.0.mlp.gate_proj"))
    assert 0.02 < float((got - want).norm() / want.norm()) < 0.2
