"""Every key of a `config.json` is used, or changes nothing, or loading is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qstar_infer.checkpoint import load_model
from qstar_infer.checkpoint.backbone import account_for, read_config
from qstar_infer.checkpoint.inventory import judge
from qstar_infer.errors import CheckpointError

from .stock import check_equals_transformers

ToyMaker = Callable[..., Path]
JsonEditor = Callable[..., None]

CONFIGS: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("public_configs.json").read_text(encoding="utf-8")
)
"""Configs as public checkpoints have them, oddities included."""


@pytest.mark.parametrize("name", CONFIGS)
def test_public_configs_are_accepted(tmp_path: Path, edit_json: JsonEditor, name: str) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    edit_json(tmp_path / "config.json", **CONFIGS[name])
    config = read_config(tmp_path)
    assert config.model_type == CONFIGS[name]["model_type"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("compression_config", {"quant_method": "compressed-tensors"}),
        ("compression_config", {}),
        ("quantization", {"group_size": 64, "bits": 4}),
        ("quantization_config", {"quant_method": "fp8"}),
        ("quant_method", "gptq"),
        ("quantize_config", {"bits": 4}),
        ("awq_config", {"w_bit": 4}),
        ("torchao", {"inner": {"quant_method": "torchao"}}),
        ("weight_bits", 8),
        ("is_fp8", True),
    ],
)
def test_keys_of_quantisation(
    make_plain: ToyMaker, edit_json: JsonEditor, key: str, value: Any
) -> None:
    directory = make_plain()
    edit_json(directory / "config.json", **{key: value})
    if value == {}:
        check_equals_transformers(directory)
        return
    with pytest.raises(CheckpointError, match=r"quantised.* only bitsandbytes is supported"):
        load_model(directory)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("output_logit_soft_cap", 30.0),
        ("attn_softcap", 50.0),
        ("embedding_multiplier", 12.0),
        ("residual_multiplier", 0.22),
        ("attention_multiplier", 0.5),
        ("scale_emb", 12),
        ("sliding_window", 5),
        ("alibi", True),
        ("clip_qkv", 8.0),
        ("rope_interleaved", True),
        ("partial_rotary_factor", 0.5),
        ("use_parallel_residual", True),
        ("use_mrope", True),
        ("attention_sink_size", 4),
        ("dynamic_ntk", True),
        ("tied_lm_head", True),
        ("position_embedding_type", "alibi"),
        ("query_pre_attn_scalar", 64),
        ("attention_chunk_size", 4),
        ("swa_size", 4),
    ],
)
def test_keys_that_speak_of_what_no_tensor_shows(
    make_plain: ToyMaker, edit_json: JsonEditor, key: str, value: Any
) -> None:
    """transformers ignores each of them for a Llama, and computes without.

    Some releases copy `partial_rotary_factor` to `rope_parameters` and keep it: then there are two.
    """
    directory = make_plain()
    edit_json(directory / "config.json", **{key: value})
    message = rf"holds (1 key|2 keys) \(({key}, )?(rope_parameters\.)?{key}\)"
    with pytest.raises(CheckpointError, match=message):
        load_model(directory)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("is_causal", True),
        ("output_hidden_states", True),
        ("unsloth_version", "2025.1"),
        ("is_llama_config", True),
        ("transformers.js_config", {"kv_cache_dtype": {"fp16": "float16"}}),
        ("max_sequence_length", 4096),
        ("max_window_layers", 28),
        ("_flash_attn_2_enabled", True),
        ("_attn_implementation_autoset", True),
        ("neftune_noise_alpha", None),
        ("neftune_noise_alpha", 5),
        ("sequence_parallel", True),
        ("tensor_parallel_degree", 8),
        ("position_embedding_type", "rotary"),
        ("rope_interleaved", False),
        ("sliding_window", None),
        ("final_logit_softcapping", None),
        ("residual_dropout", 0.1),
        ("router_aux_loss_coef", 0.01),
        ("temperature", 0.7),
        ("pretraining_tp", 2),
        ("some_note", "of the author"),
    ],
)
def test_keys_that_change_nothing(
    make_plain: ToyMaker, edit_json: JsonEditor, key: str, value: Any
) -> None:
    directory = make_plain()
    edit_json(directory / "config.json", **{key: value})
    check_equals_transformers(directory)
    (keys, _) = account_for(directory)
    assert key in keys.used | keys.without_effect.keys()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("dtype", "float7", "dtype in .* is 'float7'; it must be one of float64, float32"),
        ("dtype", "int8", "is 'int8'; it must be one of"),
        ("torch_dtype", "Tensor", "is 'Tensor'; it must be one of"),
        ("dtype", 3, "is 3; it must be one of"),
        ("hidden_act", "no_such", "hidden_act in .* is 'no_such', which transformers does not"),
        ("rms_norm_eps", float("nan"), "rms_norm_eps in .* is nan; numbers must be finite"),
        ("rms_norm_eps", "1e-5", "rms_norm_eps"),
        ("rms_norm_eps", None, "rms_norm_eps"),
        ("hidden_size", -32, "hidden_size in .* is -32; it must be at least 1"),
        ("max_position_embeddings", 0, "is 0; it must be at least 1"),
        ("sliding_window", -1, "is -1; it must be positive, or null"),
        ("return_dict", False, "is false, and then the model's own forward pass fails"),
        ("is_causal", False, "has is_causal = False"),
        ("vocab_size", "512", "vocab_size"),
        ("num_hidden_layers", 3, "lacks 9 tensors .*layers.2"),
        ("num_hidden_layers", 1, r"holds 9 tensors \(model.layers.1"),
        ("num_attention_heads", 3, "num.* heads|attention heads"),
        ("pad_token_id", 9999, "could not be loaded: .*[Pp]adding"),
        ("tie_word_embeddings", "false", "tie_word_embeddings"),
        ("attention_bias", True, r"lacks 8 tensors .*bias"),
        ("mlp_bias", True, r"lacks 6 tensors .*bias"),
        ("tie_word_embeddings", True, "differs from .*tie_word_embeddings"),
        ("layer_types", ["full_attention", "linear_attention"], "linear_attention"),
    ],
)
def test_values_with_which_no_model_can_be_built(
    make_plain: ToyMaker, edit_json: JsonEditor, key: str, value: Any, message: str
) -> None:
    directory = make_plain()
    edit_json(directory / "config.json", **{key: value})
    with pytest.raises(CheckpointError, match=message) as error:
        load_model(directory)
    assert "\n" not in str(error.value)


def test_window_of_no_tokens(make_plain: ToyMaker, edit_json: JsonEditor) -> None:
    """transformers loads it and fails at the first token."""
    directory = make_plain("mistral", sliding_window=4)
    edit_json(directory / "config.json", sliding_window=0)
    with pytest.raises(CheckpointError, match="a sliding window of 0 tokens"):
        load_model(directory)


def test_attention_that_sees_later_tokens(make_plain: ToyMaker, edit_json: JsonEditor) -> None:
    """It used to load, and each token saw only those before it."""
    directory = make_plain("gemma3_text")
    edit_json(directory / "config.json", use_bidirectional_attention=True)
    with pytest.raises(CheckpointError, match="has attention that is not causal"):
        load_model(directory)


@pytest.mark.parametrize(
    ("model_type", "key"),
    [("gemma3_text", "query_pre_attn_scalar"), ("granite", "embedding_multiplier")],
)
def test_factor_that_is_not_positive(
    make_plain: ToyMaker, edit_json: JsonEditor, model_type: str, key: str
) -> None:
    directory = make_plain(model_type, logits_scaling=1.0)
    edit_json(directory / "config.json", **{key: -1})
    with pytest.raises(CheckpointError, match=rf"{key} in .* is -1; it must be a positive"):
        load_model(directory)


def test_window_without_a_length(make_plain: ToyMaker, edit_json: JsonEditor) -> None:
    """transformers loads it and fails at the first token."""
    directory = make_plain("gemma3_text", sliding_window=4)
    edit_json(directory / "config.json", sliding_window=None)
    with pytest.raises(CheckpointError, match="sliding window and sliding_window = None"):
        load_model(directory)


@pytest.mark.parametrize(
    ("rope", "message"),
    [
        ({"rope_theta": "10000"}, "rope_theta in .* is '10000'; it must be a number"),
        ({"rope_theta": 0}, "is 0; it must be a positive number"),
        ({"rope_theta": -1e4}, "must be a positive number"),
        ({"rope_theta": None}, "rope_theta"),
        ({"rope_type": "su"}, "is 'su', which transformers lacks"),
        ({"rope_type": ["linear"]}, "which transformers lacks"),
        ({"rope_type": "linear"}, "Missing required keys in .*'linear'.*'factor'"),
        ({"rope_type": "linear", "factor": "4"}, "transformers fails"),
        ({"rope_type": "linear", "factor": 0}, "frequencies are not finite"),
        ({"rope_type": "yarn"}, "Missing required keys in .*'yarn'.*'factor'"),
        ({"rope_type": "llama3", "factor": 8.0}, "Missing required keys in .*llama3"),
        ({"rope_type": "default", "factor": 4.0}, "factor = 4.0 is not read for rope_type 'def"),
        ({"rope_type": "linear", "factor": 4.0, "beta_fast": 32}, "beta_fast = 32 is not read"),
        ({"rope_type": "linear", "type": "yarn", "factor": 4.0}, "'yarn', and rope_type is 'lin"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5 is not read"),
        ({"mrope_section": [1, 1, 2]}, "mrope_section"),
    ],
)
def test_rope_parameters_that_transformers_does_not_compute(
    make_plain: ToyMaker, edit_json: JsonEditor, rope: dict[str, Any], message: str
) -> None:
    directory = make_plain()
    edit_json(
        directory / "config.json",
        rope_parameters={"rope_theta": 1e4, "rope_type": "default"} | rope,
    )
    with pytest.raises(CheckpointError, match=message) as error:
        load_model(directory)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("stated", "place"),
    [
        ({"rope_theta": 500.0}, "rope_theta"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "rope_parameters"),
        ({"rope_scaling": {"rope_theta": 500.0, "rope_type": "default"}}, "rope_parameters"),
    ],
)
def test_rope_parameters_that_contradict_each_other(
    make_plain: ToyMaker, edit_json: JsonEditor, stated: dict[str, Any], place: str
) -> None:
    """transformers takes one of them, and does not say which."""
    directory = make_plain()
    rope = {"rope_theta": 1e4, "rope_type": "default"}
    edit_json(directory / "config.json", rope_parameters=rope, **stated)
    with pytest.raises(CheckpointError, match=rf"{place} in .* states .*another key of the file"):
        load_model(directory)


def test_rope_parameters_stated_twice_alike(make_plain: ToyMaker, edit_json: JsonEditor) -> None:
    directory = make_plain()
    rope = {"rope_theta": 500, "rope_type": "linear", "factor": 2.0}
    edit_json(directory / "config.json", rope_parameters=rope, rope_scaling=rope, rope_theta=500.0)
    check_equals_transformers(directory)


def test_rope_parameters_of_each_layer_type(make_plain: ToyMaker, edit_json: JsonEditor) -> None:
    directory = make_plain("gemma3_text", sliding_window=4, layer_types=["sliding_attention"] * 2)
    rope = {"rope_type": "default", "rope_theta": 1e4}
    both = {"sliding_attention": rope, "full_attention": rope | {"factor": 4.0}}
    edit_json(directory / "config.json", rope_parameters=both)
    (keys, _) = account_for(directory)
    assert "rope_parameters.sliding_attention.rope_theta" in keys.used
    with pytest.raises(CheckpointError, match=r"rope_parameters\.full_attention\.factor"):
        judge(keys)
