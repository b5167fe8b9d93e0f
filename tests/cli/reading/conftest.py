"""Pages for the tests of the reading view."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from qstar_infer.outputs import LikelyToken, Thought
from qstar_infer.saved_run import SavedChoice, SavedRun

MakeRun = Callable[..., SavedRun]


def thought_of(
    token: str, thought: str = "", *, weight: float = 0.5, change: float = 0.0, **more: Any
) -> Thought:
    """A token whose thought changed its log-probability by `change`, from -1 without it."""
    return Thought(
        token_id=1,
        token=token,
        thought=thought,
        thought_token_ids=[1] if thought else [],
        mixing_weight=weight if thought else 0.0,
        logprob=-1.0 + change,
        base_logprob=-1.0,
        **more,
    )


def run_of(
    thoughts: Sequence[Thought], *, text: str | None = None, request: dict[str, Any] | None = None
) -> SavedRun:
    joined = "".join(each.token for each in thoughts) if text is None else text
    return SavedRun(
        created=0,
        model="m",
        endpoint="completions",
        request={"prompt": "Say"} if request is None else request,
        choices=[SavedChoice(index=0, text=joined, finish_reason="stop", thoughts=list(thoughts))],
        usage=None,
        seconds=None,
    )


@pytest.fixture
def story() -> SavedRun:
    """Three lines at 12 columns; the changes are 0.9, 0.5, none, -3 and 0 nats."""
    tops = [LikelyToken(token=" the", token_id=2, logprob=-0.5)]
    return run_of(
        [
            thought_of("Paris", "a city", change=0.9, base_top_logprobs=tops, top_logprobs=tops),
            thought_of(" is", "was\x1b[2J", change=0.5, weight=1.0),
            thought_of(" not"),
            thought_of(" big.\n", "huge", change=-3.0, weight=0.1),
            thought_of("日本", "x", weight=0.0),
        ]
    )
