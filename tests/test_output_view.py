"""Outputs of `LLM` in a notebook: the same bytes as the Python client shows for the same answer."""

import pytest
from qstar_client import Completion
from qstar_client import ThoughtsView as ClientView

from qstar_infer import CompletionOutput, RequestOutput, Thought, ThoughtsView
from qstar_infer.outputs import Draft, DroppedThought, LikelyToken, Passes

TOP = LikelyToken(token=" 4", token_id=4, logprob=-0.125)
PASSES = Passes(
    first=2,
    last=7,
    draft=Draft(token=" <5>", token_id=5, is_fed=True, is_kept=False),
    dropped=[DroppedThought(token=" <5>", first=3, last=7)],
)


def thought(token: str, *, is_detailed: bool) -> Thought:
    return Thought(
        token=token,
        token_id=4,
        thought=" <b>two</b> pairs",
        thought_token_ids=[1, 2],
        mixing_weight=0.625,
        logprob=-0.125,
        base_logprob=-2.0,
        top_logprobs=[TOP] if is_detailed else None,
        base_top_logprobs=[TOP] if is_detailed else None,
        passes=PASSES if is_detailed else None,
    )


def as_answer(output: RequestOutput) -> Completion:
    """The same answer, as the client reads it."""
    choices = [
        {
            "index": each.index,
            "text": each.text,
            "thoughts": [entry.as_entry() for entry in each.thoughts] or None,
        }
        for each in output.outputs
    ]
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "tiny"}
    return Completion.model_validate({**head, "choices": choices})


def request_output(*outputs: list[Thought]) -> RequestOutput:
    return RequestOutput(
        request_id="1",
        prompt_token_ids=[1],
        outputs=[
            CompletionOutput(index=index, thoughts=thoughts)
            for index, thoughts in enumerate(outputs)
        ],
    )


@pytest.mark.parametrize("is_detailed", [False, True])
@pytest.mark.parametrize("num_outputs", [1, 3])
def test_engine_and_client_show_the_same(is_detailed: bool, num_outputs: int) -> None:
    entries = [thought(" 4", is_detailed=is_detailed), thought(".", is_detailed=is_detailed)]
    output = request_output(*[entries[: index + 1] for index in range(num_outputs)])
    answer = as_answer(output)
    html = output._repr_html_()
    assert html is not None
    assert html == answer._repr_html_()
    assert html.count("<details") == sum(len(each.thoughts) for each in output.outputs)
    assert ("Thoughts dropped after" in html) == is_detailed
    assert output.outputs[0]._repr_html_() == answer.choices[0]._repr_html_()
    some = answer.choices[0].thoughts
    assert some
    assert ThoughtsView(entries[:1])._repr_html_() == ClientView(some[:1])._repr_html_()


def test_outputs_without_thoughts_show_themselves_in_the_usual_way() -> None:
    output = request_output([])
    assert output._repr_html_() is None
    assert output.outputs[0]._repr_html_() is None
    assert ThoughtsView([])._repr_html_() is None


def test_half_a_character_can_be_written_to_a_file() -> None:
    html = ThoughtsView([thought("\ud83d", is_detailed=False)])._repr_html_()
    assert html is not None
    assert "<summary>\\ud83d</summary>" in html.encode().decode()
