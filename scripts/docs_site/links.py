"""Checks a built site: its links lead somewhere, and it loads nothing from elsewhere.

.venv/bin/python -m scripts.docs_site.links site    # after `make docs`
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

_LOADING = {
    *(("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src")),
    *(("audio", "src"), ("embed", "src"), ("object", "data"), ("use", "href"), ("img", "srcset")),
}
"""Attributes whose address a browser loads by itself, besides some of `link`."""
_LOADED_LINKS = {"stylesheet", "icon", "preload", "preconnect", "manifest", "modulepreload"}
_CSS_ADDRESS = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])([^"')]+)""")
_ELSEWHERE = re.compile(r"(?:[a-z]+:)?//", re.IGNORECASE)


class PageParts(HTMLParser):
    """What one page has: anchors, links for people, and what a browser loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag names."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        rels = set(values.get("rel", "").split())
        if tag == "link" and rels & _LOADED_LINKS:
            self.loads.append(values.get("href", ""))
        self.loads += [values[name] for name in values if (tag, name) in _LOADING]
        self.loads += _CSS_ADDRESS.findall(values.get("style", ""))


def broken_links(site: Path) -> list[str]:
    """`PAGE: ADDRESS` of each link or load inside the site that leads nowhere."""
    site = site.resolve()
    pages = {path: PageParts(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    found = []
    for page, parts in pages.items():
        for address in [*parts.links, *parts.loads]:
            if _is_inside(address) and not _exists(address, page, site, pages):
                found.append(f"{page.relative_to(site)}: {address}")
    return sorted(set(found))


def foreign_loads(site: Path) -> list[str]:
    """`FILE: ADDRESS` of what a browser would load from another host without being asked.

    Links that a person may click are not among them.
    """
    found = []
    for path in site.rglob("*.html"):
        loads = PageParts(path.read_text(encoding="utf-8")).loads
        found += [(path, address) for address in loads if _ELSEWHERE.match(address)]
    for path in (*site.rglob("*.css"), *site.rglob("*.svg"), *site.rglob("*.html")):
        addresses = _CSS_ADDRESS.findall(path.read_text(encoding="utf-8"))
        found += [(path, address) for address in addresses if _ELSEWHERE.match(address)]
    return sorted({f"{path.relative_to(site)}: {address}" for path, address in found})


def _is_inside(address: str) -> bool:
    return bool(address) and not re.match(r"[a-z][a-z0-9+.-]*:|//", address, re.IGNORECASE)


def _exists(address: str, page: Path, site: Path, pages: dict[Path, PageParts]) -> bool:
    path, anchor = urldefrag(address)
    path = unquote(path.partition("?")[0])
    target = site / path.lstrip("/") if path.startswith("/") else page.parent / path
    target = target.resolve() if path else page
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file() or not target.is_relative_to(site):
        return False
    return not anchor or target not in pages or unquote(anchor) in pages[target].anchors


def main() -> None:
    """Print what is wrong with a site; the exit status is 1 if anything is."""
    site = Path(sys.argv[1])
    broken, foreign = broken_links(site), foreign_loads(site)
    for line in broken:
        sys.stdout.write(f"leads nowhere: {line}\n")
    for line in foreign:
        sys.stdout.write(f"loads from elsewhere: {line}\n")
    sys.exit(bool(broken or foreign))


if __name__ == "__main__":
    main()
