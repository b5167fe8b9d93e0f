"""docs/operation.md lists every setting with its default and its meaning."""

from scripts.list_settings import PAGE, engine_table, server_table, updated


def test_the_tables_are_those_of_the_code() -> None:
    """Else run `python -m scripts.list_settings --write`."""
    page = PAGE.read_text(encoding="utf-8")
    assert updated(page) == page
    assert server_table() in page
    assert engine_table() in page


def test_every_setting_has_a_meaning() -> None:
    for line in (server_table() + engine_table()).splitlines():
        *_, meaning, end = line.split("|")
        assert meaning.strip(), line
        assert end == ""
