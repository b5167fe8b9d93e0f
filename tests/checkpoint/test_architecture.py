"""Which backbones are accepted, and the error for each that is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from qstar_infer import LLM, SamplingParams
from qstar_infer.attention.interface import install_attention
from qstar_infer.checkpoint import init_model, load_model
from qstar_infer.checkpoint.architecture import check_supported_config, check_supported_model
from qstar_infer.errors import CheckpointError

from ..tolerances import float32_tolerance

ToyMaker = Callable[..., Path]
JsonEditor = Callable[..., None]

_ROPE = {"rope_theta": 10000.0}
_EXPERTS = {"num_experts": 2, "num_local_experts": 2, "num_experts_per_tok": 1}
TAKES_VIEWS: dict[str, dict[str, Any]] = {
    "afmoe": {**_EXPERTS, "moe_intermediate_size": 16, "num_dense_layers": 1, "sliding_window": 3},
    "jetmoe": {**_EXPERTS, "kv_channels": 8},
}
"""Architectures whose layers call view() on the attention output, and their settings."""


@pytest.mark.parametrize(
    ("model_type", "settings", "message"),
    [
        ("gemma2", {}, "final_logit_softcapping = 30.0"),
        ("gemma2", {"final_logit_softcapping": None}, "attn_logit_softcapping = 50.0"),
        ("granite", {"logits_scaling": 8.0}, "logits_scaling = 8.0"),
        ("cohere", {}, "logit_scale = 0.0625"),
        ("qwen3_next", {}, "layers of type linear_attention"),
        ("llama", {"rope_parameters": {**_ROPE, "rope_type": "dynamic", "factor": 2.0}}, "dynamic"),
        ("bloom", {}, "attention that transformers cannot replace"),
    ],
)
def test_config_is_rejected_with_a_reason(
    model_type: str, settings: dict[str, Any], message: str
) -> None:
    config = CONFIG_MAPPING[model_type](**settings)
    with pytest.raises(
        CheckpointError, match=f"{message}.*, so it cannot think here: .* Use another base model"
    ):
        check_supported_config(config)


def test_output_embedding_with_a_bias(toy_backbone: Callable[..., PreTrainedModel]) -> None:
    backbone = toy_backbone()
    backbone.lm_head = nn.Linear(32, 512)
    with pytest.raises(CheckpointError, match="output embedding with a bias"):
        check_supported_model(backbone)


def test_output_embedding_that_is_not_linear(
    toy_backbone: Callable[..., PreTrainedModel],
) -> None:
    backbone = toy_backbone()
    backbone.lm_head = nn.Identity()
    with pytest.raises(CheckpointError, match="has a Identity as output embedding"):
        check_supported_model(backbone)


def test_embeddings_of_another_width(toy_backbone: Callable[..., PreTrainedModel]) -> None:
    backbone = toy_backbone()
    backbone.set_input_embeddings(nn.Embedding(512, 16))
    with pytest.raises(CheckpointError, match="width 16 and hidden states of width 32"):
        check_supported_model(backbone)


def test_attention_sinks() -> None:
    settings: dict[str, Any] = {
        "num_local_experts": 2,
        "hidden_size": 32,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "rope_parameters": {**_ROPE, "rope_type": "default"},
    }
    config = CONFIG_MAPPING["gpt_oss"](**settings)
    with pytest.raises(CheckpointError, match="attention sinks"):
        check_supported_model(AutoModelForCausalLM.from_config(config))


@pytest.mark.parametrize(
    ("model_type", "message"),
    [
        ("t5", "does not know as a causal language model"),
        ("no_such_model", "'no_such_model'"),
        (7, "no 'model_type' string"),
        (..., "no 'model_type' string"),
    ],
)
def test_model_type(
    make_plain: ToyMaker, edit_json: JsonEditor, model_type: Any, message: str
) -> None:
    directory = make_plain()
    edit_json(directory / "config.json", model_type=model_type)
    with pytest.raises(CheckpointError, match=message):
        load_model(directory)


@pytest.mark.parametrize(
    "model_type", ["llama", "mistral", "qwen2", "qwen3", "gemma3_text", *TAKES_VIEWS]
)
def test_fresh_thought_parts_do_not_change_the_logits(
    make_plain: ToyMaker, toy_backbone: Callable[..., PreTrainedModel], model_type: str
) -> None:
    """With mixing weight 0 the logits equal those of the stock model, for every architecture."""
    settings = TAKES_VIEWS.get(model_type, {})
    model = init_model(make_plain(model_type, **settings), num_thought_tokens=2, device="cpu")
    ids = torch.tensor([[1, 40, 300, 7, 99]])
    with torch.no_grad():
        expected = toy_backbone(model_type, **settings).eval()(input_ids=ids).logits
        trace = model.think(ids)
    # Two layers of eight sums of up to 48 terms; inner values stay below 10.
    tolerance = float32_tolerance(num_terms=2 * 8 * 48 + 32, size=10)
    torch.testing.assert_close(trace.logits, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("model_type", TAKES_VIEWS)
def test_layers_that_call_view_on_the_attention_output(
    make_plain: ToyMaker, toy_backbone: Callable[..., PreTrainedModel], model_type: str
) -> None:
    """Such a model used to load and then fail at its first request or in `think`."""
    settings = TAKES_VIEWS[model_type]
    model = init_model(make_plain(model_type, **settings), num_thought_tokens=2, device="cpu")
    stock = toy_backbone(model_type, **settings).eval()
    ids = [1, 40, 300, 7, 99]
    params = SamplingParams(temperature=0.0, max_tokens=4, ignore_eos=True)
    (output,) = LLM(model=model).generate(ids, params)
    for token_id in output.outputs[0].token_ids:
        with torch.no_grad():
            logits = stock(input_ids=torch.tensor([ids])).logits[0, -1]
        logits[list(model.delimiter_ids)] = float("-inf")
        assert token_id == int(logits.argmax())
        ids = [*ids, token_id]


@pytest.mark.parametrize(
    ("model_type", "settings", "message"),
    [
        ("diffllama", {}, "2 of 2 layers called it, 4 calls in all"),
        ("phimoe", {**_EXPERTS, "sliding_window": 5}, "no layer passes on .* window of 5 tokens"),
        (
            "doge",
            {},
            "its forward pass fails: AssertionError: transformers built an attention mask",
        ),
    ],
)
def test_attention_outside_of_the_interface_is_rejected(
    toy_backbone: Callable[..., PreTrainedModel],
    model_type: str,
    settings: dict[str, Any],
    message: str,
) -> None:
    """The first two used to generate other text than transformers, the third a traceback."""
    with pytest.raises(CheckpointError, match=f"{message}.*use a decoder such as"):
        install_attention(toy_backbone(model_type, **settings))


def test_layer_that_fails_on_several_tokens_is_rejected_at_load(
    toy_backbone: Callable[..., PreTrainedModel],
) -> None:
    """The probe used to feed a single token, for which view() always succeeds."""

    class Views(nn.Module):
        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return states.transpose(1, 2).view(states.shape)

    backbone = toy_backbone()
    backbone.model.layers[1].mlp = Views()
    with pytest.raises(CheckpointError, match="its forward pass fails: RuntimeError: view"):
        install_attention(backbone)


@pytest.mark.parametrize(
    ("model_type", "settings", "windows"),
    [
        ("mistral", {"sliding_window": 5}, [5, 5]),
        ("qwen2", {"sliding_window": 5, "use_sliding_window": False}, [None, None]),
        ("gemma3_text", {"sliding_window": 5, "layer_types": ["full_attention"] * 2}, [None, None]),
        ("llama", {"sliding_window": 5}, [None, None]),
        ("phimoe", {**_EXPERTS, "sliding_window": 256}, [None, None]),
    ],
    ids=["passed on", "switched off", "of no layer", "stray field", "as long as the context"],
)
def test_window_that_layers_use_or_ignore_is_accepted(
    toy_backbone: Callable[..., PreTrainedModel],
    model_type: str,
    settings: dict[str, Any],
    windows: list[int | None],
) -> None:
    layers = install_attention(toy_backbone(model_type, **settings))
    assert [layer.window for layer in layers] == windows
