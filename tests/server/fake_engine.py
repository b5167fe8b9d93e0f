"""A scripted engine on its own thread, with a byte for a token.

It keeps the contract of `qstar_infer.engine.protocol.Engine`, and answers any prompt with
`script`, so that a test knows every token, thought and log-probability beforehand.
"""

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from qstar_infer.engine.protocol import EngineRequest, ModelInfo, OutputListener
from qstar_infer.errors import (
    ContextLengthError,
    EngineClosedError,
    EngineDeadError,
    QueueFullError,
    RequestError,
)
from qstar_infer.outputs import CompletionOutput, EngineStats, Logprob, RequestOutput, Thought

BOS, EOS, START_THOUGHT, END_THOUGHT = 256, 257, 258, 259
VOCAB_SIZE = 260
SPECIAL_TEXT = {BOS: "<s>", EOS: "</s>", START_THOUGHT: "<|start|>", END_THOUGHT: "<|end|>"}
THOUGHT_TEXT = "zq"
"""What every thought says; appears in no script, so that a leak is easy to find."""
SCRIPT = "Hé 😀, to be or not.\nYes"


def token_ids_of(text: str) -> list[int]:
    """A text that is a special token's own is that token."""
    for token_id, special in SPECIAL_TEXT.items():
        if text == special:
            return [token_id]
    return list(text.encode())


