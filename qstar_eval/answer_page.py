"""A page of questions with the answers and thoughts of one checkpoint.

The page is one file that loads nothing. Its frame and style are in `answer_page.html`.
"""

from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from qstar_eval.page import markup, visible
from qstar_eval.task import Record


def write_answer_page(records: Sequence[Record], path: Path, *, title: str) -> None:
    """Write the page.

    Args:
        records: of an `AnswerTask`. Their texts may contain anything.
    """
    template = resources.files(__package__).joinpath("answer_page.html").read_text(encoding="utf-8")
    page = Template(template).substitute(
        title=escape(visible(title)), rows="\n".join(map(_row, records))
    )
    path.write_text(page, encoding="utf-8")


def _row(record: Record) -> str:
    cells = [
        f"<td>{markup(record['prompt'])}</td>",
        f"<td>{markup(record['answer'])}</td>",
        _answer(record["base_answer"], record["is_base_right"]),
        _answer(record["mixed_answer"], record["is_mixed_right"]),
        f"<td{_class(record['is_working'])}>{markup(record['thought'])}</td>",
        f"<td>{record['mixing_weight']:.2f}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _answer(text: str, is_right: bool) -> str:
    return f"<td{_class(is_right)}>{markup(text)} {'✓' if is_right else '✗'}</td>"


def _class(is_right: bool | None) -> str:
    return "" if is_right is None else f' class="{"right" if is_right else "wrong"}"'
