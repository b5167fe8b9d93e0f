"""A text may be as long as the rope scaling of its model allows, and not longer.

The lengths are those that vLLM derives, except where a config states more than its scaling gives.
"""

import copy
from contextlib import closing
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig

from qstar_infer import LLM, CheckpointError, ConfigError, ContextLengthError, SamplingParams
from qstar_infer.context_length import ContextLength, context_length
from qstar_infer.model.quiet_star import QuietStarModel

from ..parity.toy import EOS, VOCAB_SIZE, byte_tokenizer
from ..tolerances import TOY_LOGPROBS

_THETA = {"rope_theta": 10000.0}
LINEAR = _THETA | {"rope_type": "linear", "factor": 4.0}
YARN = _THETA | {"rope_type": "yarn", "factor": 4.0}
LLAMA3 = _THETA | {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8,
}


def toy_config(model_type: str = "llama", **settings: Any) -> PreTrainedConfig:
    values = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 16,
        "initializer_range": 0.25,
        "eos_token_id": EOS,
        "bos_token_id": None,
        "pad_token_id": None,
    }
    config: PreTrainedConfig = AutoConfig.for_model(model_type, **copy.deepcopy(values | settings))
    return config


def scaled(**rope: Any) -> PreTrainedConfig:
    return toy_config(rope_parameters=rope)


def gemma3(full: dict[str, Any], **settings: Any) -> PreTrainedConfig:
    rope = {"full_attention": full, "sliding_attention": _THETA | {"rope_type": "default"}}
    return toy_config("gemma3_text", rope_parameters=rope, sliding_window=4, **settings)


@pytest.mark.parametrize(
    ("config", "num_tokens"),
    [
        (toy_config(), 16),
        (scaled(**_THETA, rope_type="default"), 16),
        (scaled(**LINEAR), 64),
        (toy_config(rope_scaling={"type": "linear", "factor": 4.0}), 64),
        (toy_config(rope_scaling={"type": "linear", "factor": 2.5}), 40),
        (scaled(**LINEAR | {"factor": 0.5}), 16),
        (toy_config("phi", rope_parameters=LINEAR, partial_rotary_factor=0.5), 64),
        (scaled(**YARN), 64),
        (scaled(**YARN, original_max_position_embeddings=16), 64),
        (scaled(**YARN, original_max_position_embeddings=8), 32),
        (scaled(**YARN, original_max_position_embeddings=4), 16),
        (scaled(**YARN, original_max_position_embeddings=2), 16),
        (toy_config(rope_scaling={"type": "yarn", "factor": 4.0}), 64),
        (scaled(**LLAMA3), 16),
        (gemma3(LINEAR), 16),
        (
            toy_config(
                "olmo3",
                layer_types=["sliding_attention", "full_attention"],
                rope_parameters={
                    "sliding_attention": _THETA | {"rope_type": "default"},
                    "full_attention": YARN,
                },
            ),
            64,
        ),
        (AutoConfig.for_model("gpt2", n_positions=24), 24),
        (AutoConfig.for_model("gpt2", n_positions=24, rope_parameters=LINEAR), 24),
        # As published: Qwen 3 with the advice of its card, GPT-OSS, Llama 3.2, Gemma 3 4B.
        (toy_config(max_position_embeddings=40960, rope_parameters=YARN | {
            "original_max_position_embeddings": 32768}), 131072),
        (AutoConfig.for_model("gpt_oss"), 131072),
        (toy_config(max_position_embeddings=131072, rope_parameters=LLAMA3 | {
            "factor": 32.0, "original_max_position_embeddings": 8192}), 131072),
        (gemma3(LINEAR | {"factor": 8.0}, max_position_embeddings=131072), 131072),
    ],
)  # fmt: skip
def test_the_context_length_of_a_config(config: PreTrainedConfig, num_tokens: int) -> None:
    assert context_length(config).num_tokens == num_tokens
    assert context_length(config).is_stated


def test_where_a_context_length_comes_from() -> None:
    assert context_length(toy_config()).origin == "max_position_embeddings = 16"
    assert context_length(scaled(**YARN, original_max_position_embeddings=8)) == ContextLength(
        num_tokens=32,
        is_stated=True,
        origin="original_max_position_embeddings = 8, times 4 by yarn rope scaling",
    )


def test_a_config_that_states_no_length_sets_no_limit() -> None:
    assumed = context_length(PreTrainedConfig())
    assert (assumed.num_tokens, assumed.is_stated) == (2048, False)
    assert "no max_position_embeddings" in assumed.origin


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (toy_config(max_position_embeddings=0), "max_position_embeddings = 0 "),
        (scaled(**LINEAR | {"factor": 0}), "factor of the rope scaling = 0 "),
        (scaled(**LINEAR | {"factor": float("inf")}), "factor of the rope scaling = inf "),
        (scaled(**YARN, original_max_position_embeddings=-1), "original_max_position.* = -1 "),
    ],
)
def test_a_length_that_is_no_length_is_refused(config: PreTrainedConfig, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        context_length(config)


def toy_model(config: PreTrainedConfig) -> QuietStarModel:
    torch.manual_seed(0)
    backbone = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    return QuietStarModel(backbone.float().eval(), byte_tokenizer()).eval()


@pytest.mark.parametrize(
    ("config", "most"),
    [
        (scaled(**LINEAR), 64),
        (scaled(**YARN), 64),
        (scaled(**LLAMA3), 16),
        (gemma3(LINEAR), 16),
        (toy_config("mistral", rope_parameters=LINEAR, sliding_window=20), 64),
    ],
)
def test_a_text_may_fill_the_scaled_context(config: PreTrainedConfig, most: int) -> None:
    """The log-probabilities are those of transformers up to the last position."""
    token_ids = [i * 37 % 250 for i in range(most)]
    torch.manual_seed(0)
    stock = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        want = stock(torch.tensor([token_ids])).logits[0].log_softmax(-1)
    with closing(LLM(model=toy_model(config))) as llm:
        assert llm.model_info.max_model_len == most
        params = SamplingParams(max_tokens=0, prompt_logprobs=0)
        scores = llm.generate([token_ids], params)[0].prompt_logprobs
        assert scores is not None
        for anchor, entry in enumerate(scores[1:]):
            token_id = token_ids[anchor + 1]
            assert entry is not None
            expected = float(want[anchor, token_id])
            assert entry[token_id].logprob == pytest.approx(expected, abs=TOY_LOGPROBS)
        message = f"maximum context length is {most} tokens.*{most + 1} tokens"
        with pytest.raises(ContextLengthError, match=message):
            llm.generate([[*token_ids, 1]], params)


def test_more_than_the_scaled_length_is_refused_and_less_is_not() -> None:
    model = toy_model(scaled(**LINEAR))
    for asked in (17, 64):
        with closing(LLM(model=model, max_model_len=asked)) as llm:
            assert llm.model_info.max_model_len == asked
    message = r"65, but the model has only 64 positions \(max_position_embeddings = 16, times 4"
    with pytest.raises(ConfigError, match=message):
        LLM(model=model, max_model_len=65)


def test_a_position_table_stays_the_limit() -> None:
    sizes: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": VOCAB_SIZE}
    config = AutoConfig.for_model("gpt2", n_positions=24, rope_parameters=LINEAR, **sizes)
    model = toy_model(config)
    with closing(LLM(model=model)) as llm:
        assert llm.model_info.max_model_len == 24
    with pytest.raises(ConfigError, match="only 24 positions"):
        LLM(model=model, max_model_len=25)
