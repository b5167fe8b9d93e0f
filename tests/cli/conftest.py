"""A scripted `LLM` in place of the real one, so that the command line is tested without weights."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import pytest

import qstar_infer
from qstar_infer.engine.protocol import ModelInfo
from qstar_infer.engine_args import EngineArgs
from qstar_infer.outputs import CompletionOutput, RequestOutput, Thought
from qstar_infer.sampling_params import SamplingParams

ThoughtMaker = Callable[..., Thought]


def _make_thought(token: str, thought: str = "", weight: float = 0.0) -> Thought:
    return Thought(
        token_id=len(token),
        token=token,
        thought=thought,
        thought_token_ids=list(range(len(thought.split()))),
        mixing_weight=weight,
        logprob=-0.5,
        base_logprob=-0.75,
    )


@pytest.fixture
def make_thought() -> ThoughtMaker:
    """Creates a `Thought` from a visible token, the thought before it, and its weight."""
    return _make_thought


@dataclass
class FakeLLM:
    """Answers every prompt with the same script, one token per delta."""

    script: list[Thought]
    engine_args: EngineArgs | None = None
    params: SamplingParams | None = None
    prompt: str | list[int] | None = None
    is_closed: bool = False
    num_streams_ended: int = 0
    messages: list[dict[str, str]] = field(default_factory=list)
    """The conversation of the last answer."""
    on_chat: Callable[[], None] = lambda: None
    on_token: Callable[[int], None] = lambda _: None

    model_info: ModelInfo = ModelInfo(
        name="fake",
        max_model_len=100,
        vocab_size=100,
        num_thought_tokens=5,
        max_thought_tokens=8,
        is_trained=False,
        description="A fake model.",
        created=0,
        chat_template="a template",
    )

    def from_engine_args(self, args: EngineArgs) -> "FakeLLM":
        """Replaces the classmethod."""
        self.engine_args = args
        return self

    def encode_chat(self, messages: list[dict[str, str]]) -> list[int]:
        self.on_chat()
        self.messages = [dict(message) for message in messages]
        return [1, 2, 3]

    def stream(self, prompt: str | list[int], params: SamplingParams) -> Iterator[RequestOutput]:
        self.prompt, self.params = prompt, params
        try:
            begin = 0
            for number, thought in enumerate(self.script):
                self.on_token(number)
                is_last = number == len(self.script) - 1
                yield _output([thought], "length" if is_last else None, begin=begin)
                begin += len(thought.token)
        finally:
            self.num_streams_ended += 1

    def generate(self, prompts: list[str], params: SamplingParams) -> list[RequestOutput]:
        self.prompt, self.params = prompts[0], params
        return [_output(self.script, "length", prompt=prompts[0])]

    def close(self) -> None:
        self.is_closed = True


def _output(
    thoughts: list[Thought], finish_reason: Any, *, begin: int = 0, prompt: str | None = None
) -> RequestOutput:
    lengths = [len(thought.token) for thought in thoughts[:-1]]
    completion = CompletionOutput(
        index=0,
        text="".join(thought.token for thought in thoughts),
        token_ids=[thought.token_id for thought in thoughts],
        token_offsets=list(accumulate(lengths, initial=begin)),
        thoughts=list(thoughts),
        num_thought_tokens=sum(len(thought.thought_token_ids) for thought in thoughts),
        finish_reason=finish_reason,
    )
    return RequestOutput(
        request_id="r",
        prompt=prompt,
        prompt_token_ids=[1],
        outputs=[completion],
        finished=finish_reason is not None,
    )


@pytest.fixture
def fake_llm(monkeypatch: pytest.MonkeyPatch) -> FakeLLM:
    """The `LLM` that every command of this test opens."""
    llm = FakeLLM(
        [
            _make_thought("Paris", "the capital", 0.25),
            _make_thought(" is"),
            _make_thought(" big.\n", "very\nlarge", 1.5),
        ]
    )
    monkeypatch.setitem(vars(qstar_infer), "LLM", llm)
    return llm
