"""Copy the view of thoughts to where it is used, so that all places show the same.

.venv/bin/python -m scripts.copy_views    # after a change of clients/look or of the client's view

The style sheet in clients/look and the modules of the Python client are the originals. The client
and the engine are two distributions that do not import each other, so each has the view. The page
of the example is written too; look at it in a browser, because a test holds the bytes alone.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from qstar_client import Thought
from qstar_client._view.html import thoughts_html

ROOT = Path(__file__).parents[1]
LOOK = ROOT / "clients" / "look"
CLIENT = ROOT / "clients" / "python" / "src" / "qstar_client"
ENGINE = ROOT / "qstar_infer"
EXAMPLE_PAGE = LOOK / "example.html"
MODULES = {
    CLIENT / "_signs.py": ENGINE / "signs.py",
    CLIENT / "_view" / "entries.py": ENGINE / "view" / "entries.py",
    CLIENT / "_view" / "numbers.py": ENGINE / "view" / "numbers.py",
    CLIENT / "_view" / "html.py": ENGINE / "view" / "html.py",
}


def main() -> None:
    """Write all copies, and the example as the client shows it."""
    for path, text in copies().items():
        path.write_text(text, encoding="utf-8")
    EXAMPLE_PAGE.write_text(example_html(), encoding="utf-8")


def copies() -> Mapping[Path, str]:
    """What each copy must contain."""
    sheet = (LOOK / "thoughts.css").read_text(encoding="utf-8")
    modules = {copy: for_engine(path.read_text("utf-8")) for path, copy in MODULES.items()}
    return {
        CLIENT / "_view" / "thoughts.css": sheet,
        ENGINE / "view" / "thoughts.css": sheet,
        **modules,
    }


def for_engine(source: str) -> str:
    """A module of the client's view as the engine has it: only the packages' names differ."""
    return source.replace("qstar_client._signs", "qstar_infer.signs").replace(
        "qstar_client._view", "qstar_infer.view"
    )


def example_html() -> str:
    """The first choice of the example, as each view must show it."""
    saved = json.loads((LOOK / "example.run.json").read_text(encoding="utf-8"))
    entries = saved["runs"][0]["choices"][0]["thoughts"]
    thoughts = [Thought.model_validate(entry) for entry in entries]
    return thoughts_html(thoughts, group="example-0", label="Choice 0")


if __name__ == "__main__":
    main()
