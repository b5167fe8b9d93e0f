"""Each cell of the table in docs/loading.md is true, and the table has each feature tested here."""

from pathlib import Path

import pytest

from ..fuzz.test_gguf_mutations import check_file
from ..fuzz.test_mutations import check
from .features import FEATURES, FORMATS, make_directory, make_gguf

DOCUMENT = Path(__file__).parents[3] / "docs" / "loading.md"
COLUMNS = (*FORMATS, "GGUF")

pytestmark = pytest.mark.filterwarnings("ignore")  # the reference warns about what we refuse


def read_table() -> dict[tuple[str, str], str]:
    """(feature, format) -> loaded, refused, or "" where the format has no such thing."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| feature |"))
    header = _cells(lines[start])[1:]
    assert tuple(header) == COLUMNS
    table: dict[tuple[str, str], str] = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        feature, *cells = _cells(line)
        table |= {(feature, name): cell for name, cell in zip(header, cells, strict=True)}
    return table


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


TABLE = read_table()


def test_the_table_and_the_features_are_the_same() -> None:
    assert {feature for feature, _ in TABLE} == set(FEATURES)


def test_a_cell_is_empty_where_the_format_has_no_such_thing() -> None:
    exists = {(name, column): FEATURES[name].exists_in(column) for name, column in TABLE}
    assert {cell: bool(outcome) for cell, outcome in TABLE.items()} == exists


@pytest.mark.parametrize(
    ("feature", "format_name"), [cell for cell, outcome in TABLE.items() if outcome]
)
def test_each_cell(feature: str, format_name: str, tmp_path: Path) -> None:
    if format_name == "GGUF":
        path = tmp_path / "model.gguf"
        outcome = check_file(make_gguf(FEATURES[feature], path), path, None)
    else:
        make_directory(FEATURES[feature], format_name, tmp_path / "checkpoint")
        outcome = check(tmp_path / "checkpoint")
    assert outcome == TABLE[feature, format_name]
