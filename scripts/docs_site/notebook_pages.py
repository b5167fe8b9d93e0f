"""A notebook with its outputs as a page of the site."""

import json
from collections.abc import Iterator
from html import escape
from typing import Any

Json = dict[str, Any]
_FENCE = "`````"


def notebook_page(text: str) -> str:
    """Markdown for a notebook in Jupyter's format (nbformat 4)."""
    return "\n\n".join(part for cell in json.loads(text)["cells"] for part in _cell(cell)) + "\n"


def _cell(cell: Json) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
    else:
        yield f"{_FENCE}python\n{source}\n{_FENCE}"
        printed = ""
        for output in cell["outputs"]:
            if output["output_type"] == "stream":
                printed += "".join(output["text"])
            else:
                yield from _prints(printed)
                printed = ""
                yield _shown(output.get("data", {}), output.get("metadata", {}))
        yield from _prints(printed)


def _prints(text: str) -> Iterator[str]:
    if text:
        yield f'{_FENCE}text title="prints"\n{text.rstrip()}\n{_FENCE}'


def _shown(data: Json, about: Json) -> str:
    """The richest form of an output that a page can show."""
    plain = "".join(data.get("text/plain", ""))
    if "text/html" in data:
        return f'<div class="notebook-output">\n{"".join(data["text/html"])}\n</div>'
    if "image/png" in data:
        image = "".join(data["image/png"]).replace("\n", "")
        alt = escape(about.get("image/png", {}).get("alt", plain))
        return f'<img alt="{alt}" src="data:image/png;base64,{image}">'
    return f"{_FENCE}text\n{plain}\n{_FENCE}"