def text_of(token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
    parts: list[str] = []
    for is_byte, group in itertools.groupby(token_ids, lambda token_id: token_id < 256):
        if is_byte:
            parts.append(bytes(group).decode(errors="replace"))
        elif not skip_special_tokens:
            parts += [SPECIAL_TEXT[token_id] for token_id in group]
    return "".join(parts)


def logprob_of(token_id: int, index: int) -> float:
    """A log-probability that a test can compute; later candidates are likelier."""
    return -(token_id % 7 + 1.3) / (index + 1)


def logprob_entry(token_id: int, index: int, k: int) -> dict[int, Logprob]:
    """The token and the k likeliest, of which the last is impossible."""
    others = [(token_id + step) % 256 for step in range(1, k + 1)]
    entry = {token_id: Logprob(logprob=logprob_of(token_id, index), decoded_token=one(token_id))}
    for number, other in enumerate(others):
        logprob = float("-inf") if number == 2 else -0.25 * (number + 1)
        entry[other] = Logprob(logprob=logprob, decoded_token=one(other))
    return dict(list(entry.items())[: k + 1])


def one(token_id: int) -> str:
    return text_of([token_id], skip_special_tokens=False)


@dataclass
class FakeSequence:
    """One completion in progress."""

    request: EngineRequest
    index: int
    script: list[int]
    ids: list[int] = field(default_factory=list)
    num_shown: int = 0
    is_finished: bool = False

    def step(self, num_thought_tokens: int) -> CompletionOutput:
        params = self.request.params
        delta = CompletionOutput(index=self.index, logprobs=None if params.logprobs is None else [])
        if params.max_tokens == 0:
            return self._finish(delta, "length", "")
        token_id = self.script[len(self.ids) % len(self.script)]
        self.ids.append(token_id)
        delta.token_ids = [token_id]
        delta.thoughts = [self._thought(token_id, num_thought_tokens)]
        if delta.logprobs is not None:
            assert params.logprobs is not None
            delta.logprobs.append(logprob_entry(token_id, self.index, params.logprobs))
        return self._show(delta, token_id)

    def _show(self, delta: CompletionOutput, token_id: int) -> CompletionOutput:
        params = self.request.params
        text = text_of(self.ids, skip_special_tokens=params.skip_special_tokens)
        ends = [(text.find(stop), stop) for stop in params.stop if stop in text]
        if ends:
            start, stop = min(ends)
            kept = len(stop) if params.include_stop_str_in_output else 0
            return self._finish(delta, "stop", text[: start + kept])
        is_end = token_id == EOS and not params.ignore_eos
        if len(self.ids) > params.min_tokens and (is_end or token_id in params.stop_token_ids):
            return self._finish(delta, "stop", text)
        if len(self.ids) == params.max_tokens:
            return self._finish(delta, "length", text)
        settled = text.rstrip("\ufffd")
        held = max(
            (
                size
                for stop in params.stop
                for size in range(1, len(stop))
                if settled.endswith(stop[:size])
            ),
            default=0,
        )
        self._show_up_to(delta, settled[: len(settled) - held])
        return delta

    def _show_up_to(self, delta: CompletionOutput, text: str) -> None:
        delta.text = text[self.num_shown :]
        self.num_shown = max(self.num_shown, len(text))

    def _finish(self, delta: CompletionOutput, reason: str, text: str) -> CompletionOutput:
        self._show_up_to(delta, text)
        delta.finish_reason = "stop" if reason == "stop" else "length"
        self.is_finished = True
        return delta

    def _thought(self, token_id: int, num_thought_tokens: int) -> Thought:
        thought = (THOUGHT_TEXT * num_thought_tokens)[:num_thought_tokens]
        return Thought(
            token_id=token_id,
            token=one(token_id),
            thought=thought,
            thought_token_ids=list(thought.encode()),
            mixing_weight=0.5 if num_thought_tokens else 0.0,
            logprob=logprob_of(token_id, self.index),
            base_logprob=logprob_of(token_id, self.index) - 0.5,
        )


@dataclass
class FakeJob:
    """One engine request in progress."""

    request: EngineRequest
    listener: OutputListener
    sequences: list[FakeSequence]
    has_begun: bool = False


class FakeEngine:
    """Implements `Engine`; the attributes below steer it.

    Attributes:
        script: token ids of every completion, repeated for ever; its end is an EOS.
        step_s: seconds between steps.
        max_running: requests that run at once; others wait.
        max_waiting_sequences: more of them are refused.
        is_hung: True: no steps, as if a pass took for ever.
        aborted: request ids in the order of their aborts.
        submitted: every request, in order.
    """

    def __init__(self, script: str = SCRIPT, *, max_model_len: int = 512) -> None:
        self.model = ModelInfo(
            name="fake/thinker",
            max_model_len=max_model_len,
            vocab_size=VOCAB_SIZE,
            num_thought_tokens=3,
            max_thought_tokens=8,
            is_trained=True,
            description="A scripted model.",
            created=1_700_000_000,
        )
        self.script = [*token_ids_of(script), EOS]
        self.step_s = 0.0
        self.max_running = 1000
        self.max_waiting_sequences = 1000
        self.is_hung = False
        self.aborted: list[str] = []
        self.submitted: list[EngineRequest] = []
        self.encode_calls: list[str] = []
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

    def check(self, request: EngineRequest) -> None:
        for token_id in request.prompt_token_ids:
            if token_id >= VOCAB_SIZE or token_id in (START_THOUGHT, END_THOUGHT):
                raise RequestError(f"token id {token_id} is not allowed", param="prompt")
        params = request.params
        if (params.num_thought_tokens or 0) > self.model.max_thought_tokens:
            raise RequestError("too long a thought", param="num_thought_tokens")
        limit = self.model.max_model_len
        total = len(request.prompt_token_ids) + (params.max_tokens or 0)
        if total > limit:
            raise ContextLengthError(
                f"This model's maximum context length is {limit} tokens. However, you requested "
                f"{total} tokens."
            )

    def submit(self, requests: Sequence[EngineRequest], listener: OutputListener) -> None:
        for request in requests:
            self.check(request)
        with self._lock:
            if self._error is not None:
                raise self._error
            waiting = sum(job.request.params.n for job in self._jobs[self.max_running :])
            if waiting + sum(r.params.n for r in requests) > self.max_waiting_sequences:
                raise QueueFullError("the queue is full", retry_after_s=7)
            for request in requests:
                self.submitted.append(request)
                sequences = [
                    FakeSequence(request, index, self.script) for index in range(request.params.n)
                ]
                self._jobs.append(FakeJob(request, listener, sequences))
        self._wake.set()

    def abort(self, request_id: str) -> None:
        with self._lock:
            self.aborted.append(request_id)
            self._jobs = [job for job in self._jobs if job.request.request_id != request_id]

    def stats(self) -> EngineStats:
        return EngineStats()

    def close(self) -> None:
        self.die(EngineClosedError("closed"))
        self._thread.join()

    def die(self, error: EngineDeadError) -> None:
        """End the loop; open requests get the error."""
        with self._lock:
            if self._error is None:
                self._error = error
        self._wake.set()

    def fail(self, error: Exception) -> None:
        """End the open requests with an error; the loop goes on."""
        with self._lock:
            jobs, self._jobs = self._jobs, []
        for job in jobs:
            job.listener(error)

    def _loop(self) -> None:
        while self._error is None:
            self._wake.clear()
            with self._lock:
                running = [] if self.is_hung else self._jobs[: self.max_running]
            for job in running:
                self._step(job)
            if self._error is None and (not running or self.step_s):
                self._wake.wait(self.step_s if running else 0.01)
            if self.step_s:
                time.sleep(self.step_s)
        self.fail(self._error)

    def _step(self, job: FakeJob) -> None:
        params = job.request.params
        length = params.num_thought_tokens
        length = self.model.num_thought_tokens if length is None else length
        delta = RequestOutput(
            request_id=job.request.request_id,
            prompt_token_ids=job.request.prompt_token_ids,
            outputs=[seq.step(length) for seq in job.sequences if not seq.is_finished],
        )
        if params.prompt_logprobs is not None and not job.has_begun:
            k = params.prompt_logprobs
            ids = job.request.prompt_token_ids
            delta.prompt_logprobs = [None, *(logprob_entry(i, 0, k) for i in ids[1:])]
            delta.num_prompt_thought_tokens = length * (len(ids) - 1)
        job.has_begun = True
        delta.finished = all(seq.is_finished for seq in job.sequences)
        with self._lock:
            if job not in self._jobs:
                return
            if delta.finished:
                self._jobs.remove(job)
        job.listener(delta)
