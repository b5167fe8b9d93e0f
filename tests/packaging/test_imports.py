"""Every package that the code imports is one that the distribution asks for.

An environment with the extras of the tests has more, so that a lack is not seen there.
"""

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from .empty_environment import dependencies

ROOT = Path(__file__).parents[2]
PROVIDERS = packages_distributions()


def imported(directory: Path) -> Iterator[str]:
    """The top-level names that a package imports from elsewhere."""
    for path in directory.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


@pytest.mark.parametrize(
    ("package", "project", "extras"),
    [
        ("qstar_infer", "qstar", ("bench", "llama-cpp", "quantization")),
        ("qstar_train", "qstar", ("train",)),
        ("qstar_eval", "qstar", ("train",)),
        ("qstar_lab", "qstar", ("train",)),
        ("server/qstar_server", "qstar", ("tracing", "ray")),
        ("clients/python/src/qstar_client", "qstar-client", ("rich",)),
    ],
)
def test_what_is_imported_is_required(package: str, project: str, extras: tuple[str, ...]) -> None:
    """By the distribution, by one of these extras, or by what they require."""
    try:
        required = dependencies(distribution(project), extras)
    except PackageNotFoundError as error:
        pytest.skip(f"needs {error.name}, of one of the extras {', '.join(extras)}")
    here = {canonicalize_name(each.name) for each in required}
    ours = ("qstar_client",) if project == "qstar-client" else ("qstar_",)
    lacking = {
        name
        for name in imported(ROOT / package)
        if name not in sys.stdlib_module_names and not name.startswith(ours)
        if not here & {canonicalize_name(provider) for provider in PROVIDERS.get(name, ())}
    }
    assert not lacking
