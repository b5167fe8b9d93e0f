"""The files of the built page, which lie in `bundle/` as package data."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

INDEX = "/"
"""The path of the page itself."""

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of the page, in memory.

    Attributes:
        etag: of its bytes, with quotation marks.
        is_immutable: whether its path names its bytes, so that it never changes.
    """

    content: bytes
    media_type: str
    etag: str
    is_immutable: bool


@cache
def bundle() -> dict[str, PageFile]:
    """All files by the path of their address: `/`, and `/assets/NAME` for each asset."""
    folder = files("qstar_server.playground") / "bundle"
    assets = (each for each in (folder / "assets").iterdir() if each.is_file())
    found = {f"/assets/{each.name}": _read(each, is_immutable=True) for each in assets}
    return {INDEX: _read(folder / "index.html", is_immutable=False)} | found


def _read(file: Traversable, *, is_immutable: bool) -> PageFile:
    content = file.read_bytes()
    suffix = file.name[file.name.rindex(".") :]
    return PageFile(
        content=content,
        media_type=_MEDIA_TYPES[suffix],
        etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        is_immutable=is_immutable,
    )
