"""Puts drawings into the HTML of a page, so that they follow its colours.

A page names a drawing as an ordinary image. On a code host the image shows itself, in the colours
of the system. In the site its SVG takes the place of the image.
"""

import re
from html import escape, unescape

from scripts.docs_site.repository_files import ROOT

_IMAGE = re.compile(r'<img alt="([^"]*)" src="[^"]*pictures/([\w-]+\.svg)"\s*/?>')
_PAGE_TITLE = re.compile(r"<title>.*?</title>\n")


def inlined(html: str) -> str:
    """The HTML with the SVG of each image of `docs/pictures/` in its place."""
    return _IMAGE.sub(lambda found: _drawing(unescape(found[1]), found[2]), html)


def _drawing(alt: str, name: str) -> str:
    svg = (ROOT / "docs" / "pictures" / name).read_text(encoding="utf-8")
    svg = _PAGE_TITLE.sub("", svg).replace("<svg ", f'<svg aria-label="{escape(alt)}" ', 1)
    return f'<span class="drawing-scroll">{svg}</span>'
