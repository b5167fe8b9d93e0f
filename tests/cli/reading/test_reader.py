"""Where the keys lead."""

from qstar_infer.cli.reading.page import pages_of, prompt_of
from qstar_infer.cli.reading.reader import Reader
from qstar_infer.saved_run import SavedRun

from .conftest import run_of, thought_of

WIDTH = 12


def test_moves_stop_at_both_ends(story: SavedRun) -> None:
    reader = Reader(pages_of([story]))
    reader.move(-1)
    assert reader.token == 0
    reader.move(2)
    assert reader.token == 2
    reader.go_to_end()
    reader.move(1)
    assert reader.token == 4
    reader.go_to_begin()
    assert reader.token == 0


def test_lines_keep_the_column(story: SavedRun) -> None:
    """The lines are "Paris is not", " big.↵" and "日本"."""
    reader = Reader(pages_of([story]))
    reader.move(2)
    reader.move_lines(1, WIDTH)
    assert reader.token == 3
    reader.move_lines(1, WIDTH)
    assert reader.token == 4
    reader.move_lines(1, WIDTH)
    assert reader.token == 4
    reader.move_lines(-10, WIDTH)
    assert reader.token == 0


def test_most_changed_comes_first_and_tokens_without_thoughts_never(story: SavedRun) -> None:
    reader = Reader(pages_of([story]))
    visited = []
    for _ in range(5):
        reader.move_by_change(1)
        visited.append(reader.token)
    assert visited == [3, 0, 1, 4, 4]
    reader.move_by_change(-1)
    assert reader.token == 1
    reader.move(1)
    reader.move_by_change(1)
    assert reader.token == 3  # a cursor that was moved begins again


def test_pages_go_round(story: SavedRun) -> None:
    other = run_of([thought_of("x", "y")])
    reader = Reader(pages_of([story, other]), begin=1)
    assert reader.page.pieces == ("x",)
    reader.turn_page(1)
    assert (reader.number, reader.page.pieces[0]) == (0, "Paris")
    reader.move(3)
    reader.turn_page(-1)
    assert (reader.number, reader.token) == (1, 0)


def test_without_thoughts_there_is_nowhere_to_go() -> None:
    reader = Reader(pages_of([run_of([], text="only\ntext")]))
    for step in (1, -1):
        reader.move(step)
        reader.move_lines(step, WIDTH)
        reader.move_by_change(step)
    assert reader.token == 0


def test_the_prompt_is_text_or_nothing() -> None:
    """A request is not checked when a file is read."""
    assert prompt_of(run_of([], text="", request={"prompt": "Say"})) == "Say"
    for request in ({}, {"prompt": [1, 2]}, {"prompt": None}):
        assert prompt_of(run_of([], text="", request=request)) == ""


def test_the_prompt_of_a_chat_is_its_newest_message() -> None:
    def prompt(messages: object) -> str:
        run = run_of([], text="", request={"messages": messages, "prompt": "no"})
        fields = {name: getattr(run, name) for name in SavedRun.__slots__}
        return prompt_of(SavedRun(**fields | {"endpoint": "chat"}))

    assert prompt([{"content": "a"}, {"content": "b"}]) == "b"
    others: list[object] = [None, [], "x", [1], [{}], [{"content": [{"type": "text"}]}]]
    assert [prompt(messages) for messages in others] == [""] * len(others)
