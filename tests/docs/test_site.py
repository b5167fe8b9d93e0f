"""The site builds without a warning and without the network, and its links lead somewhere."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from qstar_infer.cli.lazy import extension_targets
from qstar_infer.cli.main import COMMANDS
from scripts.docs_site import field_meanings, http_pages
from scripts.docs_site.links import broken_links, foreign_loads
from scripts.docs_site.notebook_pages import notebook_page
from scripts.docs_site.repository_files import linked_files, links_in, rewritten, site_path
from tests.docs.blocks import ROOT, pages
from tests.docs.conftest import Built

Write = Callable[[str, str], Path]


def test_the_build_has_no_warning(built: Built) -> None:
    other = [line for line in built.said.splitlines() if line and not line.startswith("INFO ")]
    assert not other


def test_every_link_and_anchor_leads_somewhere(site: Path) -> None:
    assert broken_links(site) == []


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    assert foreign_loads(site) == []


def test_search_finds_pages_from_all_trees(site: Path) -> None:
    index = (site / "search/search_index.json").read_text(encoding="utf-8")
    for place in ("concepts/wavefront/", "benchmarks/", "clients/python/", "reference/http/chat/"):
        assert f'"{place}"' in index


def test_all_drawings_are_in_the_pages_and_say_what_they_show(site: Path) -> None:
    html = "".join(path.read_text(encoding="utf-8") for path in site.rglob("index.html"))
    drawings = list((ROOT / "docs/pictures").glob("*.svg"))
    assert len(drawings) >= 5
    assert len(set(re.findall(r'<svg aria-label="([^"]{20,})"', html))) == len(drawings)
    assert "pictures/" not in html


def test_every_operation_and_command_is_in_the_reference(site: Path) -> None:
    folder = site / "reference"
    html = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("index.html"))
    document = http_pages.described()
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"{method.upper()} {path}" in html
    for name in (*COMMANDS, *dict(extension_targets())):
        assert f"<code>qstar {name}</code>" in html


def test_fields_that_are_explained_exist() -> None:
    document = str(http_pages.described())
    for name in field_meanings.field_meanings():
        assert f"'{name}': {{" in document


def test_every_decision_is_in_the_navigation(site: Path) -> None:
    start = (site / "index.html").read_text(encoding="utf-8")
    for path in (ROOT / "docs/decisions").glob("[0-9]*.md"):
        assert f'href="decisions/{path.stem}/"' in start


@pytest.mark.parametrize(
    ("page", "text", "wanted"),
    [
        ("docs/api.md", "[x](loading.md#a)", "[x](loading.md#a)"),
        ("docs/containers.md", "[x](../docker/README.md#a)", "[x](docker/README.md#a)"),
        ("docker/README.md", "[x](../docs/containers.md)", "[x](../containers.md)"),
        ("docs/decisions/README.md", "[x](../../examples)", "[x](../examples/README.md)"),
        ("docs/training.md", "[x](../examples/train_small.py)", "[x](examples/train_small.py.md)"),
        ("docs/api.md", "[lab.md](lab.md#a)", "[The lab](lab.md#a)"),
        ("docker/README.md", "[docs/lab.md](../docs/lab.md)", "[The lab](../lab.md)"),
        ("docs/api.md", "[x](https://example.org/a.md)", "[x](https://example.org/a.md)"),
        ("docs/api.md", "```\n[x](../README.md)\n```", "```\n[x](../README.md)\n```"),
    ],
)
def test_links_are_turned_from_the_repository_to_the_site(
    page: str, text: str, wanted: str
) -> None:
    assert rewritten(page, text) == wanted


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere_on_a_code_host_too(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [path for path in links_in(page, text) if not (ROOT / path).exists()] == []


def test_files_that_pages_link_to_come_too() -> None:
    files = linked_files(["docs/training.md"])
    assert "examples/train_small.py" in files
    assert site_path("examples/train_small.py") == "examples/train_small.py.md"
    assert site_path("docs/api.md") == "api.md"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path

    return write


@pytest.mark.parametrize(
    "link", ["b/", "b/#no-such-part", "b/missing.png", "../outside.html", "/nowhere/", "#nothing"]
)
def test_a_broken_link_is_found(write: Write, link: str) -> None:
    write("outside.html", "")
    site = write("site/index.html", f'<a href="{link}">x</a> <p id="a"></p>') / "site"
    if link != "b/":
        write("site/b/index.html", "<p id=part></p>")
    assert broken_links(site) == [f"index.html: {link}"]


@pytest.mark.parametrize("link", ["b/", "b/#part", "/b/?q#part", "#a", "", "https://example.org/x"])
def test_a_good_link_is_not_reported(write: Write, link: str) -> None:
    write("b/index.html", "<p id=part></p>")
    site = write("index.html", f'<a href="{link}">x</a> <p id="a"></p>')
    assert broken_links(site) == []


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://example.org/x.js"></script>',
        '<img src="//example.org/x.png">',
        '<link rel="stylesheet" href="https://example.org/x.css">',
        '<link rel="preconnect" href="https://example.org">',
        "<style>@import 'https://example.org/x.css';</style>",
        '<p style="background: url(https://example.org/x.png)"></p>',
    ],
)
def test_what_loads_from_another_host_is_found(write: Write, html: str) -> None:
    (found,) = foreign_loads(write("index.html", html))
    assert "example.org" in found


def test_a_link_for_people_loads_nothing(write: Write) -> None:
    html = '<a href="https://example.org">x</a><link rel="canonical" href="https://example.org">'
    assert foreign_loads(write("index.html", html)) == []


def test_commands_for_readers_are_targets_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "mkdocs build" in makefile
    strict = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), yaml.BaseLoader)["strict"]
    assert strict == "true"


def test_a_notebook_becomes_a_page_with_its_outputs() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {
            "cell_type": "code",
            "source": ["print(1)\n", "view"],
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["1\n"]},
                {
                    "output_type": "execute_result",
                    "data": {"text/html": ["<b>2</b>"], "text/plain": ["two"]},
                    "metadata": {},
                },
                {
                    "output_type": "display_data",
                    "data": {"image/png": "AAAA\n", "text/plain": ["<Figure>"]},
                    "metadata": {"image/png": {"alt": 'a "picture"'}},
                },
            ],
        },
    ]
    assert notebook_page(json.dumps({"cells": cells})).split("\n\n") == [
        "# Title\ntext",
        "`````python\nprint(1)\nview\n`````",
        '`````text title="prints"\n1\n`````',
        '<div class="notebook-output">\n<b>2</b>\n</div>',
        '<img alt="a &quot;picture&quot;" src="data:image/png;base64,AAAA">\n',
    ]
