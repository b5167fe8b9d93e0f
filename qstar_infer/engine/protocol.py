"""The interface between a server and an engine, without tensors or HTTP."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from qstar_infer.errors import EngineDeadError
from qstar_infer.outputs import CompletionOutput, EngineStats, RequestOutput
from qstar_infer.sampling_defaults import SamplingDefaults
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.thinking_rule import EVERYWHERE, ThinkingPlaces, ThinkingRule
from qstar_infer.token_rules import TokenRules

CLOSE_TIMEOUT_S = 3.0
"""Most seconds that closing an engine waits for its current step."""

OutputListener = Callable[[RequestOutput | Exception], None]
"""Called on the engine's thread with each delta; the last has `finished` set. If an error ends the
request, called a last time with that error. Must not block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """Facts about the model that an engine serves."""

    name: str
    max_model_len: int
    """Most visible tokens, prompt and output together."""
    vocab_size: int
    """Rows of the embedding; token ids are in `[0, vocab_size)`."""
    num_thought_tokens: int
    """Thought length as trained; 0 for a model that cannot think."""
    max_thought_tokens: int
    """Most thought tokens a request may ask for; 0 for a model that cannot think."""
    is_trained: bool
    """False if thoughts change nothing: the talk head is fresh, or there is none."""
    description: str
    """One sentence, for start-up messages and model cards."""
    created: int
    """Unix time, seconds."""
    sampling_defaults: SamplingDefaults = SamplingDefaults()
    """The checkpoint's values for fields that requests leave out."""
    thinking: ThinkingRule = EVERYWHERE
    """At which tokens it thinks, unless a request says otherwise."""
    has_gate: bool = False
    """Whether a request may ask for the rule "gate"."""
    chat_template: str | None = None
    """The Jinja text that renders conversations; None if the model has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerInfo:
    """Facts about a tokenizer, for clients that prepare prompts themselves."""

    tokenizer_class: str
    num_tokens: int
    """Token ids are in `[0, num_tokens)`. The embedding may have more rows than this, or fewer."""
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    unk_token: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """One prompt and its sampling parameters."""

    request_id: str
    prompt_token_ids: list[int]
    params: SamplingParams
    show_thoughts: bool = True
    """Whether the output has `thoughts`. If not, their text is not decoded."""
    priority: int = 0
    """A request with a lower number is served sooner, and preempts those with a higher one if there
    is no room for it. It never changes the output."""
    cache_salt: str | None = None
    """Prefixes are shared only with requests of the same salt; up to 1,024 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedRequest:
    """A request that an engine has checked and can serve, with defaults filled in.

    Created only by `Engine.admit`.
    """

    request: EngineRequest
    num_thought_tokens: int
    """0: do not think."""
    places: ThinkingPlaces
    """At which tokens to think, if `num_thought_tokens` is above 0."""
    thought_temperature: float
    max_tokens: int
    """Most visible tokens to produce."""
    eos_token_ids: frozenset[int]
    """Token ids that end the output; empty if `ignore_eos` is set."""
    rules: TokenRules = TokenRules()
    """What limits the visible tokens."""

    def empty_output(self, prompt: str | None = None) -> RequestOutput:
        """An empty output, to which `RequestOutput.extend` adds the deltas."""
        request = self.request
        return RequestOutput(
            prompt=prompt,
            request_id=request.request_id,
            prompt_token_ids=request.prompt_token_ids,
            outputs=[CompletionOutput(index=i) for i in range(request.params.num_candidates)],
        )


class Engine(Protocol):
    """A running engine. All methods are thread-safe."""

    @property
    def model(self) -> ModelInfo: ...

    @property
    def is_alive(self) -> bool:
        """False after the engine loop has ended, by an error or by `close`."""
        ...

    @property
    def tokenizer(self) -> TokenizerInfo: ...

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a text. Takes long for long texts: do not call it on an event loop."""
        ...

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Text of token ids."""
        ...

    def token_names(self, token_ids: Sequence[int]) -> list[str]:
        """The name of each token in the vocabulary; "" for an id without a token."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """What a token stands for in the middle of a text: perhaps a part of a character."""
        ...

    def offsets(
        self, token_ids: Sequence[int], *, text: str | None = None, skip_special_tokens: bool = True
    ) -> list[int]:
        """Where each token begins in `text`, which was encoded to these ids, or in their text.

        Takes long for long prompts: do not call it on an event loop.
        """
        ...

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of a conversation; encode it without further special tokens.

        Takes long for long conversations: do not call it on an event loop.

        Args:
            messages: with the keys that chat templates read: `role`, `content`, `tool_calls` ...
            tools: JSON schemas of functions, as `transformers` passes them to a template.
            add_generation_prompt: end with what begins the model's answer.
            continue_final_message: leave the last message open; not with `add_generation_prompt`.
            options: further variables of the template.

        Raises:
            RequestError: the model has no chat template, or the template refuses the conversation;
                the message says why.
        """
        ...

    def admit(self, request: EngineRequest) -> AdmittedRequest:
        """Check a request and fill in its defaults.

        Takes long for long prompts: do not call it on an event loop.

        Raises:
            RequestError: the request can never be served; `param` names the field at fault.
        """
        ...

    def submit(self, requests: Sequence[AdmittedRequest], listener: OutputListener) -> None:
        """Queue all of these requests, or none of them.

        Raises:
            RequestError: they need more sequences than the engine can hold, or an id is in use.
            QueueFullError: there is no room for all of their sequences now.
            EngineDeadError: the engine loop has ended.
            EngineClosedError: `close` was called.
        """
        ...

    def abort(self, request_id: str) -> None:
        """Drop a request and release its memory; unknown or finished ids are ignored."""
        ...

    def stats(self) -> EngineStats:
        """Counts and load. Takes no lock, so that it answers while a step hangs."""
        ...

    def abandon(self, error: EngineDeadError) -> None:
        """Give up a loop that does not return from a step: the engine is dead from here on.

        Open requests end with this error. Does not wait.
        """
        ...

    def close(self) -> None:
        """End the loop and wait for its end; open requests end with EngineClosedError.

        A step that takes longer than `CLOSE_TIMEOUT_S` is abandoned.
        """
        ...
