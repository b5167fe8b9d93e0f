"""The file of answers and thoughts: what decision 0038 says is read, all else is refused."""

import json
import math
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_infer.errors import SavedRunError
from qstar_infer.json_place import JsonError
from qstar_infer.outputs import Draft, DroppedThought, LikelyToken, Passes, Thought
from qstar_infer.saved_run import (
    MAX_BYTES,
    SavedChoice,
    SavedRun,
    check_new_file,
    parse_saved_runs,
    read_saved_runs,
    write_saved_runs,
)

DOCUMENT = """
{"format": "qstar-run", "version": 1, "later": true, "runs": [{
  "created": 1796000000, "model": "m", "endpoint": "chat", "note": "unknown fields are left out",
  "request": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
  "choices": [{"index": 0, "text": "Ho", "finish_reason": "stop", "thoughts": [
    {"thought": " a b", "thought_token_ids": [3, 4], "mixing_weight": 0.5, "token": "Ho",
     "token_id": 7, "logprob": -0.25, "base_logprob": -1,
     "top_logprobs": [{"token": "Ho", "token_id": 7, "logprob": -0.25}],
     "base_top_logprobs": [{"token": "He", "token_id": 8, "logprob": -0.5}],
     "passes": {"first": 0, "last": 2,
       "draft": {"token": "He", "token_id": 8, "is_fed": true, "is_kept": false},
       "dropped": [{"token": "He", "first": 1, "last": 2}]}}]}],
  "usage": {"total_tokens": 3}, "seconds": 1.25}]}
"""
RUN = SavedRun(
    created=1796000000,
    model="m",
    endpoint="chat",
    request={"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    choices=[
        SavedChoice(
            index=0,
            text="Ho",
            finish_reason="stop",
            thoughts=[
                Thought(
                    token_id=7,
                    token="Ho",
                    thought=" a b",
                    thought_token_ids=[3, 4],
                    mixing_weight=0.5,
                    logprob=-0.25,
                    base_logprob=-1.0,
                    top_logprobs=[LikelyToken(token="Ho", token_id=7, logprob=-0.25)],
                    base_top_logprobs=[LikelyToken(token="He", token_id=8, logprob=-0.5)],
                    passes=Passes(
                        first=0,
                        last=2,
                        draft=Draft(token="He", token_id=8, is_fed=True, is_kept=False),
                        dropped=[DroppedThought(token="He", first=1, last=2)],
                    ),
                )
            ],
        )
    ],
    usage={"total_tokens": 3},
    seconds=1.25,
)


def changed(path: list[str | int], value: Any) -> str:
    """The document with another value at a place; `...` removes what is there."""
    document = json.loads(DOCUMENT)
    place = document
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(document)


EXAMPLE = Path(__file__).parents[1] / "clients" / "look" / "example.run.json"
RUN_0: list[str | int] = ["runs", 0]
CHOICE: list[str | int] = [*RUN_0, "choices", 0]
ENTRY: list[str | int] = [*CHOICE, "thoughts", 0]


def test_the_documented_form_is_read() -> None:
    assert parse_saved_runs(DOCUMENT) == [RUN]


