"""Runs an engine on its own thread; implements the `Engine` protocol.

Callers put commands into an inbox, and only the engine's thread uses the engine. It executes the
commands between two steps, so that a submission or an abort takes effect within one step.
"""

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from qstar_infer.engine.failure import RequestFailure, request_failed
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine.protocol import (
    CLOSE_TIMEOUT_S,
    AdmittedRequest,
    EngineRequest,
    ModelInfo,
    OutputListener,
    TokenizerInfo,
)
from qstar_infer.errors import (
    EngineClosedError,
    EngineDeadError,
    NotFiniteError,
    NoTokenError,
    QueueFullError,
    RequestError,
    RequestFailedError,
)
from qstar_infer.outputs import EngineStats, RequestOutput

_log = logging.getLogger(__name__)

MAX_FAILED_STEPS = 3
"""After this many failed steps in a row, each with other requests, the engine stops."""
MAX_LOGGED_IDS = 20
_LAST_WORDS_S = 1.0
"""For the thread of a loop that has ended or is given up."""


@dataclass(slots=True)
class _OpenRequest:
    listener: OutputListener
    num_sequences: int
    num_waiting_tokens: int
    """Tokens of the prompt; 0 once there is output."""


class AsyncEngine:
    """Runs an `LLMEngine` on its own thread; see `Engine` for each method."""

    def __init__(self, engine: LLMEngine) -> None:
        self._engine = engine
        self._capacity = engine.config.max_num_seqs + engine.config.max_queue
        self._max_queued_tokens = engine.config.max_queued_tokens
        self._open: dict[str, _OpenRequest] = {}
        self._changed = threading.Condition()
        self._inbox: list[Callable[[], None]] = []
        self._told: set[str] = set()
        """Messages that are logged once, because every request may fail with them."""
        self._is_closing = False
        self._is_alive = True
        self._thread = threading.Thread(target=self._run, name="qstar-engine", daemon=True)
        self._thread.start()

    @property
    def model(self) -> ModelInfo:
        return self._engine.model_info

    @property
    def is_alive(self) -> bool:
        return self._is_alive and self._thread.is_alive()

    @property
    def tokenizer(self) -> TokenizerInfo:
        return self._engine.token_text.info

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return self._engine.token_text.encode(text, add_special_tokens=add_special_tokens)

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        return self._engine.token_text.decode(token_ids, skip_special_tokens=skip_special_tokens)

    def token_names(self, token_ids: Sequence[int]) -> list[str]:
        return self._engine.token_text.names(token_ids)

    def token_bytes(self, token_id: int) -> bytes:
        return self._engine.token_text.bytes_of_token(token_id)

    def offsets(
        self, token_ids: Sequence[int], *, text: str | None = None, skip_special_tokens: bool = True
    ) -> list[int]:
        return self._engine.token_text.offsets(
            token_ids, text=text, skip_special_tokens=skip_special_tokens
        )

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        return self._engine.chat_template.render(
            messages,
            tools=tools,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            options=options,
        )

    def admit(self, request: EngineRequest) -> AdmittedRequest:
        return self._engine.admission.admit(request)

    def check_room(self, num_sequences: int) -> None:
        if num_sequences > self._capacity:
            return  # for ever: `submit` says so
        with self._changed:
            self._check_queue(num_sequences, num_tokens=0)

    def submit(self, requests: Sequence[AdmittedRequest], listener: OutputListener) -> None:
        num_new = self._engine.admission.check_num_sequences(requests)
        num_tokens = self._engine.admission.check_num_tokens(requests)
        with self._changed:
            if self._is_closing:
                raise EngineClosedError("the engine is closed and accepts no more requests")
            if not self.is_alive:
                raise EngineDeadError("the engine has stopped; restart the server")
            self._check_queue(num_new, num_tokens=num_tokens)
            for admitted in requests:
                request_id = admitted.request.request_id
                if request_id in self._open:
                    raise RequestError(
                        f"the request id {request_id!r} is already in use", param="request_id"
                    )
            for admitted in requests:
                request = admitted.request
                self._open[request.request_id] = _OpenRequest(
                    listener, request.params.num_candidates, len(request.prompt_token_ids)
                )
                self._inbox.append(partial(self._add, admitted, time.monotonic()))
            self._changed.notify()

    def abort(self, request_id: str) -> None:
        with self._changed:
            if self._open.pop(request_id, None) is not None:
                self._inbox.append(partial(self._engine.abort, request_id))
                self._changed.notify()

    def stats(self) -> EngineStats:
        return self._engine.stats()

    def close(self) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(CLOSE_TIMEOUT_S if self._is_alive else _LAST_WORDS_S)
        if self._thread.is_alive():
            self._end(EngineClosedError("the engine was closed while a step did not return"))
        else:
            self._engine.close()

    def abandon(self, error: EngineDeadError) -> None:
        _log.critical("the engine is given up: %s; it is in %s", error, _place_of(self._thread))
        self._end(error)

    def _check_queue(self, num_sequences: int, *, num_tokens: int) -> None:
        num_open = sum(each.num_sequences for each in self._open.values())
        if num_open + num_sequences > self._capacity:
            raise QueueFullError(
                f"the engine holds {num_open} of at most {self._capacity} sequences and cannot "
                f"accept {num_sequences} more now; try again later"
            )
        num_waiting = sum(each.num_waiting_tokens for each in self._open.values())
        if num_waiting + num_tokens > self._max_queued_tokens:
            raise QueueFullError(
                f"{num_waiting} prompt tokens wait, of at most {self._max_queued_tokens}, so that "
                f"{num_tokens} more cannot be accepted now; try again later"
            )

    # --- on the engine's thread -----------------------------------------------------------------

    def _run(self) -> None:
        error: EngineDeadError = EngineClosedError(
            "the engine was closed before the request finished"
        )
        try:
            while self._drain_inbox():
                if self._engine.has_work:
                    self._step()
        except BaseException as cause:
            # The engine's state is unknown; continuing could corrupt other requests.
            _log.exception("the engine loop ended with an error")
            is_told = isinstance(cause, EngineDeadError)
            said = str(cause) if is_told else f"an error: {type(cause).__name__}"
            error = EngineDeadError(f"the engine stopped with {said}")
        self._end(error)

    def _drain_inbox(self) -> bool:
        """Wait for work and execute the commands; False if the engine is to close."""
        with self._changed:
            while not (self._inbox or self._is_closing or self._engine.has_work):
                self._changed.wait()
            commands, self._inbox = self._inbox, []
            is_over = self._is_closing or not self._is_alive  # or abandoned in the last step
        for command in commands:
            command()
        return not is_over

    def _add(self, admitted: AdmittedRequest, queued_s: float) -> None:
        try:
            self._engine.add_request(admitted, queued_s=queued_s)
        except Exception as cause:
            request_id = admitted.request.request_id
            failure = RequestFailure(request_id=request_id, error=request_failed(cause))
            self._deliver_all([failure])

    def _step(self) -> None:
        self._deliver_all(self._engine.step())
        num_failed = self._engine.num_failed_steps
        if num_failed >= MAX_FAILED_STEPS:
            raise RuntimeError(f"{num_failed} steps failed in a row, each with other requests")

    def _deliver_all(self, news: Sequence[RequestOutput | RequestFailure]) -> None:
        failures = [item for item in news if isinstance(item, RequestFailure)]
        for error in dict.fromkeys(failure.error for failure in failures):
            self._log_failure(error, [each.request_id for each in failures if each.error is error])
        for item in news:
            self._deliver(item)

    def _log_failure(self, error: RequestFailedError, request_ids: list[str]) -> None:
        if isinstance(error, NoTokenError):
            return  # the client is told, and nobody else can mend it
        if not isinstance(error, NotFiniteError):
            names = ", ".join(request_ids[:MAX_LOGGED_IDS])
            message = "an error ended %d requests; the others continue: %s"
            _log.error(message, len(request_ids), names, exc_info=error)
        elif str(error) not in self._told:
            self._told.add(str(error))
            _log.error("a request ended with an error that is logged only once: %s", error)

    def _deliver(self, news: RequestOutput | RequestFailure) -> None:
        with self._changed:
            request = self._open.get(news.request_id)
            if request is None:
                return
            request.num_waiting_tokens = 0
            if isinstance(news, RequestFailure) or news.finished:
                del self._open[news.request_id]
        self._notify(request.listener, news.error if isinstance(news, RequestFailure) else news)

    def _end(self, error: EngineDeadError) -> None:
        with self._changed:
            self._is_alive = False
            requests, self._open = list(self._open.values()), {}
        for request in requests:
            self._notify(request.listener, error)

    def _notify(self, listener: OutputListener, news: RequestOutput | Exception) -> None:
        try:
            listener(news)
        except Exception:
            # An error in one listener must not end the loop for the others.
            _log.exception("a listener failed")


def _place_of(thread: threading.Thread) -> str:
    """The innermost functions that a thread is in, with files and lines."""
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return "no function: its thread has ended"
    stack = reversed(traceback.extract_stack(frame)[-5:])
    return " < ".join(f"{each.name} ({each.filename}:{each.lineno})" for each in stack)
