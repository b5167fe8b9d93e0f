"""The commands of a chat, which begin with a slash: one function each, in a table."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qstar_infer.cli.chat_settings import NONE, settings_text, with_setting
from qstar_infer.cli.conversation import Conversation, Turn
from qstar_infer.errors import QStarError, RequestError, shown
from qstar_infer.saved_run import write_saved_runs

KEYS = (
    "Tab reads the thoughts of the answer, Alt-Enter starts a new line, Ctrl-C stops an answer, "
    "Ctrl-D ends the chat"
)


@dataclass(frozen=True, slots=True)
class Command:
    """What a user may type.

    Attributes:
        arguments: their names, for the help; empty if there are none.
        run: gets the conversation, and the text behind the name.
    """

    arguments: str
    summary: str
    run: Callable[[Conversation, str], None]


def run_command(conversation: Conversation, line: str) -> None:
    """Run the command of a line that begins with a slash. Its errors are shown, not raised."""
    name, _, argument = line.partition(" ")
    command = COMMANDS.get(name)
    try:
        if command is None:
            raise RequestError(f"there is no command {shown(name)}; {_nearest(name)}")
        if argument.strip() and not command.arguments:
            raise RequestError(f"{name} takes nothing after it, got {shown(argument.strip())}")
        command.run(conversation, argument.strip())
    except QStarError as error:
        conversation.show_error(str(error))


def _nearest(name: str) -> str:
    found = difflib.get_close_matches(name, COMMANDS, n=1)
    return f"did you mean {found[0]}?" if found else "/help lists them"


def _help(conversation: Conversation, _: str) -> None:
    usages = {f"{name} {command.arguments}".strip(): command for name, command in COMMANDS.items()}
    width = max(map(len, usages))
    lines = [f"{usage:{width}}  {command.summary}" for usage, command in usages.items()]
    conversation.note("\n".join([*lines, KEYS]))


def _look(conversation: Conversation, _: str) -> None:
    conversation.look()


def _thoughts(conversation: Conversation, _: str) -> None:
    conversation.shows_thoughts = not conversation.shows_thoughts
    conversation.note(f"thoughts are {'shown' if conversation.shows_thoughts else 'hidden'}")


def _settings(conversation: Conversation, argument: str) -> None:
    if not argument:
        conversation.note(settings_text(conversation.params))
        return
    name, _, value = argument.partition(" ")
    value = value.strip()
    conversation.params = with_setting(conversation.params, name, value, conversation.info)
    conversation.note(f"{name} is {value} from the next answer on")


def _system(conversation: Conversation, argument: str) -> None:
    if argument:
        conversation.system = None if argument == NONE else argument
    conversation.note(f"system message: {conversation.system or NONE}")


def _undo(conversation: Conversation, _: str) -> None:
    turn = _turns(conversation).pop()
    conversation.note(f"forgotten: {shown(turn.message)}")


def _retry(conversation: Conversation, _: str) -> None:
    turn = _turns(conversation).pop()
    if conversation.params.seed is not None:
        conversation.note("the seed is set, so the same settings give the same answer")
    num_turns = len(conversation.turns)
    conversation.ask(turn.message)
    if len(conversation.turns) == num_turns:
        conversation.turns.append(turn)  # the old answer is better than none


def _save(conversation: Conversation, argument: str) -> None:
    if not argument:
        raise RequestError("/save needs the name of a new file")
    turns = _turns(conversation)
    try:
        path = Path(argument).expanduser()
    except RuntimeError:
        raise RequestError(f"there is no home directory of {shown(argument)}") from None
    write_saved_runs(path, [turn.run for turn in turns])
    conversation.note(f"saved; `qstar show {path}` opens it")


def _clear(conversation: Conversation, _: str) -> None:
    conversation.turns.clear()
    conversation.note("the conversation starts over")


def _quit(conversation: Conversation, _: str) -> None:
    conversation.is_over = True


def _turns(conversation: Conversation) -> list[Turn]:
    if not conversation.turns:
        raise RequestError("there is no answer yet")
    return conversation.turns


COMMANDS = {
    "/help": Command("", "lists the commands", _help),
    "/look": Command("", "reads the thoughts of the answers, token by token", _look),
    "/thoughts": Command("", "shows or hides all thoughts in the text of answers", _thoughts),
    "/settings": Command("[NAME VALUE]", "shows the settings, or changes one", _settings),
    "/system": Command("[TEXT]", f"shows or sets the system message; {NONE} removes it", _system),
    "/undo": Command("", "forgets the newest message and its answer", _undo),
    "/retry": Command("", "answers the newest message again", _retry),
    "/save": Command("FILE", "saves all answers with their thoughts", _save),
    "/clear": Command("", "forgets all messages", _clear),
    "/quit": Command("", "ends the chat", _quit),
}