def test_what_is_written_is_read_again_and_is_no_escape_sequence(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    nasty = SavedRun(
        created=1,
        model="\x1b[2J\u202e",
        endpoint="completions",
        request={"prompt": "日\ud800\x9b"},
        choices=[SavedChoice(index=0, text="\x1b]0;x\x07", finish_reason=None, thoughts=[])],
        usage=None,
        seconds=None,
    )
    write_saved_runs(path, [RUN, nasty])
    assert read_saved_runs(path) == [RUN, nasty]
    text = path.read_text(encoding="ascii")
    assert text.endswith("\n")
    assert text[:-1].isprintable()


def test_the_example_of_the_common_look_is_read() -> None:
    (run,) = read_saved_runs(EXAMPLE)
    (written,) = json.loads(EXAMPLE.read_text(encoding="utf-8"))["runs"]
    for choice, expected in zip(run.choices, written["choices"], strict=True):
        assert choice.text == expected["text"]
        assert [thought.as_entry() for thought in choice.thoughts] == expected["thoughts"]


def test_optional_fields_may_be_absent_or_null() -> None:
    document = json.loads(DOCUMENT)
    (run,) = document["runs"]
    del run["usage"]
    run["seconds"] = None
    entry = run["choices"][0]["thoughts"][0]
    del entry["top_logprobs"], entry["passes"]
    entry["base_top_logprobs"] = None
    (read,) = parse_saved_runs(json.dumps(document))
    (thought,) = read.choices[0].thoughts
    assert (read.usage, read.seconds) == (None, None)
    assert (thought.top_logprobs, thought.base_top_logprobs, thought.passes) == (None, None, None)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["format"], "other", "format must be \"qstar-run\", not 'other'"),
        (["format"], ..., "format is missing"),
        (["version"], 2, "version must be 1, the version that this program reads, not 2"),
        (["version"], True, "version must be a whole number"),
        (["runs"], [], "runs must be a list of at least 1"),
        (["runs"], {}, "runs must be a list"),
        ([*RUN_0, "endpoint"], "responses", "runs[0].endpoint must be"),
        ([*RUN_0, "endpoint"], ["chat"], "runs[0].endpoint must be"),
        ([*RUN_0, "request"], "x", "runs[0].request must be an object"),
        ([*RUN_0, "created"], 1.5, "runs[0].created must be a whole number"),
        ([*RUN_0, "created"], 10**400, "runs[0].created must be a whole number"),
        ([*RUN_0, "seconds"], 10**400, "runs[0].seconds must be a number"),
        ([*RUN_0, "choices"], [], "runs[0].choices must be a list of at least 1"),
        ([*CHOICE, "text"], None, "runs[0].choices[0].text must be a string, not None"),
        ([*CHOICE, "thoughts"], None, "runs[0].choices[0].thoughts must be a list"),
        ([*ENTRY, "token"], ..., "thoughts[0].token is missing"),
        ([*ENTRY, "token_id"], -1, "thoughts[0].token_id must be a whole number of at least 0"),
        ([*ENTRY, "thought_token_ids"], ["3"], "thoughts[0].thought_token_ids[0] must be"),
        ([*ENTRY, "mixing_weight"], "1", "thoughts[0].mixing_weight must be a number"),
        ([*ENTRY, "mixing_weight"], True, "thoughts[0].mixing_weight must be a number"),
        ([*ENTRY, "logprob"], 800, "thoughts[0].logprob must be a number of at most 0.001"),
        ([*ENTRY, "top_logprobs"], {}, "thoughts[0].top_logprobs must be a list"),
        ([*ENTRY, "top_logprobs", 0, "logprob"], 1, "top_logprobs[0].logprob must be"),
        ([*ENTRY, "passes"], 3, "thoughts[0].passes must be an object"),
        ([*ENTRY, "passes", "draft", "is_fed"], 1, "passes.draft.is_fed must be true or false"),
        ([*ENTRY, "passes", "dropped", 0, "last"], None, "passes.dropped[0].last must be"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(
    path: list[str | int], value: Any, message: str
) -> None:
    with pytest.raises(JsonError) as caught:
        parse_saved_runs(changed(path, value))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is no JSON"),
        ("[1]", "the file must be an object"),
        ("[" * 100_000, "it is nested too deeply"),
        ("9" * 5000, "it is no JSON"),
        (DOCUMENT.replace("-0.25", "NaN"), "NaN is no number of JSON"),
        (DOCUMENT.replace("-0.25", "-1e999"), "logprob must be a number"),
    ],
)
def test_what_is_no_document_is_refused(text: str, message: str) -> None:
    with pytest.raises(JsonError) as caught:
        parse_saved_runs(text)
    assert message in str(caught.value)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists), st.data())
