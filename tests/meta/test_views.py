"""All views of thoughts are copies of one, and show the example as it was looked at."""

from pathlib import Path

import pytest

from scripts import copy_views

COPIES = copy_views.copies()


@pytest.mark.parametrize(
    "copy", COPIES, ids=lambda path: path.relative_to(copy_views.ROOT).as_posix()
)
def test_copies_are_equal(copy: Path) -> None:
    assert copy.read_text(encoding="utf-8") == COPIES[copy], "run: python -m scripts.copy_views"


def test_the_example_has_the_bytes_that_all_views_agree_on() -> None:
    assert copy_views.EXAMPLE_PAGE.read_text(encoding="utf-8") == copy_views.example_html()
