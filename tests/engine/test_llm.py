"""The behaviour of `LLM`: shapes, stops, limits, errors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qstar_infer import LLM, ContextLengthError, RequestError, SamplingParams
from qstar_infer.config import Speculation
from qstar_infer.errors import ConfigError, NotFiniteError

from ..parity.toy import END_ID, EOS, START_ID, make_toy

GOLDEN_A = Path(__file__).parents[1] / "golden" / "A" / "checkpoint"
PROMPT = [72, 105, 33, 1, 200, 14, 9]


@pytest.fixture(scope="module")
def llm() -> LLM:
    return LLM(model=make_toy().model)


def greedy(**fields: Any) -> SamplingParams:
    return SamplingParams(temperature=0.0, **{"max_tokens": 12, "ignore_eos": True, **fields})


def test_there_is_one_thought_for_each_token(llm: LLM) -> None:
    output = llm.generate([PROMPT], greedy())[0].outputs[0]
    assert [thought.token_id for thought in output.thoughts] == output.token_ids
    assert all(len(thought.thought_token_ids) == 3 for thought in output.thoughts)
    assert output.finish_reason == "length"


def test_thoughts_are_lists_of_ids_as_in_a_trace(llm: LLM) -> None:
    """They used to be tuples, while the visible tokens are a list."""
    output = llm.generate([PROMPT], greedy())[0].outputs[0]
    trace = llm.model.think(torch.tensor([PROMPT + output.token_ids[:-1]]))
    thoughts = [thought.thought_token_ids for thought in output.thoughts]
    assert thoughts == trace.thought_ids[0, len(PROMPT) - 1 :].tolist()


def test_a_text_prompt_is_tokenised(llm: LLM) -> None:
    from_text = llm.generate("Hi!", greedy())[0]
    assert from_text.prompt == "Hi!"
    assert from_text.prompt_token_ids == llm.tokenizer("Hi!").input_ids
    from_ids = llm.generate(from_text.prompt_token_ids, greedy())[0]
    assert from_ids.outputs[0].token_ids == from_text.outputs[0].token_ids


@pytest.mark.parametrize("shape", [(-1,), (1, -1)])
def test_a_prompt_may_be_an_array(llm: LLM, shape: tuple[int, ...]) -> None:
    """Arrays used to raise a TypeError."""
    prompt: Any = np.array(PROMPT).reshape(shape)
    from_array = llm.generate(prompt, greedy())[0]
    assert from_array.prompt_token_ids == PROMPT
    assert from_array.outputs[0].token_ids == llm.generate(PROMPT, greedy())[0].outputs[0].token_ids


@pytest.mark.parametrize("prompt", [[[65.7, 66]], [65, "a"], np.array([65.0]), [None]])
def test_a_prompt_that_is_neither_text_nor_integers_is_rejected(llm: LLM, prompt: Any) -> None:
    """Fractions used to be truncated silently, and the others raised a TypeError."""
    with pytest.raises(RequestError, match="a string or a list of integer token ids") as caught:
        llm.generate(prompt, greedy())
    assert caught.value.param == "prompt"


def test_the_deltas_of_a_stream_join_to_the_whole_output(llm: LLM) -> None:
    whole = llm.generate([PROMPT], greedy(logprobs=2))[0].outputs[0]
    deltas = list(llm.stream(PROMPT, greedy(logprobs=2)))
    assert [delta.finished for delta in deltas] == [False] * (len(deltas) - 1) + [True]
    assert "".join(delta.outputs[0].text for delta in deltas) == whole.text
    assert sum((delta.outputs[0].token_ids for delta in deltas), []) == whole.token_ids
    assert sum((delta.outputs[0].logprobs or [] for delta in deltas), []) == whole.logprobs


def test_closing_a_stream_frees_its_request(llm: LLM) -> None:
    stream = llm.stream(PROMPT, greedy())
    next(stream)
    stream.close()
    llm.close()


def test_several_streams_and_calls_can_be_open_at_once(llm: LLM) -> None:
    """Deltas of another request used to get lost, or to raise a KeyError."""
    alone = llm.generate([PROMPT], greedy())[0].outputs[0]
    first, second = (llm.stream(PROMPT, greedy()) for _ in range(2))
    got: list[list[int]] = [[], []]
    for one, other in zip(first, second, strict=True):
        got[0] += one.outputs[0].token_ids
        got[1] += other.outputs[0].token_ids
        assert llm.generate([PROMPT], greedy(max_tokens=2))[0].finished
    assert got == [alone.token_ids] * 2


def test_closing_drops_open_requests() -> None:
    llm = LLM(model=make_toy().model)
    stream = llm.stream(PROMPT, greedy())
    next(stream)
    llm.close()
    with pytest.raises(RequestError, match=r"LLM\.close"):
        list(stream)


def test_logprobs_contain_the_chosen_and_the_most_likely_tokens(llm: LLM) -> None:
    output = llm.generate([PROMPT], SamplingParams(seed=3, max_tokens=8, logprobs=2))[0].outputs[0]
    assert output.logprobs is not None
    for token_id, thought, entry in zip(
        output.token_ids, output.thoughts, output.logprobs, strict=True
    ):
        assert entry[token_id].logprob == thought.logprob
        assert 2 <= len(entry) <= 3
        assert all(
            entry[other].logprob <= max(e.logprob for e in entry.values()) for other in entry
        )


def test_end_of_sequence_ends_the_text_and_counts_as_a_token(llm: LLM) -> None:
    params = SamplingParams(temperature=0.0, max_tokens=5, logit_bias={EOS: 100.0})
    output = llm.generate([PROMPT], params)[0].outputs[0]
    assert (output.token_ids, output.text, output.finish_reason) == ([EOS], "", "stop")
    assert output.stop_reason is None


def test_min_tokens_delays_the_end(llm: LLM) -> None:
    params = SamplingParams(temperature=0.0, max_tokens=9, min_tokens=4, logit_bias={EOS: 100.0})
    output = llm.generate([PROMPT], params)[0].outputs[0]
    assert EOS not in output.token_ids[:4]
    assert output.token_ids[4] == EOS
    assert len(output.token_ids) == 5


def test_the_text_of_a_stop_token_is_left_out(llm: LLM) -> None:
    free = llm.generate([PROMPT], greedy())[0].outputs[0]
    stop = free.token_ids[4]
    output = llm.generate([PROMPT], greedy(stop_token_ids=(stop,)))[0].outputs[0]
    first = free.token_ids.index(stop)
    assert output.token_ids == free.token_ids[: first + 1]
    assert (output.finish_reason, output.stop_reason) == ("stop", stop)


def test_the_text_of_a_stop_string_is_left_out(llm: LLM) -> None:
    stop: Any = "bbb"  # Any: a bare string is accepted, although the declared type is a tuple
    params = SamplingParams(
        temperature=0.0, max_tokens=12, logit_bias={65: 100.0}, stop=stop, ignore_eos=True
    )
    output = llm.generate([PROMPT], params)[0].outputs[0]
    assert output.finish_reason == "stop"
    assert output.stop_reason == "bbb"
    assert "bbb" not in output.text
    assert len(output.token_ids) == 3


def test_delimiters_are_never_emitted(llm: LLM) -> None:
    params = SamplingParams(
        max_tokens=40,
        seed=1,
        ignore_eos=True,
        logit_bias={START_ID: 100.0, END_ID: 100.0},
        logprobs=20,
    )
    output = llm.generate([PROMPT], params)[0].outputs[0]
    seen = {*output.token_ids}.union(*(t.thought_token_ids for t in output.thoughts))
    assert output.logprobs is not None
    assert not {START_ID, END_ID} & seen.union(*output.logprobs)


def test_completions_of_one_request_differ_and_are_repeatable(llm: LLM) -> None:
    params = SamplingParams(n=4, seed=9, max_tokens=10, ignore_eos=True)
    first, second = (llm.generate([PROMPT], params)[0].outputs for _ in range(2))
    texts = [tuple(output.token_ids) for output in first]
    assert len(set(texts)) == 4
    assert texts == [tuple(output.token_ids) for output in second]


def test_without_a_seed_runs_differ(llm: LLM) -> None:
    params = SamplingParams(max_tokens=20, ignore_eos=True)
    runs = {tuple(llm.generate([PROMPT], params)[0].outputs[0].token_ids) for _ in range(3)}
    assert len(runs) == 3


def test_without_max_tokens_the_output_fills_the_context() -> None:
    llm = LLM(model=make_toy().model, max_model_len=20)
    output = llm.generate([PROMPT], greedy(max_tokens=None))[0].outputs[0]
    assert len(output.token_ids) == 20 - len(PROMPT)
    assert output.finish_reason == "length"


def test_no_draft_is_fed_after_the_last_token() -> None:
    """Drafts after the last token would cost rows and blocks: 23 rows instead of 9 here."""

    def rows(speculation: Speculation) -> int:
        one = LLM(model=make_toy().model, speculation=speculation)
        one.generate([PROMPT], greedy(max_tokens=1))
        assert one.stats().drafted == 0
        return one.stats().rows

    assert rows("auto") == rows("off")


@pytest.mark.parametrize(
    ("prompt", "fields", "param"),
    [
        ([], {}, "prompt"),
        ([START_ID], {}, "prompt"),
        ([260], {}, "prompt"),
        ([-1], {}, "prompt"),
        ([1], {"logit_bias": {260: 1.0}}, "logit_bias"),
        ([1], {"stop_token_ids": (260,)}, "stop_token_ids"),
        ([1], {"stop_token_ids": (*range(257), 259), "min_tokens": 1}, "min_tokens"),
        ([1], {"num_thought_tokens": 65}, "num_thought_tokens"),
        ([1] * 250, {}, "max_tokens"),
        ([1] * 256, {}, "prompt"),
    ],
)
def test_the_error_of_an_invalid_request_names_the_field(
    llm: LLM, prompt: list[int], fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(RequestError) as caught:
        llm.generate([prompt], greedy(**fields))
    assert caught.value.param == param


def test_a_prompt_longer_than_the_context_has_the_usual_message(llm: LLM) -> None:
    with pytest.raises(ContextLengthError, match="maximum context length is 256 tokens"):
        llm.generate([[1] * 250], greedy())


def test_a_request_larger_than_the_pool_is_rejected_at_admission() -> None:
    llm = LLM(model=make_toy().model, num_blocks=3, block_size=4)
    with pytest.raises(ContextLengthError, match="maximum context length is 4 tokens"):
        llm.generate([PROMPT], greedy())


def test_without_max_tokens_a_small_pool_is_filled() -> None:
    llm = LLM(model=make_toy().model, num_blocks=6, block_size=4)
    output = llm.generate([PROMPT], greedy(max_tokens=None))[0].outputs[0]
    assert len(PROMPT) + len(output.token_ids) == 4 * (6 - 2) == llm.model_info.max_model_len


def test_nan_of_one_request_does_not_reach_later_users_of_its_blocks() -> None:
    """A NaN in a freed slot used to reach later requests through their masks (0 * NaN)."""
    toy = make_toy()
    llm = LLM(model=toy.model, num_blocks=12, block_size=4)
    before = llm.generate([PROMPT], greedy())[0].outputs[0].token_ids
    embeddings = toy.model.backbone.get_input_embeddings()
    assert isinstance(embeddings, torch.nn.Embedding)
    with torch.no_grad():
        row = embeddings.weight[99].clone()
        embeddings.weight[99] = float("nan")
        with pytest.raises(NotFiniteError):
            llm.generate([[99] * 30], greedy(max_tokens=2))
        embeddings.weight[99] = row
    assert llm.generate([PROMPT], greedy())[0].outputs[0].token_ids == before


@pytest.mark.parametrize(
    ("prompt", "fields", "param"),
    [
        ([10**4299], {}, "prompt"),
        ([10**5000], {}, "prompt"),
        ([1], {"max_tokens": 10**4300 - 1}, "max_tokens"),
        ([1], {"max_tokens": 10**5000}, "max_tokens"),
        ([1], {"max_tokens": None, "min_tokens": 10**4299}, "min_tokens"),
        ([1], {"top_k": 10**4299}, "top_k"),
        ([1], {"stop_token_ids": (10**4299,)}, "stop_token_ids"),
        ([1], {"logit_bias": {10**4299: 1.0}}, "logit_bias"),
        ([1], {"num_thought_tokens": 10**4299}, "num_thought_tokens"),
    ],
)
def test_a_huge_integer_is_rejected_with_a_short_message(
    llm: LLM, prompt: list[int], fields: dict[str, Any], param: str
) -> None:
    """The message must not repeat all digits. The sum of `max_tokens` and the prompt length used to
    have more digits than Python can print, which raised a ValueError."""
    with pytest.raises(RequestError) as caught:
        llm.generate([prompt], greedy(**fields))
    assert caught.value.param == param
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": True},
        {"temperature": 10**400},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"n": 0},
        {"n": 1.5},
        {"max_tokens": -1},
        {"min_tokens": 20},
        {"stop": ("",)},
        {"stop": ("x",) * 33},
        {"stop": 5},
        {"stop": False},
        {"stop_token_ids": 5},
        {"stop_token_ids": (True,)},
        {"repetition_penalty": 0.0},
        {"presence_penalty": 2.1},
        {"logit_bias": {1: float("inf")}},
        {"logit_bias": {-1: 0.0}},
        {"logit_bias": {True: 0.0}},
        {"logit_bias": [1]},
        {"logprobs": 101},
        {"thought_top_logprobs": 101},
        {"thought_top_logprobs": -1},
        {"allowed_token_ids": ()},
        {"allowed_token_ids": (True,)},
        {"bad_words": "ab"},
        {"bad_words": ("",)},
        {"structured_outputs": {}},
        {"structured_outputs": {"regex": "a", "json": {}}},
        {"structured_outputs": {"json": float("nan")}},
        {"max_completion_tokens": -1},
        {"seed": 2**63},
        {"seed": np.float64(3.0)},
        {"seed": np.bool_(True)},
        {"n": np.int64(0)},
        {"top_p": np.float32(1.5)},
        {"think_threshold": 1.5},
        {"thought_temperature": -1.0},
        {"num_thought_tokens": -1},
    ],
)
def test_errors_of_sampling_params_name_the_field(fields: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        SamplingParams(**fields)
    assert caught.value.param in fields


def test_numpy_numbers_are_accepted(llm: LLM) -> None:
    """`seed=np.int64(3)` used to be rejected."""
    given: dict[str, Any] = {
        "seed": np.int64(3),
        "max_tokens": np.int32(4),
        "temperature": np.float32(0.5),
        "logit_bias": {np.int64(65): np.float32(2.0)},
        "stop_token_ids": np.array([66, 67]),
    }
    plain: dict[str, Any] = {
        "seed": 3,
        "max_tokens": 4,
        "temperature": 0.5,
        "logit_bias": {65: 2.0},
        "stop_token_ids": (66, 67),
    }
    params = SamplingParams(**given)
    assert repr(params) == repr(SamplingParams(**plain))
    assert params == SamplingParams(**plain)
    assert llm.generate([PROMPT], params)[0].finished


@pytest.mark.parametrize("params", [{"max_tokens": 2}, [{"max_tokens": 2}], 5, "x", [None]])
def test_values_that_are_not_sampling_params_are_rejected(llm: LLM, params: Any) -> None:
    """They used to raise an AttributeError."""
    with pytest.raises(RequestError, match="must be SamplingParams") as caught:
        llm.generate(["a"], params)
    assert caught.value.param == "sampling_params"


@pytest.mark.parametrize("as_given", [str, Path])
def test_model_accepts_a_path_to_load(as_given: Callable[[Path], Any]) -> None:
    """As in vLLM; it used to raise an AttributeError."""
    llm = LLM(model=as_given(GOLDEN_A), dtype="float32", device="cpu")
    assert llm.model_info.name == "checkpoint"
    assert llm.model.dtype == torch.float32


def test_a_revision_reaches_the_loader() -> None:
    with pytest.raises(ConfigError, match="revision='v1' was given"):
        LLM(GOLDEN_A, revision="v1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "a", "model": "b"}, "both given"),
        ({"model": torch.nn.Linear(1, 1)}, "load_model returns.*got a Linear"),
    ],
)
def test_an_ambiguous_or_invalid_model_argument_is_rejected(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        LLM(**arguments)


@pytest.mark.parametrize(
    "fields",
    [{"speculation": "fast"}, {"speculation": -1}, {"block_size": 0}, {"max_model_len": 257}],
)
def test_invalid_engine_settings_are_rejected(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        LLM(model=make_toy().model, **fields)
