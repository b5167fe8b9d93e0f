"""Engine outputs as JSON: what a first chunk has, and what blocks an event loop."""

import json
from functools import partial
from typing import Any

import pytest
from qstar_server.endpoints.completions.prompts import Prompt
from qstar_server.endpoints.completions.protocol import CompletionRequest, CompletionResponse
from qstar_server.endpoints.completions.renderer import CompletionRenderer, PromptRenderer
from qstar_server.generation.usage import TokenCounts
from qstar_server.http.response_json import to_json, to_large_json

from qstar_infer.engine.protocol import EngineRequest
from qstar_infer.outputs import CompletionOutput, RequestOutput
from qstar_infer.sampling_defaults import SamplingDefaults
from tests.server.byte_tokens import text_of
from tests.server.fake_engine import FakeEngine
from tests.server.scripted_output import logprob_entry

DECODE = partial(text_of, skip_special_tokens=False)
COUNTS = TokenCounts(num_prompt_tokens=2, num_completion_tokens=1, num_thought_tokens=3)


def prompt_of(engine: FakeEngine, request: CompletionRequest) -> Prompt:
    """The prompt "AB", admitted and, where the request asks for it, echoed."""
    admitted = engine.admit(
        EngineRequest(
            request_id="r",
            prompt_token_ids=[65, 66],
            params=request.to_sampling_params(SamplingDefaults()),
        )
    )
    text, offsets = ("AB", [0, 1]) if request.echo else ("", [])
    return Prompt(admitted=admitted, echoed_text=text, echoed_offsets=offsets)


def request_of(**fields: Any) -> CompletionRequest:
    return CompletionRequest.model_validate({"model": "m", "prompt": "AB"} | fields)


def output_of(*completions: CompletionOutput, is_scored: bool = False) -> RequestOutput:
    return RequestOutput(
        request_id="r",
        prompt_token_ids=[65, 66],
        outputs=list(completions),
        prompt_logprobs=[None, logprob_entry(66, 0, 1)] if is_scored else None,
    )


def one_token(index: int, token_id: int, *, offset: int = 0) -> CompletionOutput:
    return CompletionOutput(
        index=index,
        text=chr(token_id),
        token_ids=[token_id],
        token_offsets=[offset],
        logprobs=[logprob_entry(token_id, 0, 1)],
    )


def test_echoed_scores_are_shared_by_the_choices_and_not_copied(engine: FakeEngine) -> None:
    """Each of 128 choices had a deep copy, so that the event loop stood still for a second."""
    request = request_of(n=2, echo=True, logprobs=1)
    renderer = PromptRenderer(request, prompt_of(engine, request), number=0, decode=DECODE)
    whole = output_of(one_token(0, 67), one_token(1, 68), is_scored=True)
    left, right = [choice.logprobs for choice in renderer.choices(whole)]
    assert left is not None
    assert right is not None
    assert (left.tokens, right.tokens) == (["A", "B", "C"], ["A", "B", "D"])
    assert left.text_offset == [0, 1, 2]
    assert left.top_logprobs[1] is right.top_logprobs[1]


def test_only_the_first_chunk_of_a_choice_has_the_prompt(engine: FakeEngine) -> None:
    request = request_of(n=2, echo=True, logprobs=1, return_token_ids=True)
    renderer = PromptRenderer(request, prompt_of(engine, request), number=3, decode=DECODE)
    first = renderer.choices(output_of(one_token(1, 67), is_scored=True))[0]
    second = renderer.choices(output_of(one_token(1, 68, offset=1)))[0]
    other = renderer.choices(output_of(one_token(0, 69)))[0]
    assert [(each.index, each.text) for each in (first, second, other)] == [
        (7, "ABC"),
        (7, "D"),
        (6, "ABE"),
    ]
    assert first.prompt_token_ids == other.prompt_token_ids == [65, 66]
    assert second.prompt_token_ids == []
    assert second.logprobs is not None
    assert second.logprobs.text_offset == [3]


def test_what_repeats_a_prompts_scores_is_slow(engine: FakeEngine) -> None:
    request = request_of(n=2, echo=True, logprobs=1)
    renderer = PromptRenderer(request, prompt_of(engine, request), number=0, decode=DECODE)
    scored, later = output_of(one_token(0, 67), is_scored=True), output_of(one_token(0, 68))
    assert renderer.is_slow(scored)
    renderer.choices(scored)
    assert not renderer.is_slow(later)
    assert renderer.is_slow(output_of(one_token(1, 68))), "its first chunk has the scores as well"


def test_a_large_delta_is_slow(engine: FakeEngine) -> None:
    request = request_of()
    renderer = PromptRenderer(request, prompt_of(engine, request), number=0, decode=DECODE)
    assert not renderer.is_slow(output_of(CompletionOutput(index=0, token_ids=[65] * 64)))
    assert renderer.is_slow(output_of(CompletionOutput(index=0, token_ids=[65] * 65)))


def test_a_delta_without_news_is_no_chunk(engine: FakeEngine) -> None:
    request = request_of(stream=True)
    renderer = CompletionRenderer(
        request, [prompt_of(engine, request)], response_id="i", decode=DECODE
    )
    assert renderer.frames(output_of(CompletionOutput(index=0)), COUNTS) == []
    assert renderer.last_frames(COUNTS) == []


def test_a_chunk_and_a_response_have_the_same_form(engine: FakeEngine) -> None:
    request = request_of(stream=True, stream_options={"continuous_usage_stats": True})
    output = output_of(one_token(0, 67))
    chunk, whole = (
        CompletionRenderer(request, [prompt_of(engine, request)], response_id="i", decode=DECODE)
        for _ in range(2)
    )
    (frame,) = chunk.frames(output, COUNTS)
    fields, whole_fields = json.loads(frame), json.loads(whole.response([output], COUNTS))
    assert fields["usage"]["total_tokens"] == 3
    assert fields | {"created": 0} == whole_fields | {"created": 0}


@pytest.mark.parametrize("name", ["m", '"choices":[]'])
def test_a_response_is_serialised_choice_by_choice_to_the_same_json(
    engine: FakeEngine, name: str
) -> None:
    request = request_of(n=2, logprobs=1, return_token_ids=True)
    renderer = PromptRenderer(request, prompt_of(engine, request), number=0, decode=DECODE)
    choices = renderer.choices(output_of(one_token(0, 67), one_token(1, 68)))
    response = CompletionResponse(id="i", created=1, model=name, choices=choices)
    assert to_large_json(response) == to_json(response).encode()