def test_any_value_anywhere_is_read_or_refused(value: Any, data: st.DataObject) -> None:
    """No other error, whatever stands in the file."""
    places: list[list[str | int]] = []

    def collect(node: Any, path: list[str | int]) -> None:
        steps = node if isinstance(node, dict) else range(len(node))
        for step in steps:
            places.append([*path, step])
            if isinstance(node[step], dict | list):
                collect(node[step], [*path, step])

    collect(json.loads(DOCUMENT), [])
    with suppress(JsonError):
        parse_saved_runs(changed(data.draw(st.sampled_from(places)), value))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "cannot be read: No such file"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: path.write_bytes(b"\xff"), "is no saved run: it is not UTF-8"),
        (lambda path: path.write_text("{}"), "is no saved run: format is missing"),
        (lambda path: path.write_bytes(b" " * (MAX_BYTES + 1)), "is larger than 64 MiB"),
    ],
)
def test_a_file_that_cannot_be_opened_is_named(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "x.json"
    make(path)
    with pytest.raises(SavedRunError) as caught:
        read_saved_runs(path)
    assert str(caught.value).startswith(f"{path} {message}")


def test_minus_infinity_becomes_a_number(tmp_path: Path) -> None:
    """A delimiter among the most likely tokens has probability 0."""
    (choice,) = RUN.choices
    (thought,) = choice.thoughts
    delimiter = LikelyToken(token="<s>", token_id=1, logprob=-math.inf)
    fields = {name: getattr(thought, name) for name in Thought.__slots__}
    thoughts = [Thought(**fields | {"top_logprobs": [delimiter], "base_logprob": -math.inf})]
    choice = SavedChoice(index=0, text="", finish_reason=None, thoughts=thoughts)
    run = SavedRun(
        created=1,
        model="m",
        endpoint="chat",
        request={},
        choices=[choice],
        usage=None,
        seconds=0.5,
    )
    write_saved_runs(tmp_path / "run.json", [run])
    (read,) = read_saved_runs(tmp_path / "run.json")
    (found,) = read.choices[0].thoughts
    assert found.top_logprobs is not None
    assert (found.base_logprob, found.top_logprobs[0].logprob) == (-9999.0, -9999.0)


def test_no_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    check_new_file(path)
    path.write_text("mine")
    for act in (lambda: check_new_file(path), lambda: write_saved_runs(path, [RUN])):
        with pytest.raises(SavedRunError, match="exists already; choose another name"):
            act()
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "message"),
    [("a" * 300, "cannot be written: File name too long"), ("a\0b", "cannot be written: embedded")],
)
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str, message: str) -> None:
    """Each once ended `qstar generate --save`, or a chat, with a traceback."""
    path = tmp_path / name
    for act in (lambda: check_new_file(path), lambda: write_saved_runs(path, [RUN])):
        with pytest.raises(SavedRunError, match=message):
            act()


def test_a_link_to_nowhere_is_noticed_before_the_work(tmp_path: Path) -> None:
    """It was once noticed only when the answer was complete, which was then lost."""
    path = tmp_path / "link"
    path.symlink_to(tmp_path / "none")
    with pytest.raises(SavedRunError, match="exists already"):
        check_new_file(path)


def test_a_directory_that_is_read_only_is_noticed_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    with pytest.raises(SavedRunError, match="is read-only"):
        check_new_file(tmp_path / "run.json")


def test_no_part_of_a_file_is_left(tmp_path: Path) -> None:
    """A full disk once left the begin of a file, which could not be opened, and not be replaced."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        with pytest.raises(SavedRunError, match="cannot be written: File too large"):
            write_saved_runs(tmp_path / "run.json", [RUN])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, previous)
    assert not list(tmp_path.iterdir())


def test_a_file_needs_a_directory(tmp_path: Path) -> None:
    path = tmp_path / "none" / "run.json"
    for act in (lambda: check_new_file(path), lambda: write_saved_runs(path, [RUN])):
        with pytest.raises(SavedRunError, match="cannot be written"):
            act()
