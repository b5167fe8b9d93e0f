"""Documentation packages of Debian: fetched with apt-get, unpacked, never installed.

Point releases replace packages, so neither versions nor counts are pinned.
"""

import gzip
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

from qstar_infer.errors import QStarError
from qstar_train.data.prepare.recipe import Package, Row

MIN_CHARACTERS = 80
"""Shorter paragraphs are headings, links and table cells."""

PARAGRAPHS = frozenset({"p", "dd", "li", "blockquote"})
CONTAINERS = frozenset({"ul", "ol", "dl", "div", "section"})
"""Their end ends a paragraph whose own end tag was left out."""
SKIPPED = frozenset({"script", "style", "pre", "table", "nav", "head", "footer"})


def debian_package(name: str, *, size_mb: float) -> Package:
    """A package of the Debian release that is installed."""

    def fetch(cache: Path) -> Path:
        return fetch_deb(name, cache=cache)

    return Package(name=f"{name} (Debian)", size_mb=size_mb, fetch=fetch)


def fetch_deb(name: str, *, cache: Path) -> Path:
    """The .deb of a package, downloaded unless cached.

    Raises:
        QStarError: apt-get is missing or did not get it.
    """
    cached = sorted(cache.glob(f"{name}_*.deb"))
    if cached:
        return cached[-1]
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as directory:
        _run(["apt-get", "download", name], Path(directory))
        fetched = sorted(Path(directory).glob(f"{name}_*.deb"))
        if not fetched:
            raise QStarError(f"apt-get downloaded no {name}.")
        target = cache / fetched[0].name
        os.replace(fetched[0], target)
    return target


def pages(package: Path) -> Iterator[Row]:
    """The prose of each HTML page of a .deb, in order of their paths; every paragraph once."""
    seen: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="qstar-deb-") as directory:
        _run(["dpkg-deb", "-x", str(package.resolve()), directory], Path(directory))
        for path in sorted(Path(directory).rglob("*")):
            if path.name.endswith((".html", ".html.gz")) and not path.is_symlink():
                fresh = [text for text in paragraphs(_read(path)) if text not in seen]
                seen.update(fresh)
                if fresh:
                    yield {"text": "\n\n".join(fresh)}


def paragraphs(html: str) -> list[str]:
    """The paragraphs of an English page, without code, tables and navigation."""
    reader = _ProseReader()
    reader.feed(html)
    reader.close()
    return reader.paragraphs


class _ProseReader(HTMLParser):
    """Collects the text of paragraphs; one within another ends the outer."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.paragraphs: list[str] = []
        self._pieces: list[str] = []
        self._is_inside = False
        self._is_english = True
        self._num_skipped = 0

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag == "html":
            language = dict(attrs).get("lang") or "en"
            self._is_english = language.startswith("en")
        elif tag == "body":
            self._num_skipped = 0  # the end tag of <head> may be left out
        elif tag in SKIPPED:
            self._num_skipped += 1
        if tag in SKIPPED or tag in PARAGRAPHS:
            self._end()
            self._is_inside = tag in PARAGRAPHS

    def handle_endtag(self, tag: str) -> None:
        if tag in SKIPPED:
            self._num_skipped = max(0, self._num_skipped - 1)
        if tag in PARAGRAPHS or tag in CONTAINERS:
            self._end()

    def handle_data(self, data: str) -> None:
        if self._is_inside and not self._num_skipped:
            self._pieces.append(data)

    def close(self) -> None:
        super().close()
        self._end()

    def _end(self) -> None:
        # Sphinx puts a pilcrow behind what can be linked to.
        text = " ".join("".join(self._pieces).replace("\N{PILCROW SIGN}", "").split())
        if self._is_english and len(text) >= MIN_CHARACTERS:
            self.paragraphs.append(text)
        self._pieces = []
        self._is_inside = False


def _read(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    return data.decode("utf-8", errors="replace")


def _run(command: list[str], directory: Path) -> None:
    if shutil.which(command[0]) is None:
        raise QStarError(f"This recipe needs {command[0]}, which only Debian and its like have.")
    result = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no reason given"]
        raise QStarError(f"`{' '.join(command[:3])}` failed: {lines[-1]}")
