"""Imports point one way: `server -> qstar_infer <- qstar_train <- qstar_eval <- qstar_lab`.

Clients import none of them.

Holds each sentence of "Layers" in docs/architecture.md. The imports are read from the source,
function-local and type-only ones included.
"""

import ast
import subprocess
import sys
from collections.abc import Collection, Iterator
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
    "qstar_infer.histogram",
    "qstar_infer.outputs",
    "qstar_infer.ranking",
    "qstar_infer.sampling_defaults",
    "qstar_infer.sampling_params",
    "qstar_infer.structured_outputs",
    "qstar_infer.thinking_rule",
}
SERVER_COMMAND_MAY_IMPORT = {"qstar_infer.cli.streams", "qstar_infer.cli.terminal"}
SERVER_LOAD_MAY_IMPORT = {"qstar_infer.engine.create.create_async_engine"}
"""Only `load.py` creates an engine, for the command and for replicas."""
SERVER_SETTINGS_MAY_IMPORT = {"qstar_infer.cli.engine_options"}
"""The options of that command are in `settings.py`."""
SERVER_LOG_MAY_IMPORT = {"qstar_infer.cli.terminal"}
SERVER_ENDPOINTS = {
    path.name
    for path in (ROOT / "server/qstar_server/endpoints").iterdir()
    if (path / "router.py").exists()
}
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
    "cache_directory",
    "config",
    "context_length",
    "cpu_limit",
    "engine.protocol",
    "engine_args",
    "errors",
    "histogram",
    "json_place",
    "outputs",
    "ranking",
    "sampling_defaults",
    "sampling_params",
    "saved_run",
    "step",
    "structured_outputs",
    "thinking_rule",
    "token_rules",
}
"""Modules of `qstar_infer` that import the standard library, each other, and `view/`."""
PARTS_BELOW = {
    "signs": set(),
    "view": {"signs"},
    "plain data": {"view"},
    "text": {"plain data"},
    "constraints": {"plain data", "text"},
    "kv_cache": {"plain data"},
    "wavefront": {"plain data", "kv_cache"},
    "compiled": {"plain data"},
    "attention": {"plain data", "kv_cache", "compiled"},
    "sampling": {"plain data", "compiled"},
    "model": {"plain data", "kv_cache", "attention", "sampling", "kernels"},
    "hardware": {"plain data"},
    "checkpoint": {"plain data", "model", "hardware", "kernels"},
    "kernels": {"plain data", "hardware"},
    "decoder": {
        *("plain data", "kv_cache", "attention", "model", "kernels", "hardware", "compiled"),
    },
    "runner": {
        *("plain data", "kv_cache", "attention", "sampling", "model"),
        *("kernels", "decoder", "hardware", "checkpoint"),
    },
    "prebuild": {"attention", "sampling", "decoder", "compiled"},
    "engine": {
        *("plain data", "text", "constraints", "kv_cache", "wavefront"),
        *("attention", "sampling", "model", "checkpoint", "decoder", "runner"),
    },
    "llm": {"plain data", "model", "engine"},
    "public names": {"plain data", "view", "model", "checkpoint", "llm"},
    "bench": {"plain data", "model", "hardware", "checkpoint", "llm"},
    "cli": {"plain data", "model", "checkpoint", "llm", "public names", "bench"},
}
"""Which parts of `qstar_infer` each of its parts may import, besides itself."""
TORCH_FREE = {
    "qstar_infer",
    "qstar_infer.engine.admission",
    "qstar_infer.engine.drafting",
    "qstar_infer.engine.output_processor",
    "qstar_infer.engine.scheduler",
    "qstar_infer.engine.sequence_memory",
    "qstar_infer.engine.step_counts",
    "qstar_infer.kv_cache.block_manager",
    "qstar_infer.kv_cache.layer_shape",
    "qstar_infer.model.config",
    "qstar_infer.model.source_name",
    "qstar_infer.view.html",
    *(f"qstar_infer.{name}" for name in PLAIN_DATA),
}
"""Besides all of `text/`, `constraints/`, `wavefront/`, `cli/` and the lab's tasks."""
LAB_WITHOUT_TORCH = {"qstar_lab.cli", "qstar_lab.corpus"}
"""So that `qstar lab questions` starts at once; with all of `qstar_lab/tasks/`."""


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


IMPORT_ROOTS = [ROOT / "server", ROOT / "clients/python/src", ROOT]
OUR_SOURCES = [
    path
    for package in (
        *("qstar_infer", "qstar_train", "qstar_eval", "qstar_lab"),
        *("server", "clients/python/src"),
    )
    for path in sources(package)
]


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


