"""The input line of a chat in a terminal: history, completion of commands, several lines."""

from collections.abc import Iterable

import typer
from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from rich.console import Console

from qstar_infer.cli.chat_commands import COMMANDS
from qstar_infer.cli.chat_input import PROMPT, LineNotUtf8Error
from qstar_infer.cli.chat_settings import SETTINGS
from qstar_infer.cli.prompt_output import colour_depth, open_output
from qstar_infer.cli.streams import text_of_argument

_LOOK = "/look"


class PromptLines:
    """Lines that are typed with editing keys."""

    def __init__(self, console: Console, history: History) -> None:
        self._session: PromptSession[str] = PromptSession(
            PROMPT,
            multiline=True,
            prompt_continuation=lambda width, _number, _wraps: " " * width,
            completer=CommandCompleter(),
            complete_while_typing=True,
            reserve_space_for_menu=4,
            history=history,
            key_bindings=_keys(),
            color_depth=colour_depth(console),
            output=open_output(),
        )

    def read(self) -> str | None:
        """The next line, which may have several lines."""
        try:
            return text_of_argument(self._session.prompt()).strip()
        except EOFError:
            return None
        except typer.BadParameter:
            raise LineNotUtf8Error from None


class CommandCompleter(Completer):
    """Completes a command at the begin of a line, and the name of a setting."""

    def get_completions(self, document: Document, _: CompleteEvent) -> Iterable[Completion]:
        """What the text before the cursor may become."""
        text = document.text_before_cursor
        name, space, argument = text.partition(" ")
        if not space and text.startswith("/"):
            for command, about in COMMANDS.items():
                if command.startswith(text):
                    yield Completion(command, -len(text), display_meta=about.summary)
        if name == "/settings" and space and " " not in argument:
            for setting in SETTINGS:
                if setting.startswith(argument):
                    yield Completion(f"{setting} ", -len(argument), display=setting)


def _keys() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def start_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @bindings.add("tab", filter=Condition(lambda: not get_app().current_buffer.text))
    def look(event: KeyPressEvent) -> None:
        event.current_buffer.text = _LOOK
        event.current_buffer.validate_and_handle()

    return bindings
