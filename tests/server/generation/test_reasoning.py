"""From `reasoning_effort` to a thought length, and from thoughts to text."""

from dataclasses import replace

import pytest
from pydantic import ValidationError
from qstar_server.generation.reasoning import DEFAULT_EFFORTS, Effort, ReasoningText, with_effort
from qstar_server.settings.config import ServerConfig

from qstar_infer.engine.protocol import ModelInfo
from qstar_infer.outputs import Thought
from qstar_infer.sampling_params import SamplingParams

MODEL = ModelInfo(
    name="m",
    max_model_len=100,
    vocab_size=10,
    num_thought_tokens=5,
    max_thought_tokens=8,
    is_trained=True,
    description="",
    created=0,
)


def length_of(effort: Effort | None, share: float = 1.0, model: ModelInfo = MODEL) -> int | None:
    efforts = dict(DEFAULT_EFFORTS) if effort is None else {**DEFAULT_EFFORTS, effort: share}
    params = with_effort(SamplingParams(), effort, model=model, efforts=efforts)
    return params.num_thought_tokens


@pytest.mark.parametrize(
    ("effort", "length"),
    [("minimal", 2), ("low", 3), ("medium", None), ("high", None), ("xhigh", None), ("max", None)],
)
def test_efforts_of_a_model_trained_with_five_tokens(effort: Effort, length: int | None) -> None:
    assert length_of(effort, DEFAULT_EFFORTS[effort]) == length


def test_shares_are_rounded_up_and_capped() -> None:
    assert length_of("high", 1.1) == 6
    assert length_of("high", 100.0) == 8
    assert length_of("low", 0.0) == 0
    assert length_of("low", 0.01) == 1
    cannot_think = replace(MODEL, num_thought_tokens=0, max_thought_tokens=0)
    assert length_of("high", 2.0, cannot_think) is None


def test_an_explicit_length_and_no_effort_are_left_alone() -> None:
    params = SamplingParams(num_thought_tokens=1)
    assert with_effort(params, "low", model=MODEL, efforts=DEFAULT_EFFORTS) is params
    assert with_effort(params, "none", model=MODEL, efforts=DEFAULT_EFFORTS) is params
    assert length_of(None) is None


def thought(text: str) -> Thought:
    return Thought(
        token_id=1,
        token="a",
        thought=text,
        thought_token_ids=[],
        mixing_weight=0.5,
        logprob=-1.0,
        base_logprob=-1.0,
    )


def test_thoughts_are_joined_by_lines_however_they_come() -> None:
    thoughts = [thought(text) for text in ("", "a", "", "b c", "d", "")]
    assert ReasoningText().push(thoughts) == "a\nb c\nd"
    streamed = ReasoningText()
    assert "".join(streamed.push([each]) for each in thoughts) == "a\nb c\nd"


def test_the_operator_changes_some_efforts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSTAR_REASONING_EFFORTS", '{"high": 2}')
    assert ServerConfig().reasoning_efforts == {**DEFAULT_EFFORTS, "high": 2.0}


@pytest.mark.parametrize("value", ['{"huge": 2}', '{"high": -1}', '{"high": "much"}', "[1]", "2"])
def test_a_wrong_effort_stops_the_start(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSTAR_REASONING_EFFORTS", value)
    with pytest.raises(ValidationError, match="reasoning_efforts"):
        ServerConfig()
