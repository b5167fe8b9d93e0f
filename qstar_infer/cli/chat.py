"""`qstar chat`: a conversation in the terminal."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from qstar_infer.cli import options
from qstar_infer.cli.engine_options import with_engine_options
from qstar_infer.cli.printer import AnswerPrinter
from qstar_infer.cli.streams import text_of_argument
from qstar_infer.cli.terminal import safe_text
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError, RequestError, RequestFailedError
from qstar_infer.sampling_params import SamplingParams

if TYPE_CHECKING:
    from qstar_infer.llm import LLM

FAILED_EXIT_CODE = 1
"""Of a piped conversation in which a message has no answer."""
DEFAULT_MAX_TOKENS = 512
"""Of an answer, where the model's context has room for so many."""
HELP = "/thoughts shows or hides thoughts, /clear starts over, /quit ends; Ctrl-C stops an answer"


Model = Annotated[
    str | None,
    typer.Argument(
        help="lab (the packaged lab model), a checkpoint directory, a .gguf file or a hub id; "
        "without it, the default model."
    ),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", "-m", help="Another way to give the model.")
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        help="Most visible tokens of an answer.",
        min=1,
        show_default=f"{DEFAULT_MAX_TOKENS}, or as many as fit",
    ),
]


@with_engine_options
def chat(
    model: Model = None,
    *,
    model_option: ModelOption = None,
    system: Annotated[
        str | None, typer.Option(help="System message, before the conversation.")
    ] = None,
    max_tokens: MaxTokens = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    seed: options.Seed = None,
    num_thought_tokens: options.NumThoughtTokens = None,
    thinking: options.Thinking = None,
    think_threshold: options.ThinkThreshold = None,
    show_thoughts: options.ShowThoughts = None,
    engine_args: EngineArgs,
) -> None:
    """Chat with a model that has a chat template, and show its thoughts."""
    engine_args = _with_model(engine_args, model, model_option)
    given = options.given_params(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        num_thought_tokens=num_thought_tokens,
        thinking=options.thinking_rule(thinking),
        think_threshold=think_threshold,
    )
    with options.open_llm(engine_args) as llm:
        params = options.request_params(llm.model_info.sampling_defaults, given)
        opening = None if system is None else text_of_argument(system)
        conversation = Conversation(
            llm,
            params,
            system=opening,
            show_thoughts=show_thoughts,
            fills_context=max_tokens is None,
        )
        conversation.run()
    if conversation.has_failed and not sys.stdin.isatty():
        raise typer.Exit(FAILED_EXIT_CODE)


def _with_model(args: EngineArgs, model: str | None, model_option: str | None) -> EngineArgs:
    """The settings with the model of the option; that of the argument is in them already."""
    if model_option is None:
        return args
    if model is not None:
        raise typer.BadParameter("is given twice: leave out --model", param_hint="MODEL")
    return replace(args, model=model_option)


class Conversation:
    """A conversation: its messages, and the commands of its user.

    Attributes:
        has_failed: whether a message has no answer.
    """

    def __init__(
        self,
        llm: "LLM",
        params: SamplingParams,
        *,
        system: str | None,
        show_thoughts: bool | None,
        fills_context: bool,
    ) -> None:
        """
        Args:
            fills_context: `max_tokens` is `DEFAULT_MAX_TOKENS`, or as many as fit.
        """
        if llm.model_info.chat_template is None:
            raise ConfigError(
                f"{llm.model_info.name} has no chat template; use `qstar generate` for it"
            )
        self._llm = llm
        self._params = params
        self._fills_context = fills_context
        self._opening = [] if system is None else [{"role": "system", "content": system}]
        self._messages = list(self._opening)
        self._console = Console(highlight=False)
        self._show_thoughts = self._console.is_terminal if show_thoughts is None else show_thoughts
        self._is_first_line = True
        self.has_failed = False

    def run(self) -> None:
        """Answer each line until /quit or the end of the input."""
        with suppress(ImportError):
            import readline  # noqa: F401  where it exists, `input` has line editing and history
        self._note(HELP)
        while (line := self._read_line()) is not None:
            if line.startswith("/"):
                if line == "/quit":
                    return
                self._run_command(line)
            elif line:
                self._try_answer(line)

    def _read_line(self) -> str | None:
        """The next line, stripped; None at the end of the input.

        In a terminal, Ctrl-C and a line that is not UTF-8 give an empty one.
        """
        try:
            if not sys.stdin.isatty():
                line = sys.stdin.readline()
                if self._is_first_line:
                    line = line.removeprefix("\ufeff")  # a file's byte order mark is no text
                self._is_first_line = False
                return line.strip() if line else None
            return text_of_argument(input("you> ")).strip()
        except EOFError:
            return None
        except (UnicodeDecodeError, typer.BadParameter):
            if not sys.stdin.isatty():
                raise ConfigError("a line of the conversation is not UTF-8; convert it") from None
            self._show_error("the line is not UTF-8, so it was not sent. Type it again")
            return ""
        except KeyboardInterrupt:
            self._note("\nPress Ctrl-D or type /quit to end the chat")
            return ""

    def _run_command(self, command: str) -> None:
        if command == "/thoughts":
            self._show_thoughts = not self._show_thoughts
            self._note(f"thoughts are {'shown' if self._show_thoughts else 'hidden'}")
        elif command == "/clear":
            self._messages = list(self._opening)
            self._note("the conversation starts over")
        else:
            self._note(HELP)

    def _try_answer(self, text: str) -> None:
        """One turn. A message without an answer is dropped, and the chat continues."""
        self._messages.append({"role": "user", "content": text})
        try:
            answer = self._answer()
        except (RequestError, RequestFailedError) as error:
            self._messages.pop()
            self.has_failed = True
            self._show_error(str(error))
            return
        self._messages.append({"role": "assistant", "content": answer})

    def _answer(self) -> str:
        printer = AnswerPrinter(self._console, show_thoughts=self._show_thoughts)
        started = time.perf_counter()
        with catch_interrupt() as is_interrupted:
            prompt_ids = self._prompt_ids()
            stream = self._llm.stream(prompt_ids, self._params_behind(prompt_ids))
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
        if self._console.is_terminal:
            printer.print_summary(time.perf_counter() - started)
        return printer.text

    def _params_behind(self, prompt_ids: list[int]) -> SamplingParams:
        if not self._fills_context:
            return self._params
        room = self._llm.model_info.max_model_len - len(prompt_ids)
        return replace(self._params, max_tokens=min(DEFAULT_MAX_TOKENS, max(room, 1)))

    def _prompt_ids(self) -> list[int]:
        try:
            return self._llm.encode_chat(self._messages)
        except RequestError as error:
            advice = (
                "Leave out --system"
                if self._opening
                else "Change the message, start over with /clear"
            )
            raise RequestError(f"{error}. {advice}, or use `qstar generate`.") from error

    def _show_error(self, text: str) -> None:
        # Not to stdout, which may be a file of answers.
        Console(stderr=True).print(safe_text(f"error: {text}", "red"), soft_wrap=True)

    def _note(self, text: str) -> None:
        if self._console.is_terminal:
            self._console.print(safe_text(text, "dim"), soft_wrap=True)


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
