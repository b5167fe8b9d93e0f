"""A conversation in the terminal: its turns, and how the next answer is made."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console

from qstar_infer.cli.printer import AnswerPrinter, View, view_of
from qstar_infer.cli.reading.ability import can_read, needed_terminal
from qstar_infer.cli.recording import run_of, with_alternatives
from qstar_infer.cli.terminal import safe_text
from qstar_infer.errors import ConfigError, RequestError, RequestFailedError
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.saved_run import SavedRun

if TYPE_CHECKING:
    from qstar_infer.llm import LLM

DEFAULT_MAX_TOKENS = 512
"""Of an answer, where the model's context has room for so many."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A message that has an answer."""

    message: str
    run: SavedRun

    @property
    def answer(self) -> str:
        """The text of the answer."""
        return self.run.choices[0].text


class Conversation:
    """The turns so far, and what the next answer depends on.

    Attributes:
        console: what answers and notes are printed to.
        info: facts about the model.
        params: of the next answer; `max_tokens` None is `DEFAULT_MAX_TOKENS`, or as many as fit.
        system: the system message; None: there is none.
        turns: those with an answer.
        shows_thoughts: whether the thoughts of the next answer are printed in its text.
        has_failed: whether a message has no answer.
        is_over: whether its user has ended it.
    """

    def __init__(
        self,
        llm: "LLM",
        params: SamplingParams,
        *,
        system: str | None,
        show_thoughts: bool | None,
    ) -> None:
        """
        Raises:
            ConfigError: the model has no chat template.
        """
        if llm.model_info.chat_template is None:
            raise ConfigError(
                f"{llm.model_info.name} has no chat template; use `qstar generate` for it"
            )
        self._llm = llm
        self.console = Console(highlight=False)
        self._quiet_view = view_of(self.console, None if show_thoughts else show_thoughts)
        self.info = llm.model_info
        self.params = params
        self.system = system
        self.turns: list[Turn] = []
        self.shows_thoughts = show_thoughts is True
        self.has_failed = False
        self.is_over = False

    def ask(self, message: str) -> None:
        """One turn. A message without an answer is dropped, and the chat continues."""
        messages = [*self._messages(), {"role": "user", "content": message}]
        try:
            run = self._answer(messages)
        except (RequestError, RequestFailedError) as error:
            self.has_failed = True
            self.show_error(str(error))
            return
        self.turns.append(Turn(message, run))

    def look(self) -> None:
        """Read the thoughts of the answers, the newest first.

        Raises:
            RequestError: there is no answer, or the terminal cannot show it.
        """
        if not self.turns:
            raise RequestError("there is no answer yet")
        if not can_read(self.console):
            raise RequestError(f"/look {needed_terminal()}; /thoughts shows thoughts in the text")
        from qstar_infer.cli.reading.app import read_runs  # imports prompt_toolkit

        read_runs([turn.run for turn in self.turns], self.console, begin=len(self.turns) - 1)

    def note(self, text: str) -> None:
        """Tell the user something, if there is a terminal; a pipe holds answers only."""
        if self.console.is_terminal:
            self.console.print(safe_text(text, "dim"))

    def show_error(self, text: str) -> None:
        """Show an error on stderr, because stdout may be a file of answers."""
        Console(stderr=True).print(safe_text(f"error: {text}", "red"), soft_wrap=True)

    def _messages(self) -> list[dict[str, str]]:
        opening = [] if self.system is None else [{"role": "system", "content": self.system}]
        for turn in self.turns:
            opening.append({"role": "user", "content": turn.message})
            opening.append({"role": "assistant", "content": turn.answer})
        return opening

    def _answer(self, messages: list[dict[str, str]]) -> SavedRun:
        printer = AnswerPrinter(self.console, view=self._view())
        started = time.perf_counter()
        with catch_interrupt() as is_interrupted:
            prompt_ids = self._prompt_ids(messages)
            params = self._params_behind(prompt_ids)
            stream = self._llm.stream(prompt_ids, params)
            try:
                for delta in stream:
                    for output in delta.outputs:
                        printer.push(output)
                    if is_interrupted.is_set():
                        break
            finally:
                stream.close()
                printer.finish()
                printer.end_line()
        seconds = time.perf_counter() - started
        self._print_summary(printer, seconds)
        return run_of(
            printer.answer,
            params,
            model=self.info.name,
            prompt={"messages": messages},
            num_prompt_tokens=len(prompt_ids),
            seconds=seconds,
        )

    def _view(self) -> View:
        return "thoughts" if self.shows_thoughts else self._quiet_view

    def _print_summary(self, printer: AnswerPrinter, seconds: float) -> None:
        if not self.console.is_terminal:
            return
        if not self.turns:
            printer.print_legend()
        can_look = can_read(self.console) and printer.answer.thoughts
        printer.print_counts(seconds, hint="Tab: its thoughts" if can_look else "")

    def _params_behind(self, prompt_ids: list[int]) -> SamplingParams:
        params = with_alternatives(self.params) if can_read(self.console) else self.params
        if params.max_tokens is not None:
            return params
        room = self.info.max_model_len - len(prompt_ids)
        return replace(params, max_tokens=min(DEFAULT_MAX_TOKENS, max(room, 1)))

    def _prompt_ids(self, messages: list[dict[str, str]]) -> list[int]:
        try:
            return self._llm.encode_chat(messages)
        except RequestError as error:
            advice = (
                "Leave out --system"
                if self.system is not None
                else "Change the message, start over with /clear"
            )
            raise RequestError(f"{error}. {advice}, or use `qstar generate`.") from error


@contextmanager
def catch_interrupt() -> Iterator[threading.Event]:
    """Ctrl-C sets the event, so that the current forward pass ends; a second Ctrl-C raises."""
    is_interrupted = threading.Event()

    def on_signal(*_: Any) -> None:
        if is_interrupted.is_set():
            raise KeyboardInterrupt
        is_interrupted.set()

    previous = signal.signal(signal.SIGINT, on_signal)
    try:
        yield is_interrupted
    finally:
        signal.signal(signal.SIGINT, previous)
