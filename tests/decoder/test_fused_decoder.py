"""Fused layers compute what the modules of transformers compute, from the weights as they are."""

import copy

import pytest
import torch
from torch import Tensor

from qstar_infer.decoder import native_row_ops, row_ops_library
from qstar_infer.decoder.decoder import Decoder
from qstar_infer.decoder.fused_decoder import FusedDecoder
from qstar_infer.decoder.module_decoder import ModuleDecoder
from qstar_infer.kernels.plain import PlainKernel
from qstar_infer.kernels.quantised_linear import quantise_layers
from qstar_infer.model.quiet_star import QuietStarModel

from ..tolerances import TOY_LOGITS
from .models import VARIANTS, CausalAttention, inputs, make_model


@pytest.fixture(autouse=True, params=["native", "torch"])
def row_ops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs with the row operations in C, if there is a compiler, and with torch's."""
    if request.param == "torch":
        monkeypatch.setattr(native_row_ops, "load_row_ops_library", lambda: None)
    elif row_ops_library.load_row_ops_library() is None:
        pytest.skip("this machine has no C compiler")


def fuse(model: QuietStarModel) -> FusedDecoder:
    return FusedDecoder(model, PlainKernel(model.dtype))


@torch.inference_mode()
def logits_of(decoder: Decoder) -> Tensor:
    ids, positions = inputs()
    hidden = decoder.hidden(decoder.embed(ids), positions, CausalAttention())
    return decoder.logits(hidden)


def error_of(logits: Tensor, exact: Tensor) -> float:
    """Mean distance of log-probabilities."""
    return float((logits.log_softmax(-1) - exact.log_softmax(-1)).abs().mean())


@pytest.mark.parametrize("variant", VARIANTS)
def test_float32_equals_the_modules(variant: str) -> None:
    model = make_model(variant)
    want = logits_of(ModuleDecoder(model))
    assert want.std() > 0.1, "the comparison would say nothing"
    torch.testing.assert_close(logits_of(fuse(model)), want, rtol=0, atol=TOY_LOGITS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("variant", VARIANTS)
def test_16_bits_are_at_least_as_exact_as_the_modules(variant: str, dtype: torch.dtype) -> None:
    """The modules round more often: the residual stream, norms and positions."""
    model = make_model(variant).to(dtype)
    exact = logits_of(ModuleDecoder(copy.deepcopy(model).float()))
    found, stock = logits_of(fuse(model)), logits_of(ModuleDecoder(model))
    assert error_of(found, exact) <= 1.05 * error_of(stock, exact)


def test_inputs_are_not_changed() -> None:
    ids, positions = inputs()
    decoder = fuse(make_model())
    with torch.inference_mode():
        embeddings = decoder.embed(ids)
        before = embeddings.clone()
        decoder.hidden(embeddings, positions, CausalAttention())
    assert torch.equal(embeddings, before)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.1.self_attn.v_proj.weight",
        "model.layers.0.self_attn.q_norm.weight",
        "model.layers.0.mlp.up_proj.weight",
        "model.layers.1.input_layernorm.weight",
        "model.norm.weight",
        "model.embed_tokens.weight",
        "lm_head.weight",
    ],
)
def test_changed_weights_take_effect_in_the_next_pass(name: str) -> None:
    model = make_model("qwen3, norms of heads")
    decoder = fuse(model)
    before = logits_of(decoder)
    with torch.no_grad():
        model.backbone.get_parameter(name).mul_(0.5)
    after = logits_of(decoder)
    assert not torch.allclose(after, before, atol=10 * TOY_LOGITS)
    torch.testing.assert_close(after, logits_of(ModuleDecoder(model)), rtol=0, atol=TOY_LOGITS)


def test_long_positions() -> None:
    """Positions are those of the rows, not their numbers."""
    model = make_model()
    ids, positions = inputs()
    far = positions * 7 + 1000
    with torch.inference_mode():
        want, found = (
            decoder.hidden(decoder.embed(ids), far, CausalAttention())
            for decoder in (ModuleDecoder(model), fuse(model))
        )
    # Angles of 1,000 radians are rounded to 6e-5.
    torch.testing.assert_close(found, want, rtol=0, atol=TOY_LOGITS)


@pytest.mark.parametrize("quantisation", ["int8-cpu", "int4-cpu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounded_weights_keep_their_own_product(quantisation: str, dtype: torch.dtype) -> None:
    """The exact result is that of the rounded modules with float32 between them."""
    model = make_model("biases and widths for groups of 4 bits").bfloat16()
    lm_head = model.backbone.get_submodule("lm_head")
    quantise_layers(model.backbone, quantisation, kept=[lm_head])
    exact = logits_of(ModuleDecoder(copy.deepcopy(model).float()))
    stock = logits_of(ModuleDecoder(model))
    assert error_of(logits_of(fuse(model.to(dtype))), exact) <= 1.05 * error_of(stock, exact)
