"""Both notebooks run, say what their text claims, and are kept with the outputs of such a run."""

import re
from pathlib import Path

import pytest
from nbformat import NotebookNode

from scripts.run_notebooks import FOLDER, executed, read_notebook

from ..default_cache import default_cache

NOTEBOOKS = ["does_thinking_help", "read_thoughts"]
MAX_BYTES = 300_000
CHANCE = 1 / 7


def kept(name: str) -> NotebookNode:
    return read_notebook(FOLDER / f"{name}.ipynb")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the default model."""
    return default_cache(tmp_path_factory)


def printed(notebook: NotebookNode) -> str:
    """All that the cells print."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return "".join(
        out.text for cell in cells for out in cell.outputs if out.get("name") == "stdout"
    )


def shown(notebook: NotebookNode, kind: str) -> list[str]:
    """What the cells show, of one MIME type."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [out.data[kind] for cell in cells for out in cell.outputs if kind in out.get("data", {})]


def check_read_thoughts(notebook: NotebookNode) -> None:
    text = printed(notebook)
    assert "thought '1633333333333333'" in text
    likely = {
        int(match[1]): float(match[2])
        for match in re.finditer(r"^ ?(\d+) tokens .* p\(2\) = ([\d.]+)$", text, re.MULTILINE)
    }
    assert likely.keys() == {0, 1, 2, 4, 8, 16}
    assert all(likely[length] < 2 * CHANCE for length in (0, 1, 2, 4))
    assert likely[8] > 0.9
    assert likely[16] > 0.9
    weights = re.findall(r"^ *(?:\d|[-+*]\d|\.|\?) +(-?\d\.\d\d)  ", text, re.MULTILINE)
    assert len(weights) == 18
    assert max(map(float, weights[:-1])) < 0.3 < 0.9 < float(weights[-1])
    views = shown(notebook, "text/html")
    assert [view.count("<details") for view in views[:2]] == [1, 1]
    assert [view.count('class="qstar-thoughts') for view in views] == [1, 1, 1, 1]
    assert ["Begun in pass" in view for view in views] == [False, True, True, False]
    mean = re.search(r"mean change ([-+][\d.]+) nats over (\d+) tokens", text)
    assert mean
    assert abs(float(mean[1])) < 0.1


def check_does_thinking_help(notebook: NotebookNode) -> None:
    text = printed(notebook)
    shares = {
        name: [int(share) / 100 for share in re.findall(r"(\d+)%", line)]
        for name, line in re.findall(
            r"^(its own thoughts|random|shuffled) (.*%)$", text, re.MULTILINE
        )
    }
    own = shares["its own thoughts"]
    assert own == sorted(own)
    assert own[0] < 2 * CHANCE
    assert own[-1] > 0.97
    for name in ("random", "shuffled"):
        assert len(shares[name]) == len(own)
        assert max(shares[name]) < 2 * CHANCE
    assert re.search(r"^ +9 to 12 .* 100%$", text, re.MULTILINE), "as long as the chain is enough"
    gains = re.findall(r"^(.+?) +([-+][\d.]+) nats per token \[(.*), (.*)\]$", text, re.MULTILINE)
    assert [name for name, *_ in gains] == ["its own thoughts", "random words"]
    for _, _, low, high in gains:
        assert float(low) < 0 < float(high), "the text says that both intervals contain 0"
    assert len(shown(notebook, "image/png")) == 1


CHECKS = {
    "read_thoughts": check_read_thoughts,
    "does_thinking_help": check_does_thinking_help,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_run_and_show_what_they_claim(
    name: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QSTAR_CACHE", str(cache))
    CHECKS[name](executed(FOLDER / f"{name}.ipynb"))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_kept_outputs_show_what_the_text_claims(name: str) -> None:
    CHECKS[name](kept(name))


def test_every_notebook_is_tested() -> None:
    assert [path.stem for path in sorted(FOLDER.glob("*.ipynb"))] == NOTEBOOKS == sorted(CHECKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_are_small_and_tell_nothing_of_a_machine(name: str) -> None:
    source = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert len(source.encode()) < MAX_BYTES
    assert "/home/" not in source
    assert "site-packages" not in source
    for cell in kept(name).cells:
        if cell.cell_type == "code":
            assert all(out.output_type != "error" for out in cell.outputs)
            assert all(out.get("name") != "stderr" for out in cell.outputs)
            assert not cell.metadata
