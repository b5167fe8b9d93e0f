"""Imports point one way: `server -> qstar_infer <- qstar_train <- qstar_eval`; clients import none.

The imports are read from the source, function-local and type-only ones included.
"""

import ast
import subprocess
import sys
from collections.abc import Container, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TENSOR_PACKAGES = {"torch", "transformers", "peft", "accelerate", "safetensors"}
SERVER_MAY_IMPORT = {
    "qstar_infer.config",
    "qstar_infer.engine.protocol",
    "qstar_infer.engine_args",
    "qstar_infer.errors",
    "qstar_infer.outputs",
    "qstar_infer.ranking",
    "qstar_infer.sampling_defaults",
    "qstar_infer.sampling_params",
    "qstar_infer.text.detokenizer",
    "qstar_infer.text.prompt_offsets",
}
SERVER_COMMAND_MAY_IMPORT = {
    "qstar_infer.cli.engine_options",
    "qstar_infer.engine.create.create_async_engine",
}
"""Only the server's command, `cli.py`, creates an engine."""
SERVER_ENDPOINTS = {"completions", "health", "models"}
EVAL_MAY_IMPORT = {
    "qstar_train.data",
    "qstar_train.fingerprint",
    "qstar_train.objective.chunked_logits",
    "qstar_train.sampling",
    "qstar_train.config",
    "qstar_train.config_file",
}
"""What evaluation shares with training: data, config, and how losses and thoughts are computed."""
PLAIN_DATA = {
    *("config", "engine_args", "errors", "outputs"),
    *("ranking", "sampling_defaults", "sampling_params", "step"),
}
INFER_MAY_IMPORT: dict[str, set[str]] = {
    **dict.fromkeys(PLAIN_DATA, set()),
    "hardware": set(),
    "text": set(),
    "sampling": set(),
    "kv_cache": set(),
    "wavefront": {"kv_cache"},
    "attention": {"kv_cache"},
    "model": {"attention", "sampling"},
    "checkpoint": {"hardware", "model"},
    "engine": {
        *("attention", "checkpoint", "kv_cache", "model"),
        *("sampling", "text", "wavefront"),
    },
    "llm": {"engine", "model"},
    "bench": {"checkpoint", "llm", "model"},
}
"""What each part of `qstar_infer` may import, in addition to itself and plain data."""
TORCH_FREE = [
    "qstar_infer",
    "qstar_infer.errors",
    "qstar_infer.sampling_params",
    "qstar_infer.outputs",
    "qstar_infer.text.detokenizer",
    "qstar_infer.text.prompt_offsets",
    "qstar_infer.ranking",
    "qstar_infer.sampling_defaults",
    "qstar_infer.engine_args",
    "qstar_infer.config",
    "qstar_infer.model.config",
    "qstar_infer.engine.protocol",
    "qstar_infer.engine.admission",
    "qstar_infer.engine.scheduler",
    "qstar_infer.kv_cache.block_manager",
    "qstar_infer.step",
    "qstar_infer.wavefront.rows",
    "qstar_infer.wavefront.sequence",
    "qstar_infer.wavefront.speculation",
    "qstar_infer.wavefront.wavefront",
    "qstar_infer.cli.main",
    "qstar_infer.cli.generate",
    "qstar_infer.cli.chat",
]


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports_of(path: Path) -> Iterator[str]:
    """Dotted names a file imports: `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("path", sources("qstar_infer"), ids=relative)
def test_qstar_infer_knows_neither_server_nor_trainer_nor_client(path: Path) -> None:
    forbidden = {"qstar_server", "qstar_train", "qstar_eval", "qstar_client"}
    forbidden |= {"fastapi", "starlette"}
    assert not [name for name in imports_of(path) if is_within(name, forbidden)]


@pytest.mark.parametrize("path", sources("qstar_infer"), ids=relative)
def test_only_the_command_line_imports_the_command_line(path: Path) -> None:
    if (ROOT / "qstar_infer/cli") in path.parents:
        return
    assert not [name for name in imports_of(path) if is_within(name, {"qstar_infer.cli"})]


@pytest.mark.parametrize("part", INFER_MAY_IMPORT)
def test_parts_of_qstar_infer_import_only_what_is_below_them(part: str) -> None:
    folder = ROOT / "qstar_infer" / part
    allowed = {f"qstar_infer.{name}" for name in {part} | PLAIN_DATA | INFER_MAY_IMPORT[part]}
    for path in sources(f"qstar_infer/{part}") if folder.is_dir() else [folder.with_suffix(".py")]:
        ours = [name for name in imports_of(path) if is_within(name, {"qstar_infer"})]
        assert not [name for name in ours if not is_within(name, allowed)], relative(path)


def test_no_import_circle() -> None:
    """A circle works only as long as the right module is imported first."""
    packages = ("qstar_infer", "qstar_train", "qstar_eval", "server/qstar_server")
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removeprefix("server."): path
        for package in packages
        for path in sources(package)
    }
    graph = {
        module: {known for name in imports_of(path) if (known := module_of(name, modules))}
        for module, path in modules.items()
    }
    TopologicalSorter(graph).prepare()  # CycleError names the circle


def module_of(name: str, modules: Container[str]) -> str | None:
    """The module that `import name` or `from ... import` reads; None: it is not ours."""
    outer = name.rpartition(".")[0]
    candidates = (name, f"{name}.__init__", outer, f"{outer}.__init__")
    return next((each for each in candidates if each in modules), None)


@pytest.mark.parametrize("path", sources("qstar_train"), ids=relative)
def test_training_knows_neither_evaluation_nor_server_nor_client(path: Path) -> None:
    forbidden = {"qstar_eval", "qstar_server", "qstar_client", "fastapi", "starlette"}
    assert not [name for name in imports_of(path) if is_within(name, forbidden)]


@pytest.mark.parametrize("path", sources("qstar_eval"), ids=relative)
def test_evaluation_sees_data_and_losses_but_not_the_trainer(path: Path) -> None:
    names = list(imports_of(path))
    forbidden = {"qstar_server", "qstar_client", "fastapi", "starlette"}
    assert not [name for name in names if is_within(name, forbidden)]
    ours = [name for name in names if is_within(name, {"qstar_train"})]
    assert not [name for name in ours if not is_within(name, EVAL_MAY_IMPORT)]


@pytest.mark.parametrize("path", sources("server/qstar_server"), ids=relative)
def test_server_sees_only_the_engine_protocol_and_plain_data(path: Path) -> None:
    is_command = path == ROOT / "server/qstar_server/cli.py"
    allowed = SERVER_MAY_IMPORT | (SERVER_COMMAND_MAY_IMPORT if is_command else set())
    packages = {"qstar_infer", "qstar_train", "qstar_eval", "qstar_client"} | TENSOR_PACKAGES
    ours = [name for name in imports_of(path) if is_within(name, packages)]
    assert not [name for name in ours if not is_within(name, allowed)]


@pytest.mark.parametrize("path", sources("server/qstar_server"), ids=relative)
def test_an_endpoint_is_known_to_itself_and_the_application_alone(path: Path) -> None:
    """So the next endpoint is a folder and one line of `app.py`."""
    endpoints = {f"qstar_server.{name}" for name in SERVER_ENDPOINTS - {path.parent.name}}
    known = [name for name in imports_of(path) if is_within(name, endpoints)]
    assert not known or path.name == "app.py"


@pytest.mark.parametrize("path", sources("server/qstar_server"), ids=relative)
def test_only_the_lifecycle_knows_the_web_server(path: Path) -> None:
    is_lifecycle = path.name == "lifecycle.py"
    assert is_lifecycle == any(is_within(name, {"uvicorn"}) for name in imports_of(path))


@pytest.mark.parametrize("path", sources("clients/python/src"), ids=relative)
def test_client_imports_neither_ours_nor_torch(path: Path) -> None:
    forbidden = {"qstar_infer", "qstar_server", "qstar_train", "qstar_eval"} | TENSOR_PACKAGES
    assert not [name for name in imports_of(path) if is_within(name, forbidden)]


def test_scheduling_and_accounting_import_without_torch() -> None:
    """Importing also finds what is reached through other modules."""
    blocked = dict.fromkeys(sorted(TENSOR_PACKAGES))
    code = (
        f"import sys, importlib\nsys.modules.update({blocked})\n"
        f"for name in {TORCH_FREE}: importlib.import_module(name)\n"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_every_package_has_an_init_file() -> None:
    """Without one, setuptools and mypy take a directory for a namespace and lose track of it."""
    packages = {path.parent for path in sources("qstar_infer") + sources("server/qstar_server")}
    assert not [relative(path) for path in packages if not (path / "__init__.py").exists()]
