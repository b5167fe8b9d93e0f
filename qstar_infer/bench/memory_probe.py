"""One way of `qstar bench memory`, in a process of its own, because memory once freed may stay.

    python -m qstar_infer.bench.memory_probe ORDER

ORDER is JSON, made by `bench.memory`. Writes one line of JSON, the figures. Linux only: the kernel
counts the peak.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qstar_infer.bench.engines import (
    EngineDecoder,
    cache_bytes_per_token,
    open_engines,
    set_threads,
    tokenizer_of,
)
from qstar_infer.bench.hardware import load_average
from qstar_infer.bench.peers.stock import StockGenerate, load_stock
from qstar_infer.bench.prompts import make_prompt
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError, QStarError


def measure(order: dict[str, Any]) -> dict[str, Any]:
    """Load and serve one request.

    Raises:
        ConfigError, CheckpointError: these settings cannot be served, or this is not Linux.
    """
    set_threads(order["threads"])
    figures: dict[str, Any] = {"imported_bytes": resident("VmRSS")}
    args = EngineArgs.of(**order["settings"])
    serve = _serve_peer if order["peer"] else _serve_ours
    return figures | serve(args, order) | {"peak_bytes": resident("VmHWM")}


def resident(name: str) -> int:
    """Resident bytes of this process: now (`VmRSS`), or at most up to now (`VmHWM`).

    Raises:
        ConfigError: the system does not say.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        raise ConfigError("memory is read from /proc/self/status, which only Linux has")
    for line in status.read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise ConfigError(f"/proc/self/status has no {name}")


def _serve_ours(args: EngineArgs, order: dict[str, Any]) -> dict[str, Any]:
    load_before = load_average()
    with open_engines(args, {"served": {}}) as engines:
        llm = engines.by_name["served"]
        figures = _after_loading()
        prompt = make_prompt(tokenizer_of(llm), order["num_prompt_tokens"], seed=0)
        EngineDecoder(llm=llm, num_tokens=order["max_tokens"])([prompt])
        header = engines.header("served", load_before=load_before)
        return {
            **figures,
            "cache_bytes_per_token": cache_bytes_per_token(llm),
            "header": asdict(header),
        }


def _serve_peer(args: EngineArgs, order: dict[str, Any]) -> dict[str, Any]:
    model = load_stock(args, args.dtype)
    figures = _after_loading()

    def tokenize(text: str) -> list[int]:
        return list(model.tokenizer(text)["input_ids"])

    prompt = make_prompt(tokenize, order["num_prompt_tokens"], seed=0)
    StockGenerate(model, order["max_tokens"])([prompt])
    return figures


def _after_loading() -> dict[str, Any]:
    return {"loaded_bytes": resident("VmRSS"), "loading_peak_bytes": resident("VmHWM")}


def main() -> None:
    """Print the figures, or one line that says why there are none."""
    try:
        figures = measure(json.loads(sys.argv[1]))
    except QStarError as error:
        sys.exit(str(error))
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