def module_of(path: Path) -> str:
    """The dotted name of a source file."""
    root = next(root for root in IMPORT_ROOTS if root in path.parents)
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def part_of(module: str) -> str:
    """The part of `qstar_infer` that a module of it belongs to."""
    name = module.removeprefix("qstar_infer").removeprefix(".")
    if name in PLAIN_DATA:
        return "plain data"
    return name.split(".")[0] or "public names"


def imported_modules(path: Path, modules: Collection[str]) -> set[str]:
    """Which of these modules a file imports."""
    found = set()
    for name in imports_of(path):
        if name not in modules:  # a name inside of a module
            name = name.rpartition(".")[0]
        if name in modules:
            found.add(name)
    return found - {module_of(path)}


# --- inside of qstar_infer ----------------------------------------------------------------------


@pytest.mark.parametrize("path", sources("qstar_infer"), ids=relative)
def test_parts_import_only_the_parts_below_them(path: Path) -> None:
    part = part_of(module_of(path))
    imported = imported_modules(path, [module_of(path) for path in sources("qstar_infer")])
    assert {part_of(module) for module in imported} <= PARTS_BELOW[part] | {part}


def test_parts_have_an_order() -> None:
    """So that "below" means something: no part is below itself."""
    TopologicalSorter(PARTS_BELOW).prepare()
    assert {part_of(module_of(path)) for path in sources("qstar_infer")} == PARTS_BELOW.keys()


def test_only_llm_and_the_commands_stand_above_the_engine() -> None:
    above = {part for part, below in PARTS_BELOW.items() if "engine" in below}
    assert above == {"llm"}
    assert {part for part, below in PARTS_BELOW.items() if "llm" in below} == {
        "public names",
        "bench",
        "cli",
    }


@pytest.mark.parametrize("name", sorted(PLAIN_DATA))
def test_plain_data_needs_the_standard_library_alone(name: str) -> None:
    path = (ROOT / "qstar_infer" / name.replace(".", "/")).with_suffix(".py")
    tops = {imported.split(".")[0] for imported in imports_of(path)}
    assert tops - {"qstar_infer"} <= sys.stdlib_module_names


def test_no_imports_go_round_in_circles() -> None:
    """Function-local and type-only imports are part of the graph as well."""
    paths = {module_of(path): path for path in OUR_SOURCES}
    assert len(paths) == len(OUR_SOURCES)
    graph = {module: imported_modules(path, paths) for module, path in paths.items()}
    assert graph["qstar_infer.llm"] >= {"qstar_infer.engine.create", "qstar_infer.errors"}
    TopologicalSorter(graph).prepare()  # a CycleError names the modules


# --- between packages ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", sources("qstar_infer"), ids=relative)
def test_qstar_infer_knows_neither_server_nor_trainer_nor_client(path: Path) -> None:
    forbidden = {"qstar_server", "qstar_train", "qstar_eval", "qstar_lab", "qstar_client"}
    forbidden |= {"fastapi", "starlette"}
    assert not [name for name in imports_of(path) if is_within(name, forbidden)]


@pytest.mark.parametrize("path", sources("qstar_train"), ids=relative)
def test_training_knows_neither_evaluation_nor_server_nor_client(path: Path) -> None:
    forbidden = {"qstar_eval", "qstar_lab", "qstar_server", "qstar_client"}
    forbidden |= {"fastapi", "starlette"}
    assert not [name for name in imports_of(path) if is_within(name, forbidden)]


@pytest.mark.parametrize("path", sources("qstar_eval"), ids=relative)
def test_evaluation_sees_data_and_losses_but_not_the_trainer(path: Path) -> None:
    names = list(imports_of(path))
    forbidden = {"qstar_lab", "qstar_server", "qstar_client", "fastapi", "starlette"}
    assert not [name for name in names if is_within(name, forbidden)]
    ours = [name for name in names if is_within(name, {"qstar_train"})]
    assert not [name for name in ours if not is_within(name, EVAL_MAY_IMPORT)]


@pytest.mark.parametrize("path", sources("qstar_lab"), ids=relative)
def test_the_lab_knows_neither_server_nor_client(path: Path) -> None:
    forbidden = {"qstar_server", "qstar_client", "fastapi", "starlette"}
    assert not [name for name in imports_of(path) if is_within(name, forbidden)]


