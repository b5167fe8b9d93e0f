"""Peak memory of loading a model and serving one request, in a fresh process for each way."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from qstar_infer.bench.progress import Counter, OnCall, ignore_progress
from qstar_infer.bench.report import BarChart, Header, Report, Table
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError

MIB = 2**20
DTYPE_WAYS = ("float32", "bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConfig:
    """What to measure."""

    engine_args: EngineArgs = EngineArgs()
    quantizations: Sequence[str] = ()
    """Each is a way of its own, with the other settings as they are."""
    num_prompt_tokens: int = 256
    max_tokens: int = 16
    threads: int | None = None


def run_memory(config: MemoryConfig, *, on_call: OnCall = ignore_progress) -> Report:
    """Measure the settings as given, then with other dtypes and quantisations.

    Raises:
        ConfigError: not even the settings as given can be served; the message has the reason.
    """
    args = config.engine_args
    ways = {"as served": args}
    ways |= {f"dtype {dtype}": replace(args, dtype=dtype) for dtype in DTYPE_WAYS}
    ways |= {
        f"quantization {name}": replace(args, quantization=name) for name in config.quantizations
    }
    counter = Counter(on_call, len(ways) + 1)
    found: dict[str, dict[str, Any]] = {}
    for name, each in ways.items():
        found[name] = probe(each, config)
        counter()
        if "error" in found["as served"]:
            raise ConfigError(found["as served"]["error"])
    found["transformers generate"] = probe(args, config, peer=True)
    counter()
    header = Header(**found["as served"].pop("header"))
    peaks = {name: each["peak_bytes"] / MIB for name, each in found.items() if "peak_bytes" in each}
    return Report(
        header=header,
        settings={"num_prompt_tokens": config.num_prompt_tokens, "max_tokens": config.max_tokens},
        figures={"ways": {name: _without_header(each) for name, each in found.items()}},
        table=_table(found),
        notes=[
            f"resident memory of a fresh process: Python and its libraries, loading, and one "
            f"request of {config.num_prompt_tokens} + {config.max_tokens} tokens",
            *(
                f"{name} was not measured: {each['error']}"
                for name, each in found.items()
                if "error" in each
            ),
        ],
        chart=BarChart(title="Peak memory", y_label="MiB resident at most", bars=peaks),
    )


def probe(args: EngineArgs, config: MemoryConfig, *, peer: bool = False) -> dict[str, Any]:
    """The figures of one way, or `{"error": why}`; see `memory_probe`."""
    order = {
        "settings": args.settings(),
        "peer": peer,
        "num_prompt_tokens": config.num_prompt_tokens,
        "max_tokens": config.max_tokens,
        "threads": config.threads,
    }
    command = [sys.executable, "-m", "qstar_infer.bench.memory_probe", json.dumps(order)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        last = result.stderr.strip().splitlines() or [f"exit status {result.returncode}"]
        return {"error": last[-1]}
    answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return answer


def _without_header(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name != "header"}


def _table(found: dict[str, dict[str, Any]]) -> Table:
    def mib(figures: dict[str, Any], name: str) -> float | None:
        return figures[name] / MIB if figures.get(name) is not None else None

    return Table(
        title="Memory",
        columns=("way", "after imports", "loaded", "peak, loading", "peak (MiB)", "cache B/token"),
        rows=[
            (
                name,
                *(
                    mib(each, key)
                    for key in (
                        "imported_bytes",
                        "loaded_bytes",
                        "loading_peak_bytes",
                        "peak_bytes",
                    )
                ),
                each.get("cache_bytes_per_token"),
            )
            for name, each in found.items()
        ],
    )
