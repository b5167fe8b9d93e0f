"""A scripted engine on its own thread.

It implements `qstar_infer.engine.protocol.Engine` and gives every prompt the same completion, so
that a test knows every token, thought and log-probability in advance.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from qstar_infer.engine.protocol import (
    AdmittedRequest,
    EngineRequest,
    ModelInfo,
    OutputListener,
    TokenizerInfo,
)
from qstar_infer.errors import (
    ContextLengthError,
    EngineClosedError,
    EngineDeadError,
    QueueFullError,
    RequestError,
)
from qstar_infer.outputs import CompletionOutput, EngineStats, RequestOutput
from qstar_infer.thinking_rule import ThinkingPlaces, ThinkingRule, read_rule, resolve_rule
from tests.server.byte_tokens import (
    BOS,
    END_THOUGHT,
    EOS,
    SPECIAL_TEXT,
    START_THOUGHT,
    VOCAB_SIZE,
    bytes_of,
    offsets_of,
    text_of,
    token_ids_of,
    token_text,
)
from tests.server.scripted_output import ScriptedOutput, logprob_entry

MODEL = "fake/thinker"
SCRIPT = "Hé 😀, to be or not.\nYes"
CAPACITY = 320
"""Most sequences that the engine may ever hold."""


class Completion(Protocol):
    """One completion, told step by step."""

    is_finished: bool

    def step(self) -> CompletionOutput:
        """The next delta."""
        ...


@dataclass
class FakeJob:
    """One engine request in progress."""

    admitted: AdmittedRequest
    listener: OutputListener
    outputs: list[Completion]
    has_begun: bool = False


class FakeEngine:
    """Implements `Engine`; tests steer it by its attributes.

    Attributes:
        script: token ids of every completion. They end in EOS, and repeat where that is ignored.
        complete: starts completion number `index` of a request; by default one of `script`.
        step_s: seconds between steps.
        is_full: every submission is refused with QueueFullError.
        is_hung: no steps are made, as if a pass took forever.
        admitted: every request that was checked, in order.
        submitted: every request that was queued, in order.
        aborted: request ids in the order of their aborts.
        num_deltas: how many outputs listeners got.
    """

    def __init__(self, *, max_model_len: int = 512) -> None:
        self.model = ModelInfo(
            name=MODEL,
            max_model_len=max_model_len,
            vocab_size=VOCAB_SIZE,
            num_thought_tokens=3,
            max_thought_tokens=8,
            is_trained=True,
            description="A scripted model.",
            created=1_700_000_000,
            chat_template="{{ a template with tool_calls }}",
        )
        self.tokenizer = TokenizerInfo(
            tokenizer_class="ByteTokenizer",
            num_tokens=VOCAB_SIZE,
            bos_token=SPECIAL_TEXT[BOS],
            eos_token=SPECIAL_TEXT[EOS],
            pad_token=None,
            unk_token=None,
        )
        self.script = [*token_ids_of(SCRIPT), EOS]
        self.complete: Callable[[AdmittedRequest, int], Completion] = self._follow_script
        self.step_s = 0.0
        self.is_full = False
        self.is_hung = False
        self.encode_calls: list[str] = []
        self.render_calls: list[dict[str, Any]] = []
        self.admitted: list[EngineRequest] = []
        self.submitted: list[EngineRequest] = []
        self.aborted: list[str] = []
        self.num_deltas = 0
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._jobs: list[FakeJob] = []
        self._error: EngineDeadError | None = None
        self._thread = threading.Thread(target=self._loop, name="fake-engine", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._error is None

    @property
    def num_open(self) -> int:
        with self._lock:
            return len(self._jobs)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        self.encode_calls.append(text)
        return [BOS] * add_special_tokens + token_ids_of(text)

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        return text_of(token_ids, skip_special_tokens=skip_special_tokens)

    def token_names(self, token_ids: Sequence[int]) -> list[str]:
        return [token_text(each) for each in token_ids]

    def token_bytes(self, token_id: int) -> bytes:
        return bytes_of([token_id], skip_special_tokens=False)

    def offsets(
        self, token_ids: Sequence[int], *, text: str | None = None, skip_special_tokens: bool = True
    ) -> list[int]:
        skips = skip_special_tokens if text is None else text not in SPECIAL_TEXT.values()
        return offsets_of(token_ids, skip_special_tokens=skips)

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """A line for each message; the tools' names first."""
        self.render_calls.append(
            {
                "messages": [dict(message) for message in messages],
                "tools": [dict(tool) for tool in tools],
                "add_generation_prompt": add_generation_prompt,
                "continue_final_message": continue_final_message,
                "options": dict(options or {}),
            }
        )
        names = "".join(f"[{tool['function']['name']}]\n" for tool in tools)
        lines = "\n".join(f"{each['role']}: {each['content']}" for each in messages)
        return names + lines + "\nassistant: " * add_generation_prompt

    def admit(self, request: EngineRequest) -> AdmittedRequest:
        self.admitted.append(request)
        for token_id in request.prompt_token_ids:
            if token_id >= VOCAB_SIZE or token_id in (START_THOUGHT, END_THOUGHT):
                raise RequestError(f"token id {token_id} is not allowed", param="prompt")
        params, model = request.params, self.model
        length = params.num_thought_tokens
        if length is not None and length > model.max_thought_tokens:
            raise RequestError("the thought is too long", param="num_thought_tokens")
        room = model.max_model_len - len(request.prompt_token_ids)
        max_tokens = room if params.max_tokens is None else params.max_tokens
        if params.max_completion_tokens is not None:
            cost = 1 + (model.num_thought_tokens if length is None else length)
            max_tokens = min(max_tokens, params.max_completion_tokens // cost)
        if max_tokens > room or room <= 0:
            raise ContextLengthError(
                f"This model's maximum context length is {model.max_model_len} tokens. However, "
                f"you requested more."
            )
        return AdmittedRequest(
            request=request,
            num_thought_tokens=model.num_thought_tokens if length is None else length,
            places=self._places(params.thinking),
            thought_temperature=model.sampling_defaults.resolve_thought_temperature(params),
            max_tokens=max_tokens,
            eos_token_ids=frozenset() if params.ignore_eos else frozenset({EOS}),
        )

    def _places(self, thinking: ThinkingRule | Mapping[str, Any] | None) -> ThinkingPlaces:
        rule = self.model.thinking if thinking is None else read_rule(thinking)
        ids = {text: token_id for token_id, text in SPECIAL_TEXT.items()}
        try:
            return resolve_rule(rule, id_of=ids.get, vocab_size=VOCAB_SIZE, has_gate=False)
        except ValueError as error:
            raise RequestError(f"thinking: {error}", param="thinking") from None

    def check_room(self, num_sequences: int) -> None:
        del num_sequences
        if self.is_full:
            raise QueueFullError("the queue is full", retry_after_s=7)

    def submit(self, requests: Sequence[AdmittedRequest], listener: OutputListener) -> None:
        num_sequences = sum(each.request.params.num_candidates for each in requests)
        if num_sequences > CAPACITY:
            param = "n" if len(requests) == 1 else "prompt"
            raise RequestError(f"{num_sequences} sequences are too many", param=param)
        with self._lock:
            if self._error is not None:
                raise self._error
            self.check_room(num_sequences)
            for each in requests:
                count = each.request.params.num_candidates
                outputs = [self.complete(each, index) for index in range(count)]
                self.submitted.append(each.request)
                self._jobs.append(FakeJob(each, listener, outputs))
        self._wake.set()

    def _follow_script(self, admitted: AdmittedRequest, index: int) -> Completion:
        return ScriptedOutput(admitted, index, self.script)

    def abort(self, request_id: str) -> None:
        with self._lock:
            self.aborted.append(request_id)
            self._jobs = [
                job for job in self._jobs if job.admitted.request.request_id != request_id
            ]

    def stats(self) -> EngineStats:
        return EngineStats(num_running=self.num_open)

    def close(self) -> None:
        self.die(EngineClosedError("closed"))
        self._thread.join()

    def die(self, error: EngineDeadError) -> None:
        """End the loop; open requests get the error."""
        with self._lock:
            if self._error is None:
                self._error = error
        self._wake.set()

    def abandon(self, error: EngineDeadError) -> None:
        self.die(error)

    def fail(self, error: Exception) -> None:
        """End the open requests with an error; the loop continues."""
        with self._lock:
            jobs, self._jobs = self._jobs, []
        for job in jobs:
            job.listener(error)

    def _loop(self) -> None:
        while self._error is None:
            self._wake.clear()
            with self._lock:
                running = [] if self.is_hung else list(self._jobs)
            for job in running:
                self._step(job)
            if self._error is None and not running:
                self._wake.wait(0.01)
            if self.step_s:
                time.sleep(self.step_s)
        self.fail(self._error)

    def _step(self, job: FakeJob) -> None:
        request = job.admitted.request
        delta = RequestOutput(
            request_id=request.request_id,
            prompt_token_ids=request.prompt_token_ids,
            outputs=[output.step() for output in job.outputs if not output.is_finished],
        )
        k = request.params.prompt_logprobs
        if k is not None and not job.has_begun:
            scored = request.prompt_token_ids[1:]
            delta.prompt_logprobs = [None, *(logprob_entry(each, 0, k) for each in scored)]
            delta.num_prompt_thought_tokens = job.admitted.num_thought_tokens * len(scored)
        job.has_begun = True
        delta.finished = all(output.is_finished for output in job.outputs)
        with self._lock:
            if job not in self._jobs:
                return
            if delta.finished:
                self._jobs.remove(job)
        job.listener(delta)
        self.num_deltas += 1
