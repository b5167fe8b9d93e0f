"""The code blocks of Markdown pages, with what the comment above a block says about it.

A comment may stand between a block and what comes before it:

    <!-- not run: REASON -->   it is only read: its commands must exist
    <!-- output -->            it is what the block before it prints
    <!-- file: NAME -->        it is the content of a file that later blocks use
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
RECORDS = ("docs/decisions/", "docs/training-log.md", "CHANGELOG.md")
"""What was true on its day; its blocks are formulas and quotations."""
_MARK = re.compile(r"<!-- (not run|output|file)(?:: (.+?))? -->\s*\Z")
NOT_RUN = {
    "make setup": "installs, and serves until it is stopped",
    "make serve": "serves until it is stopped; tests/e2e sends this request",
    ".venv/bin/qstar chat": "a conversation; uses the default model; serves until it is stopped",
    "docker compose": "needs Docker, a cluster and Ray",
    ".venv/bin/qstar train": "trains; tests/train reads these settings",
}
"""Reasons for blocks of the README, by their first words: it has no room for comments."""


@dataclass(frozen=True)
class Block:
    """One block of code."""

    page: str
    """The file, relative to the root."""
    line: int
    language: str
    """"" for a block that is only indented, or that does not say."""
    text: str
    mark: str | None
    """`not run`, `output`, `file` or None."""
    note: str
    """The reason, or the name of the file."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """All pages for readers, relative to the root: at the top, in docs/, and beside code."""
    found = [path.relative_to(ROOT).as_posix() for path in _markdown_files()]
    return sorted(page for page in found if not page.startswith(RECORDS))


@cache
def blocks_of(page: str) -> list[Block]:
    """The blocks of a page in their order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    blocks, end = [], 0
    for token in MarkdownIt().parse(text):
        if token.type in ("fence", "code_block") and token.map:
            start, stop = token.map
            mark, note = _mark("".join(lines[end:start]))
            if page == "README.md" and mark is None:
                mark, note = _readme_mark(token.content)
            blocks.append(Block(page, start + 1, token.info.strip(), token.content, mark, note))
            end = stop
    return blocks


def _markdown_files() -> Iterator[Path]:
    yield from ROOT.glob("*.md")
    yield from (ROOT / "docs").rglob("*.md")
    for folder in ("benchmarks", "docker", "examples", "kubernetes", "qstar_infer"):
        yield from (ROOT / folder).rglob("README.md")
    yield from (ROOT / "clients").glob("*/README.md")


def _mark(above: str) -> tuple[str | None, str]:
    found = _MARK.search(above)
    return (found[1], found[2] or "") if found else (None, "")


def _readme_mark(text: str) -> tuple[str | None, str]:
    reasons = [reason for start, reason in NOT_RUN.items() if text.startswith(start)]
    return ("not run", reasons[0]) if reasons else (None, "")
