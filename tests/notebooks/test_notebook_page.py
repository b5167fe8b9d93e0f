"""Notebooks as pages of the documentation: cells, prints, views and pictures, in their order."""

from pathlib import Path

import nbformat
import pytest
from markdown import Markdown
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from scripts.notebook_page import page_of
from scripts.run_notebooks import FOLDER, read_notebook


def test_cells_and_outputs_keep_their_order(tmp_path: Path) -> None:
    outputs = [
        new_output("stream", name="stdout", text="```\nout\n"),
        new_output("execute_result", {"text/html": "<p>\n\n*view*</p>\n", "text/plain": "no"}),
        new_output(
            "display_data", {"image/png": "iVBO\nRw=="}, metadata={"image/png": {"alt": "a > b"}}
        ),
        new_output("execute_result", {"text/plain": "[1, 2]"}),
    ]
    cells = [new_markdown_cell("# Title"), new_code_cell("a = 1", outputs=outputs)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "a.ipynb")
    assert page_of(tmp_path / "a.ipynb") == (
        "# Title\n\n```python\na = 1\n```\n\n````text\n```\nout\n````\n\n"
        "<div>\n<p>\n\n*view*</p>\n</div>\n\n"
        '<img alt="a &gt; b" src="data:image/png;base64,iVBORw==">\n\n'
        "```text\n[1, 2]\n```\n"
    )


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_views_pass_through_markdown_unchanged(path: Path) -> None:
    views = [
        output.data["text/html"]
        for cell in read_notebook(path).cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    converter = Markdown(extensions=["md_in_html", "pymdownx.superfences", "tables"])
    page = converter.convert(page_of(path))
    assert all(view in page for view in views)
