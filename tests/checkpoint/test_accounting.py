"""Every tensor of safetensors files is used, or its absence changes nothing, or loading is refused.

What is loaded computes what transformers computes from the same files.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from qstar_infer.checkpoint import load_model
from qstar_infer.checkpoint.backbone import account_for
from qstar_infer.checkpoint.inventory import judge
from qstar_infer.errors import CheckpointError

from .stock import check_equals_transformers

ToyMaker = Callable[..., Path]
JsonEditor = Callable[..., None]
TensorEditor = Callable[[Path, Callable[[dict[str, Tensor]], object]], None]

_Q = "model.layers.1.self_attn.q_proj.weight"
_EMBEDDING = "model.embed_tokens.weight"


def _judge_without_loading(directory: Path) -> None:
    for inventory in account_for(directory):
        judge(inventory)


def _refused(directory: Path, message: str) -> None:
    """Loading and accounting without loading give the same one line."""
    with pytest.raises(CheckpointError, match=message) as loading:
        load_model(directory, device="cpu")
    with pytest.raises(CheckpointError) as accounting:
        _judge_without_loading(directory)
    assert str(accounting.value) == str(loading.value)
    assert "\n" not in str(loading.value)


@pytest.fixture
def edit_weights(make_plain: ToyMaker, edit_tensors: TensorEditor) -> Callable[..., Path]:
    """A plain toy with changed weights: `edit_weights(change, "llama", hidden_size=16)`."""

    def make(change: Callable[[dict[str, Tensor]], object], *args: Any, **settings: Any) -> Path:
        directory = make_plain(*args, **{"initializer_range": 0.2} | settings)
        edit_tensors(directory / "model.safetensors", change)
        return directory

    return make


@pytest.mark.parametrize(
    "name", ["model.layers.2.mlp.up_proj.weight", "model.layers.0.self_attn.q_proj.bias", "other"]
)
def test_tensor_that_the_model_does_not_use(edit_weights: Callable[..., Path], name: str) -> None:
    """It used to be a warning, and the numbers were wrong."""
    directory = edit_weights(lambda tensors: tensors.update({name: torch.ones(3)}))
    _refused(directory, rf"holds 1 tensor \({name}\) that the model does not use")


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2", "int8"])
@pytest.mark.parametrize("suffix", ["_scale", "_scale_inv", "_scales"])
def test_scaled_weights(edit_weights: Callable[..., Path], kind: str, suffix: str) -> None:
    """They used to load as if unscaled: log-probabilities were off by 6.7."""
    dtype = getattr(torch, kind)

    def scale(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if "proj" in name]:
            factor = tensors[name].abs().amax(1, keepdim=True) / 100
            tensors[name + suffix] = factor
            tensors[name] = (tensors[name] / factor).to(dtype)

    directory = edit_weights(scale)
    _refused(directory, rf"proj\.weight{suffix}.* scaled 8-bit .*unquantised checkpoint")


@pytest.mark.parametrize(
    "dtype",
    ["float8_e4m3fn", "float8_e5m2", "int8", "uint8", "int16", "int32", "int64", "bool"],
)
def test_weights_of_a_dtype_that_needs_scales(
    edit_weights: Callable[..., Path], dtype: str
) -> None:
    kind = getattr(torch, dtype)
    directory = edit_weights(lambda tensors: tensors.update({_Q: tensors[_Q].to(kind)}))
    _refused(directory, rf"{_Q} in .* is stored as \w+, which is no format of unquantised weights")


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_weights_of_another_floating_dtype(edit_weights: Callable[..., Path], dtype: str) -> None:
    kind = getattr(torch, dtype)
    directory = edit_weights(lambda tensors: tensors.update({_Q: tensors[_Q].to(kind)}))
    check_equals_transformers(directory)


@pytest.mark.parametrize("names", [["qweight", "qzeros", "scales", "g_idx"]])
def test_packed_weights(edit_weights: Callable[..., Path], names: list[str]) -> None:
    def pack(tensors: dict[str, Tensor]) -> None:
        stem = _Q.removesuffix("weight")
        del tensors[_Q]
        tensors.update({stem + name: torch.ones(4, 4, dtype=torch.int32) for name in names})

    _refused(edit_weights(pack), r"self_attn\.g_idx|q_proj\.g_idx.* scaled 8-bit or 4-bit weights")


def test_tied_embeddings_stored_once(make_plain: ToyMaker) -> None:
    check_equals_transformers(make_plain(tie_word_embeddings=True, initializer_range=0.2))


def test_tied_embeddings_stored_twice(edit_weights: Callable[..., Path]) -> None:
    directory = edit_weights(
        lambda tensors: tensors.update({"lm_head.weight": tensors[_EMBEDDING].clone()}),
        tie_word_embeddings=True,
    )
    check_equals_transformers(directory)
    (_, tensors) = account_for(directory)
    assert "equals model.embed_tokens.weight" in tensors.without_effect["lm_head.weight"]


def test_tied_embeddings_stored_under_the_name_of_the_output(
    edit_weights: Callable[..., Path],
) -> None:
    directory = edit_weights(
        lambda tensors: tensors.update({"lm_head.weight": tensors.pop(_EMBEDDING)}),
        tie_word_embeddings=True,
    )
    check_equals_transformers(directory)


def test_tied_embeddings_that_differ(edit_weights: Callable[..., Path]) -> None:
    """transformers unties them with a warning; config.json then contradicts what is computed."""
    directory = edit_weights(
        lambda tensors: tensors.update({"lm_head.weight": tensors[_EMBEDDING] + 1e-3}),
        tie_word_embeddings=True,
    )
    _refused(directory, r"lm_head\.weight in .* differs from .*Set tie_word_embeddings to false")


@pytest.mark.parametrize(("ties", "dropped"), [(False, "lm_head.weight"), (True, _EMBEDDING)])
def test_embedding_that_is_missing(
    edit_weights: Callable[..., Path], ties: bool, dropped: str
) -> None:
    directory = edit_weights(lambda tensors: tensors.pop(dropped), tie_word_embeddings=ties)
    _refused(directory, r"lacks \d tensors? \(lm_head\.weight")


def test_parameter_that_two_tensors_fill(edit_weights: Callable[..., Path]) -> None:
    directory = edit_weights(
        lambda tensors: tensors.update({"norm.weight": 2 * tensors["model.norm.weight"]})
    )
    _refused(directory, r"norm\.weight in .* is the same parameter as (model\.)?norm\.weight")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("theta", [10000.0, 1e6])
def test_rope_frequencies_that_are_recomputed(
    edit_weights: Callable[..., Path], dtype: torch.dtype, theta: float
) -> None:
    frequencies = 1 / theta ** (torch.arange(0, 8, 2) / 8)
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    directory = edit_weights(
        lambda tensors: tensors.update({name: frequencies.to(dtype)}),
        rope_parameters={"rope_theta": theta, "rope_type": "default"},
    )
    check_equals_transformers(directory)


def test_rope_frequencies_of_another_config(edit_weights: Callable[..., Path]) -> None:
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    frequencies = 1 / 5e5 ** (torch.arange(0, 8, 2) / 8)
    directory = edit_weights(lambda tensors: tensors.update({name: frequencies}))
    _refused(directory, rf"{name} in .* differs from the rope frequencies")


_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "n_inner": 48}


def test_masks_of_older_checkpoints(edit_weights: Callable[..., Path]) -> None:
    def add(tensors: dict[str, Tensor]) -> None:
        mask = torch.ones(64, 64, dtype=torch.uint8).tril().view(1, 1, 64, 64)
        for layer in range(2):
            stem = f"transformer.h.{layer}.attn."
            tensors |= {f"{stem}bias": mask.clone(), f"{stem}masked_bias": torch.tensor(-1e4)}

    check_equals_transformers(edit_weights(add, "gpt2", **_GPT2))


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("attn.bias", torch.ones(1, 1, 64, 64), "is no causal mask"),
        ("attn.masked_bias", torch.tensor(-1.0), "is not the score of a masked position"),
    ],
)
def test_masks_of_another_kind(
    edit_weights: Callable[..., Path], name: str, tensor: Tensor, message: str
) -> None:
    full = f"transformer.h.1.{name}"
    directory = edit_weights(lambda tensors: tensors.update({full: tensor}), "gpt2", **_GPT2)
    _refused(directory, message)


def test_tensor_that_the_class_of_transformers_leaves_out(
    edit_weights: Callable[..., Path],
) -> None:
    """Weights for guessing several tokens ahead: the language model itself has none."""
    experts = {"moe_num_experts": 2, "moe_k": 1, "moe_intermediate_size": 16}
    directory = edit_weights(
        lambda tensors: tensors.update({"model.mtp_block.0.weight": torch.ones(3)}),
        "ernie4_5_moe",
        **experts,
    )
    check_equals_transformers(directory)


def test_accounting_reads_no_weights(edit_weights: Callable[..., Path]) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        tensors[_Q][0, 0] = float("nan")

    directory = edit_weights(spoil)
    keys, tensors = account_for(directory)
    for inventory in (keys, tensors):
        judge(inventory)
    assert tensors.used == set(load_file(directory / "model.safetensors"))
    assert {"hidden_size", "rope_parameters.rope_theta"} <= keys.used
    with pytest.raises(CheckpointError, match="NaN"):
        load_model(directory)


def test_single_file_beside_shards(make_plain: ToyMaker) -> None:
    directory = make_plain()
    tensors = load_file(directory / "model.safetensors")
    save_file(tensors, directory / "model-00001-of-00001.safetensors", metadata={"format": "pt"})
    _refused(directory, r"states its weights twice: in model\.safetensors and in model-00001")
