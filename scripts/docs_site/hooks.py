"""What mkdocs calls while it builds the site: adds pages from outside docs/ and from the code."""

from collections.abc import Iterator
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from scripts.docs_site import (
    command_pages,
    config_pages,
    drawings,
    http_pages,
    repository_files,
)
from scripts.docs_site.repository_files import DOCS, ROOT, site_path

_OUTPUT = "<!-- output -->\n```text\n"
_TITLED_OUTPUT = '```text title="prints"\n'
_made: dict[str, str] = {}
"""Path in the repository of each page that was added, by its path in the site."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List every decision in the navigation, behind their index."""
    names = sorted(path.name for path in (ROOT / DOCS / "decisions").glob("[0-9]*.md"))
    (project,) = (section["Project"] for section in config.nav or [] if "Project" in section)
    (decisions,) = (part["Decisions"] for part in project if "Decisions" in part)
    decisions += [f"decisions/{name}" for name in names]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    _made.clear()
    inside = [DOCS + file.src_uri for file in files.documentation_pages()]
    named = [path for path in _paths_in(config.nav) if not (ROOT / DOCS / path).exists()]
    for path in repository_files.linked_files([*inside, *named]):
        if not path.startswith(DOCS):
            files.append(_outside_file(path, config))
    for made in (http_pages.pages(), command_pages.pages(), config_pages.pages()):
        for name, text in made.items():
            files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn the links of a page from the repository's tree to the site's, and name outputs."""
    path = _made.get(page.file.src_uri, DOCS + page.file.src_uri)
    if not (ROOT / path).is_file():
        return markdown
    return repository_files.rewritten(path, markdown.replace(_OUTPUT, _TITLED_OUTPUT))


def on_page_content(html: str, **_: object) -> str:
    """Put the drawings into the page."""
    return drawings.inlined(html)


def _paths_in(nav: Any) -> Iterator[str]:
    """The pages that a part of the navigation names."""
    if isinstance(nav, str):
        yield nav
    elif nav:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from _paths_in(part)


def _outside_file(path: str, config: MkDocsConfig) -> File:
    place = site_path(path)
    if place.endswith(".md"):
        _made[place] = path
        return File.generated(config, place, content=repository_files.page_text(path))
    return File.generated(config, place, abs_src_path=str(ROOT / path))