@pytest.mark.parametrize("path", sources("qstar_lab/tasks"), ids=relative)
def test_tasks_of_the_lab_are_plain_data(path: Path) -> None:
    """So that they can be read, drawn and judged anywhere."""
    allowed = {"qstar_lab.tasks", "qstar_infer.errors", *sys.stdlib_module_names}
    assert not [name for name in imports_of(path) if not is_within(name, allowed)]


@pytest.mark.parametrize("path", sources("server/qstar_server"), ids=relative)
def test_server_sees_only_the_engine_protocol_and_plain_data(path: Path) -> None:
    exceptions = {
        "cli.py": SERVER_COMMAND_MAY_IMPORT,
        "load.py": SERVER_LOAD_MAY_IMPORT,
        "settings.py": SERVER_SETTINGS_MAY_IMPORT,
        "logging_setup.py": SERVER_LOG_MAY_IMPORT,
    }
    allowed = SERVER_MAY_IMPORT | exceptions.get(path.name, set())
    packages = {"qstar_infer", "qstar_train", "qstar_eval", "qstar_lab", "qstar_client"}
    packages |= TENSOR_PACKAGES
    ours = [name for name in imports_of(path) if is_within(name, packages)]
    assert not [name for name in ours if not is_within(name, allowed)]


@pytest.mark.parametrize("path", sources("server/qstar_server"), ids=relative)
def test_an_endpoint_is_known_to_itself_and_the_application_alone(path: Path) -> None:
    """So the next endpoint is a folder and one line of `app.py`.

    One more place knows a form of errors: where streams end whose replica has gone.
    """
    endpoints = {f"qstar_server.endpoints.{name}" for name in SERVER_ENDPOINTS - {path.parent.name}}
    assert len(endpoints) > 6
    known = [name for name in imports_of(path) if is_within(name, endpoints)]
    if path.name == "stream_failure.py":
        assert known == ["qstar_server.endpoints.messages.error_envelope.error_envelope"]
    else:
        assert not known or path.name == "app.py"


@pytest.mark.parametrize("path", sources("server/qstar_server"), ids=relative)
def test_only_one_package_knows_ray(path: Path) -> None:
    """Ray is optional: everything else of the server works without it."""
    names = list(imports_of(path))
    if path.parent.name != "ray":
        assert not [name for name in names if is_within(name, {"ray"})]
        package = [name for name in names if is_within(name, {"qstar_server.ray"})]
        assert not package or (relative(path), package) == (
            "server/qstar_server/cli.py",
            ["qstar_server.ray.command.run_on_ray"],
        )


@pytest.mark.parametrize("path", sources("server/qstar_server/replicas"), ids=relative)
def test_the_front_does_not_know_what_starts_replicas(path: Path) -> None:
    assert not [name for name in imports_of(path) if is_within(name, {"qstar_server.ray"})]


@pytest.mark.parametrize("path", sources("server/qstar_server"), ids=relative)
def test_only_the_lifecycle_and_connections_know_the_web_server(path: Path) -> None:
    knows_it = path.name in ("lifecycle.py", "http_connection.py")
    assert knows_it == any(is_within(name, {"uvicorn"}) for name in imports_of(path))


@pytest.mark.parametrize("path", sources("clients/python/src"), ids=relative)
def test_client_imports_neither_ours_nor_torch(path: Path) -> None:
    forbidden = {"qstar_infer", "qstar_server", "qstar_train", "qstar_eval", "qstar_lab"}
    forbidden |= TENSOR_PACKAGES
    assert not [name for name in imports_of(path) if is_within(name, forbidden)]


def test_what_needs_no_tensors_imports_without_torch() -> None:
    """Importing also finds what is reached through other modules."""
    names = TORCH_FREE | LAB_WITHOUT_TORCH
    packages = (
        *("qstar_infer/text", "qstar_infer/constraints", "qstar_infer/wavefront"),
        *("qstar_infer/cli", "qstar_lab/tasks"),
    )
    for package in packages:
        names |= {module_of(path) for path in sources(package)}
    blocked = dict.fromkeys(sorted(TENSOR_PACKAGES))
    code = (
        f"import sys, importlib\nsys.modules.update({blocked})\n"
        f"for name in {sorted(names)}: importlib.import_module(name)\n"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_every_package_has_an_init_file() -> None:
    """Without one, setuptools and mypy take a directory for a namespace and lose track of it."""
    packages = {path.parent for path in sources("qstar_infer") + sources("server/qstar_server")}
    assert not [relative(path) for path in packages if not (path / "__init__.py").exists()]
