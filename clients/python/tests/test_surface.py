"""What the package shows, and that both clients show the same."""

import inspect
import subprocess
import sys
from importlib.metadata import requires, version
from types import ModuleType
from typing import get_origin

import pytest
from packaging.requirements import Requirement

import qstar_client
from qstar_client import QStarClient, Stream


def test_all_is_everything_public_and_sorted() -> None:
    public = [
        name
        for name, value in vars(qstar_client).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    ]
    assert qstar_client.__all__ == sorted([*public, "__version__"])


PUBLIC = {name: getattr(qstar_client, name) for name in qstar_client.__all__}


@pytest.mark.parametrize(
    "name", [name for name in PUBLIC if inspect.isclass(PUBLIC[name]) or callable(PUBLIC[name])]
)
def test_everything_public_is_documented(name: str) -> None:
    value = get_origin(PUBLIC[name]) or PUBLIC[name]  # CompletionStream is Stream[...]
    assert (value.__doc__ or "").strip()


def test_installed_version_and_dependencies() -> None:
    assert version("qstar-client") == qstar_client.__version__
    needed = [Requirement(each) for each in requires("qstar-client") or ()]
    assert {each.name for each in needed if each.marker is None} == {"httpx", "pydantic"}
    assert {(each.name, str(each.marker)) for each in needed if each.marker} == {
        ("rich", 'extra == "rich"')
    }


def test_import_is_light() -> None:
    program = "import sys, qstar_client; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.split(".")[0] for name in result.stdout.split()}
    assert "qstar_client" in loaded
    assert loaded.isdisjoint({"torch", "transformers", "numpy", "qstar_infer", "qstar_server"})


PAIRS = [
    (value, getattr(qstar_client, f"Async{name}"))
    for name, value in vars(qstar_client).items()
    if f"Async{name}" in vars(qstar_client) and inspect.isclass(value)
]


def methods(cls: type) -> dict[str, object]:
    """Public methods; async spellings count as their blocking ones."""
    named = {
        name.replace("__a", "__", 1): value
        for name, value in vars(cls).items()
        if inspect.isfunction(value)
    }
    return {name: value for name, value in named.items() if name not in ("__repr__",)}


def shape(method: object) -> list[tuple[object, ...]]:
    """Parameters and result, with async types read as the blocking ones."""
    signature = inspect.signature(method)  # type: ignore[arg-type]
    parameters = signature.parameters.values()
    return [
        *((each.name, each.kind, blocking(each.annotation), each.default) for each in parameters),
        (blocking(signature.return_annotation),),
    ]


def blocking(annotation: object) -> str:
    """The blocking spelling of a type."""
    return str(annotation).replace("Async", "").replace("_async_client", "_client")


def test_pairs_cover_every_class_that_does_io() -> None:
    assert {blocking.__name__ for blocking, _ in PAIRS} == {
        "Chat",
        "ChatCompletions",
        "Completions",
        "Models",
        "QStarClient",
        "Responses",
        "Stream",
    }


@pytest.mark.parametrize(("original", "twin"), PAIRS, ids=lambda cls: cls.__name__)
def test_both_clients_have_the_same_methods_and_signatures(original: type, twin: type) -> None:
    assert set(methods(original)) == set(methods(twin))
    for name, method in methods(original).items():
        if (original, name) == (Stream, "__init__"):
            continue  # not public: it takes the function that opens the response
        assert shape(method) == shape(methods(twin)[name]), name


@pytest.mark.parametrize(("original", "twin"), PAIRS, ids=lambda cls: cls.__name__)
def test_both_clients_document_public_methods_alike(original: type, twin: type) -> None:
    for name, method in methods(original).items():
        if not name.startswith("_"):
            assert method.__doc__, name
            assert method.__doc__ == methods(twin)[name].__doc__, name


def test_signatures_name_no_positional_arguments() -> None:
    kinds = [each.kind for each in inspect.signature(QStarClient).parameters.values()]
    assert kinds
    assert set(kinds) == {inspect.Parameter.KEYWORD_ONLY}
