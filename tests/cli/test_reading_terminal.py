"""The reading view, the input line and saved runs, in real pseudo terminals and in pipes.

The view writes only what has changed on the screen, so tests wait for words that were not there.
"""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qstar_infer.saved_run import read_saved_runs

from .processes import STYLE, Terminal, output_of, start

TOKENS = [["Paris", "the capital"], [" is", ""], [" big.\n", "\x1b]0;title\x07\x1b[2J"]]
INPUT_LINE = "\x1b[?2004h"
"""Pasting is switched on when the input line begins to wait for keys."""
COLOUR = re.compile(r"\x1b\[[0-9;]*\b(?:3[0-9]|4[0-9]|9[0-7]|10[0-7])[0-9;]*m")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "run.json"
    output_of("generate", "Where?", "--save", str(path), tokens=TOKENS)
    return path


def test_a_chat_is_read_token_by_token() -> None:
    terminal = Terminal("chat", tokens=TOKENS)
    terminal.wait_for(INPUT_LINE)
    terminal.type("Where?\r")
    shown = terminal.wait_for(INPUT_LINE)
    assert "⟨" not in shown  # the answer is shaded, without its thoughts
    assert "48;" in shown
    assert "Tab: its thoughts" in STYLE.sub("", shown)
    terminal.type("\t")
    assert "⟨the capital⟩" in terminal.wait_for("q leave")
    terminal.type("\x1b[F")  # End
    terminal.wait_for("␛]0;title␇␛[2J⟩")
    terminal.type("q")
    terminal.wait_for(INPUT_LINE)
    terminal.type("/quit\r")
    assert terminal.end() == 0
    assert "\x1b]0;" not in terminal.shown


def test_thoughts_can_be_shown_in_the_text() -> None:
    terminal = Terminal("chat", tokens=TOKENS)
    terminal.wait_for(INPUT_LINE)
    terminal.type("/thoughts\r")
    terminal.wait_for(INPUT_LINE)
    terminal.type("Where?\r")
    assert "Paris⟨the capital⟩ is big." in STYLE.sub("", terminal.wait_for(INPUT_LINE))
    terminal.type("\x04")
    assert terminal.end() == 0


def test_ctrl_c_at_the_input_line_says_how_to_leave() -> None:
    terminal = Terminal("chat", tokens=TOKENS)
    terminal.wait_for(INPUT_LINE)
    terminal.type("half a line\x03")
    terminal.wait_for("Press Ctrl-D or type /quit to end the chat")
    terminal.wait_for(INPUT_LINE)
    terminal.type("\x04")
    assert terminal.end() == 0


@pytest.mark.parametrize("leave", ["q", "\x1b", "\x03"])
def test_generate_can_be_looked_at(leave: str) -> None:
    terminal = Terminal("generate", "Where?", "--look", tokens=TOKENS)
    terminal.wait_for("⟨the capital⟩")
    terminal.type(leave)
    assert terminal.end() == 0


def test_keys_come_from_the_terminal_even_if_the_prompt_comes_from_a_pipe() -> None:
    with subprocess.Popen(["echo", "Where?"], stdout=subprocess.PIPE) as echo:
        terminal = Terminal("generate", "--look", tokens=TOKENS, stdin=echo.stdout)
        terminal.wait_for("⟨the capital⟩")
        terminal.type("q")
        assert terminal.end() == 0


def test_a_saved_run_follows_the_size_of_its_window(saved: Path) -> None:
    terminal = Terminal("show", str(saved))
    terminal.wait_for("token 1 of 3 · fake · shaded by weight")
    terminal.resize(20, 12)
    terminal.signal(signal.SIGWINCH)
    terminal.wait_for("…")
    terminal.type("q")
    assert terminal.end() == 0


