"""Shows files of the repository that are not in docs/ in the site, where pages link to them.

The rule: the site looks like the repository with docs/ laid over its root. `benchmarks/README.md`
is the page `benchmarks/`, `docs/api.md` the page `api/`. So a relative link in a file leads to the
same place on a code host and in the site, once `rewritten` has turned it to the other tree.
"""

import posixpath
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from scripts.docs_site.notebook_pages import notebook_page

ROOT = Path(__file__).parents[2]
DOCS = "docs/"
NOTEBOOK = ".ipynb"
LANGUAGES = {
    ".py": "python",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".sh": "sh",
    "Dockerfile": "dockerfile",
}
"""Source files that become pages, by suffix or name; other files are copied as they are."""
IN_THE_REFERENCE = {
    "qstar_train/config.py": "reference/recipes.md",
    "qstar_eval/config.py": "reference/recipes.md",
}
"""Source files that the site shows as a page of the reference."""
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)(?P<path>[^\s)#]+)(?P<rest>#[^\s)]*)?(?=\))")
_FILE_NAME = re.compile(r"\[[\w./-]+\.md\](?=\(([^\s)#]+))")
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^( *)(```+|~~~+).*?^\1\2 *$", re.DOTALL | re.MULTILINE)


def linked_files(pages: Iterable[str]) -> list[str]:
    """Every file that these pages of the repository, or pages that they link to, link to.

    All paths are relative to the root. A link to no file is left out; mkdocs reports it.
    """
    seen: dict[str, None] = {}
    waiting = list(pages)
    while waiting:
        path = waiting.pop()
        if path in seen or path in IN_THE_REFERENCE or not (ROOT / path).is_file():
            continue
        seen[path] = None
        if path.endswith((".md", NOTEBOOK)):
            waiting += links_in(path, page_text(path))
    return list(seen)


def links_in(page: str, text: str) -> list[str]:
    """Where the relative links of a page lead, relative to the root, whether or not that exists."""
    return [target_of(page, found["path"]) for found in _LINK.finditer(_FENCE.sub("", text))]


def target_of(page: str, link: str) -> str:
    """Where a relative link of a page leads, relative to the root; for a folder to its README."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
    return f"{path}/README.md" if (ROOT / path / "README.md").is_file() else path


def site_path(path: str) -> str:
    """Where a file of the repository is in the site's sources."""
    if path in IN_THE_REFERENCE:
        return IN_THE_REFERENCE[path]
    inside = path.removeprefix(DOCS)
    return f"{inside}.md" if becomes_page(path) else inside


def becomes_page(path: str) -> bool:
    """Whether a file that is not Markdown becomes a page: source files and notebooks."""
    return path.endswith(NOTEBOOK) or language_of(path) is not None


def language_of(path: str) -> str | None:
    """The language of a source file that becomes a page, else None."""
    name = posixpath.basename(path)
    return LANGUAGES.get(posixpath.splitext(name)[1] or name)


def page_text(path: str) -> str:
    """The Markdown that shows a file of the repository, with links as in the repository."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(NOTEBOOK):
        return notebook_page(text)
    if language := language_of(path):
        return f"# {path}\n\n`````{language}\n{text}`````\n"
    return text


def rewritten(page: str, text: str) -> str:
    """The Markdown of a page of the repository, with links as the site needs them.

    A link that only says the name of a page's file says its title instead.
    """
    here = posixpath.dirname(site_path(page)) or "."

    def link(found: re.Match[str]) -> str:
        target = target_of(page, found["path"])
        return posixpath.relpath(site_path(target), here) + (found["rest"] or "")

    def name(found: re.Match[str]) -> str:
        return f"[{title}]" if (title := _title(target_of(page, found[1]))) else found[0]

    return outside_fences(text, lambda part: _LINK.sub(link, _FILE_NAME.sub(name, part)))


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """The text with everything but fenced code changed."""
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(text[end:])])


def _title(path: str) -> str | None:
    found = (
        _TITLE.search((ROOT / path).read_text(encoding="utf-8"))
        if (ROOT / path).is_file()
        else None
    )
    return found[1] if found else None
