"""The diagram in the architecture page is that of today's code."""

from scripts import draw_packages


def test_the_diagram_is_current() -> None:
    page = draw_packages.PAGE.read_text(encoding="utf-8")
    assert draw_packages.BLOCK.findall(page) == [draw_packages.diagram()], (
        "run: .venv/bin/python -m scripts.draw_packages --write"
    )


def test_arrows_that_follow_from_others_are_left_out() -> None:
    graph = {"a": {"b", "c"}, "b": {"c"}, "c": set[str]()}
    assert draw_packages.without_detours(graph) == {"a": {"b"}, "b": {"c"}, "c": set()}