def test_several_files_are_chosen_with_tab(saved: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    output_of("generate", "Who?", "--save", str(other), tokens=[["Nobody", "no one"]])
    terminal = Terminal("show", str(saved), str(other))
    terminal.wait_for("answer 1 of 2")
    terminal.type("\t")
    terminal.wait_for("no one⟩")
    terminal.type("q")
    assert terminal.end() == 0


@pytest.mark.parametrize("command", ["show", "generate", "chat"])
def test_no_color_means_none(saved: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    arguments = {"show": [str(saved)], "generate": ["Where?", "--look"], "chat": []}[command]
    terminal = Terminal(command, *arguments, tokens=TOKENS)
    if command == "chat":
        terminal.wait_for(INPUT_LINE)
        terminal.type("/settings\rWhere?\r\t")
    terminal.wait_for("q leave")
    terminal.type("nc\x1b[C")
    terminal.wait_for("no thought here")
    terminal.type("q")
    if command == "chat":
        terminal.wait_for(INPUT_LINE)
        terminal.type("\x04")
    assert terminal.end() == 0
    assert not COLOUR.findall(terminal.shown)
    assert re.search(r"\x1b\[(0;)?4m big", terminal.shown)  # a shade of one half


def test_a_dumb_terminal_gets_no_escape_sequence(saved: Path) -> None:
    terminal = Terminal("chat", tokens=TOKENS, term="dumb")
    # What is typed between two prompts can be lost, so each line waits for its prompt.
    terminal.wait_for("you> ")
    terminal.type("Where?\n")
    terminal.wait_for("you> ")
    terminal.type("/look\n")
    error = "error: /look needs a terminal, and TERM must not be dumb"
    assert error in terminal.wait_for("you> ")
    terminal.type("/quit\n")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.shown
    table = Terminal("show", str(saved), term="dumb")
    table.wait_for("␛]0;title")
    assert table.end() == 0
    assert "\x1b" not in table.shown


@pytest.mark.parametrize("arguments", [["--look"], ["--look", "--json"]])
def test_nothing_can_be_looked_at_in_a_pipe(arguments: list[str]) -> None:
    with start("generate", "Where?", *arguments, stdout=subprocess.PIPE) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, b"")
    assert b"--look" in errors


# --- saved runs in pipes ------------------------------------------------------------------------


def test_generate_saves_what_it_prints(saved: Path) -> None:
    (run,) = read_saved_runs(saved)
    assert run.choices[0].text == "".join(token for token, _ in TOKENS)
    assert [thought.thought for thought in run.choices[0].thoughts] == [each for _, each in TOKENS]
    assert (run.endpoint, run.request["prompt"], run.request["max_tokens"]) == (
        "completions",
        "Where?",
        128,
    )


def test_json_can_be_saved_too(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    answer = json.loads(output_of("generate", "hi", "--json", "--save", str(path), tokens=TOKENS))
    assert read_saved_runs(path)[0].choices[0].text == answer["text"]


def test_a_pipe_gets_a_table(saved: Path) -> None:
    heading, names, *rows = output_of("show", str(saved), str(saved)).decode().splitlines()
    assert heading == "# fake, completion 0"
    assert names.split("\t") == [
        *("token", "weight", "probability", "base_probability", "change", "thought"),
    ]
    assert rows[0].split("\t") == ["Paris", "0.5", "0.606531", "0.472367", "0.25", "the capital"]
    assert rows[2].split("\t")[::5] == [" big.↵", "␛]0;title␇␛[2J"]
    assert rows[3:6] == ["", heading, names]


@pytest.mark.parametrize("command", [["generate", "hi", "--save"], ["show"]])
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "run.json"
    path.write_text('{"format": "\\u001b[2J"}')
    with start(*command, str(path), stdout=subprocess.PIPE) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, b"")
    assert len(errors.splitlines()) == 1
    assert b"\x1b" not in errors
    assert (b"exists already" if "generate" in command else b"is no saved run") in errors


@pytest.mark.parametrize("arguments", [["generate", "hi"], ["chat"], ["chat", "--help"]])
def test_pipes_do_not_wait_for_prompt_toolkit(arguments: list[str]) -> None:
    code = (
        "import sys; from tests.cli.conftest import FakeLLM, _make_thought; import qstar_infer\n"
        "vars(qstar_infer)['LLM'] = FakeLLM([_make_thought('a', 'b')])\n"
        "from contextlib import suppress; from qstar_infer.cli.main import app\n"
        f"with suppress(SystemExit): app({arguments})\n"
        "assert 'prompt_toolkit' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], input=b"hi\n", check=True, capture_output=True)
