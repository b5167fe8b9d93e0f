"""Offsets of tokens in the text of outputs, with several kinds of tokenizers."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from qstar_infer import LLM, SamplingParams
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine.protocol import EngineRequest
from qstar_infer.outputs import CompletionOutput, RequestOutput
from qstar_infer.text.token_text import TokenText

from ..parity.toy import EOS, byte_tokenizer, make_toy
from ..tolerances import TOY_LOGPROBS
from .test_token_text import metaspace_tokenizer, stripping_tokenizer

TOKENIZERS = {
    "byte": byte_tokenizer,
    "metaspace": metaspace_tokenizer,
    "stripping": stripping_tokenizer,
}
PROMPT = [1, 3, 4]
NUM_TOKENS = 16
BYTE_PROMPT = [72, 105, 33]


@cache
def llm_with(kind: str) -> LLM:
    model = make_toy().model
    model.tokenizer = TOKENIZERS[kind]()
    return LLM(model=model)


def params_for(kind: str, **fields: Any) -> SamplingParams:
    """Sampling at a high temperature among the tokens that the tokenizer has."""
    size = len(TOKENIZERS[kind]())
    biases = None if kind == "byte" else dict.fromkeys(range(size), 60.0)
    given: dict[str, Any] = {"max_tokens": NUM_TOKENS, "ignore_eos": True, "temperature": 2.0}
    return SamplingParams(seed=1, logit_bias=biases, **given | fields)


def assert_cuts(output: CompletionOutput) -> None:
    """Each token has an offset, offsets never decrease, and the pieces between join to the text."""
    offsets = output.token_offsets
    assert len(offsets) == len(output.token_ids)
    assert offsets == sorted(offsets)
    assert offsets[0] == 0
    ends = [*offsets[1:], max(len(output.text), offsets[-1])]
    pieces = [output.text[begin:end] for begin, end in zip(offsets, ends, strict=True)]
    assert "".join(pieces) == output.text


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("skip", [True, False])
def test_offsets_split_the_text_at_its_tokens(kind: str, skip: bool) -> None:
    llm = llm_with(kind)
    params = params_for(kind, skip_special_tokens=skip)
    output = llm.generate([BYTE_PROMPT if kind == "byte" else PROMPT], params)[0].outputs[0]
    assert_cuts(output)
    if kind != "byte":  # every token has whole characters, which are at its offset
        text = TokenText(llm.tokenizer)
        special = set(llm.tokenizer.all_special_ids) if skip else set()
        for token_id, begin in zip(output.token_ids, output.token_offsets, strict=True):
            piece = "" if token_id in special else text.of_token(token_id)
            assert output.text[begin : begin + len(piece)] == piece
        assert len({output.token_ids[i] for i in range(NUM_TOKENS)}) > 2


@pytest.mark.parametrize("kind", ["metaspace", "stripping"])
def test_the_space_before_the_first_word_is_part_of_the_text(kind: str) -> None:
    word = 4 if kind == "stripping" else 2
    params = SamplingParams(temperature=0.0, max_tokens=2, logit_bias={word: 100.0})
    output = llm_with(kind).generate([PROMPT], params)[0].outputs[0]
    piece = " cat" if kind == "stripping" else " world"
    assert output.token_ids == [word, word]
    assert (output.text, output.token_offsets) == (piece * 2, [0, len(piece)])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stop": ("a", "\ufffd\ufffd", "e t")},
        {"stop": ("b", "cc"), "include_stop_str_in_output": True, "min_tokens": 5},
        {"ignore_eos": False, "logit_bias": {EOS: 8.0}},
        {"skip_special_tokens": False, "logit_bias": {EOS: 9.0}},
        {"logprobs": 2, "n": 2},
    ],
)
def test_deltas_join_to_the_whole_output(fields: dict[str, Any]) -> None:
    llm = llm_with("byte")
    given = {"max_tokens": NUM_TOKENS, "ignore_eos": True, "temperature": 2.0, "seed": 1} | fields
    params = SamplingParams(**given)
    whole = llm.generate([BYTE_PROMPT], params)[0].outputs
    joined = [CompletionOutput(index=index) for index in range(params.n)]
    for delta in llm.stream(BYTE_PROMPT, params):
        for part in delta.outputs:
            assert len(part.token_offsets) == len(part.token_ids)
            joined[part.index].extend(part)
    for got, expected in zip(joined, whole, strict=True):
        # The sums are computed in another order.
        assert got.cumulative_logprob == pytest.approx(expected.cumulative_logprob, abs=1e-9)
        got.cumulative_logprob = expected.cumulative_logprob
        assert got == expected
        assert_cuts(got)


def test_a_stop_string_cuts_the_text_but_keeps_its_tokens() -> None:
    params = SamplingParams(
        temperature=0.0, max_tokens=12, logit_bias={65: 100.0}, stop=("bbb",), ignore_eos=True
    )
    output = llm_with("byte").generate([BYTE_PROMPT], params)[0].outputs[0]
    assert (output.text, output.token_offsets) == ("", [0, 1, 2])


def run_engine(requests: Sequence[EngineRequest]) -> dict[str, CompletionOutput]:
    engine = LLMEngine(make_toy().model)
    got = {request.request_id: CompletionOutput(index=0) for request in requests}
    for request in requests:
        engine.add_request(engine.admission.admit(request))
    while engine.has_work:
        for delta in engine.step():
            assert isinstance(delta, RequestOutput)
            got[delta.request_id].extend(delta.outputs[0])
    return got


def test_hidden_thoughts_are_still_sampled_and_counted() -> None:
    params = SamplingParams(seed=3, max_tokens=12, ignore_eos=True, logprobs=1)
    shown, hidden = (
        EngineRequest(
            request_id=str(shows), prompt_token_ids=BYTE_PROMPT, params=params, show_thoughts=shows
        )
        for shows in (True, False)
    )
    got = run_engine([shown, hidden])
    assert len(got["True"].thoughts) == 12
    assert got["False"].thoughts == []
    assert got["True"].num_thought_tokens == 36
    got["True"].thoughts.clear()
    # The rows of the two differ in a pass, and so may the last bits of their log-probabilities.
    for shown_entry, hidden_entry in zip(
        *(each.logprobs or [] for each in got.values()), strict=True
    ):
        for token_id, logprob in shown_entry.items():
            assert hidden_entry[token_id].logprob == pytest.approx(
                logprob.logprob, abs=TOY_LOGPROBS
            )
    for each in got.values():
        each.logprobs, each.cumulative_logprob = None, 0.0
    assert got["True"] == got["False"]
