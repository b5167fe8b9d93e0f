"""Draw the imports between the packages as a Mermaid diagram, read from the code.

    .venv/bin/python -m scripts.draw_packages           # print the diagram
    .venv/bin/python -m scripts.draw_packages --write   # put it into docs/architecture.md

An arrow points from a package to one it imports. Arrows that follow from others are left out, and
so are those to the plain data (`errors`, `outputs`, `step`, ...), which every package imports.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BLOCK = re.compile(r"```mermaid\n.*?```\n", re.DOTALL)
ROOTS = {
    "qstar_infer": ROOT / "qstar_infer",
    "qstar_train": ROOT / "qstar_train",
    "qstar_eval": ROOT / "qstar_eval",
    "qstar_lab": ROOT / "qstar_lab",
    "qstar_server": ROOT / "server" / "qstar_server",
}
Graph = dict[str, set[str]]


def main() -> None:
    """Print the diagram, or write it into the page."""
    if "--write" in sys.argv[1:]:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(BLOCK.sub(lambda _: diagram(), page), encoding="utf-8")
    else:
        sys.stdout.write(diagram())


def diagram() -> str:
    """The Mermaid block of today's code."""
    graph = without_detours(package_graph())
    arrows = sorted((above, below) for above, under in graph.items() for below in under)
    lines = [f"    {above} --> {below}" for above, below in arrows]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```", ""])


def package_graph() -> Graph:
    """Which package imports which, without a package's imports of itself and of plain data."""
    graph: Graph = {}
    for root, folder in ROOTS.items():
        for path in sorted(folder.rglob("*.py")):
            dotted = ".".join([root, *path.relative_to(folder).with_suffix("").parts])
            if (above := package_of(dotted)) is None:
                continue
            under = {package_of(name) for name in imported_names(path)} - {None, above}
            graph.setdefault(above, set()).update(name for name in under if name is not None)
    return graph


def package_of(dotted: str) -> str | None:
    """A sub-package of `qstar_infer`, or one of the other packages; None for anything else.

    `llm` counts as a package. `engine.protocol` is plain data.
    """
    first, _, rest = dotted.partition(".")
    if first in ROOTS and first != "qstar_infer":
        return first
    part = rest.split(".")[0]
    is_package = (ROOTS["qstar_infer"] / part).is_dir() or part == "llm"
    is_plain_data = rest.startswith("engine.protocol")
    return part if first == "qstar_infer" and part and is_package and not is_plain_data else None


def imported_names(path: Path) -> Iterator[str]:
    """Dotted names: `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def without_detours(graph: Graph) -> Graph:
    """The graph without arrows that a longer way replaces. It must have no circle."""

    def reachable(name: str) -> set[str]:
        return graph.get(name, set()).union(*map(reachable, graph.get(name, set())))

    return {
        name: {below for below in under if not any(below in reachable(o) for o in under - {below})}
        for name, under in graph.items()
    }


if __name__ == "__main__":
    main()
