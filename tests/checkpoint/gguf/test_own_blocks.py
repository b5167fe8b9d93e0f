"""`int4-cpu` keeps the 4-bit blocks of a GGUF file: the weights are the file's, in bfloat16."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from qstar_infer.checkpoint import load_model
from qstar_infer.kernels.quantised_linear import QuantisedLinear
from tests.checkpoint.gguf.toys import HEAD_DIM, noise, write_toy

WIDTH = 64
HEADS = {"attention.key_length": HEAD_DIM, "attention.value_length": HEAD_DIM}
NAMES = {
    "q_proj": "blk.0.attn_q.weight",  # its rows are in another order in the file
    "gate_proj": "blk.0.ffn_gate.weight",
    "o_proj": "blk.1.attn_output.weight",
}


def write(path: Path, kind: GGMLQuantizationType) -> Path:
    """A toy of the Llama family with three quantised layers."""
    plain = write_toy(path.with_suffix(".plain"), hidden=WIDTH, keys=HEADS)
    shapes = {each.name: each.data.shape for each in gguf.GGUFReader(plain).tensors}
    blocks: dict[str, NDArray[np.uint8]] = {
        name: gguf.quantize(noise(tuple(shapes[name]), seed=seed, scale=0.3), kind)
        for seed, name in enumerate(NAMES.values())
    }
    types = dict.fromkeys(blocks, kind)
    return write_toy(path, hidden=WIDTH, keys=HEADS, tensors=blocks, types=types)


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
        # Scale, zero and weight are each rounded to bfloat16, of numbers up to 8 scales; a level
        # off by one would be a whole scale, about 0.07.
        bound = 3 * 2.0**-9 * float(want.abs().max())
        assert float((weight_of(got) - want).abs().max()) <= bound
    assert type(kept.lm_head) is torch.nn.Linear


def test_other_types_are_rounded_again(tmp_path: Path) -> None:
    path = write(tmp_path / "toy.gguf", GGMLQuantizationType.Q8_0)
    kept = load_model(path, dtype="float32", device="cpu", quantization="int4-cpu").backbone
    exact = load_model(path, dtype="float32", device="cpu").backbone
    got = weight_of(kept.get_submodule("model.layers.0.mlp.gate_proj"))
    want = weight_of(exact.get_submodule("model.layers.0.mlp.gate_proj"))
    assert 0.02 < float((got - want).norm() / want.norm()) < 0.2
