"""A notebook as a page of Markdown, with the outputs that it keeps, for the documentation site."""

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

from nbformat import NotebookNode

from scripts.run_notebooks import read_notebook

_BACKTICKS = re.compile("`+")


def page_of(path: Path) -> str:
    """The cells in their order, each code cell followed by what it printed and showed."""
    cells = read_notebook(path).cells
    return "\n\n".join(part for cell in cells for part in _parts(cell)) + "\n"


def _parts(cell: NotebookNode) -> Iterator[str]:
    if cell.cell_type == "markdown":
        yield cell.source
        return
    yield _fenced(cell.source, "python")
    for output in cell.outputs:
        yield _shown(output)


def _shown(output: NotebookNode) -> str:
    """HTML stays as it is, because it is the view of thoughts, which escapes every text."""
    if output.output_type == "stream":
        return _fenced(output.text.rstrip("\n"), "text")
    if "text/html" in output.data:
        return f"<div>\n{output.data['text/html']}</div>"
    if "image/png" in output.data:
        source = output.data["image/png"].replace("\n", "")
        alt = escape(output.metadata.get("image/png", {}).get("alt", ""))
        return f'<img alt="{alt}" src="data:image/png;base64,{source}">'
    return _fenced(output.data["text/plain"], "text")


def _fenced(text: str, language: str) -> str:
    longest = max((len(found) for found in _BACKTICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
