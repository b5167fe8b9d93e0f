"""Measures each kernel and each quantisation on the default model; writes one JSON file.

    python -m benchmarks.kernels.run speed RESULTS.json      # on an idle machine, about a minute
    python -m benchmarks.kernels.run quality RESULTS.json    # takes minutes; adds to the same file

The texts are this project's decision records, which no model was trained on.
"""

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.kernels.quality import judge
from benchmarks.kernels.speed import pack_model, time_passes
from qstar_infer import load_model
from qstar_infer.bench.hardware import describe_device, versions
from qstar_infer.kernels.fbgemm import Float16WeightKernel
from qstar_infer.kernels.linear_kernel import LinearKernel
from qstar_infer.kernels.module_layers import pack_layers
from qstar_infer.kernels.one_dnn import OneDnnKernel
from qstar_infer.kernels.plain import PlainKernel
from qstar_infer.kernels.quantised_linear import QuantisedLinear, quantise_layers
from qstar_infer.model.quiet_star import QuietStarModel

ROWS = (1, 4, 9, 16, 32, 64)
TEXTS = sorted(Path("docs/decisions").glob("00*.md"))[:8]
MAX_TOKENS = 96
KERNELS: dict[str, LinearKernel] = {
    "plain float32": PlainKernel(torch.float32),
    "packed float32": OneDnnKernel(torch.float32),
    "float16 weights": Float16WeightKernel(),
    "plain bfloat16": PlainKernel(torch.bfloat16),
    "packed bfloat16": OneDnnKernel(torch.bfloat16),
}
JUDGED = ("plain float32", "float16 weights", "packed bfloat16")
"""The others have the same weights and dtype as one of these."""
QUANTISATIONS = ("int8-cpu", "int4-cpu")


def measure_speed() -> dict[str, Any]:
    """Name -> milliseconds by number of rows."""
    backbone = load_model(dtype="bfloat16", device="cpu").backbone
    cases: list[tuple[str, LinearKernel, str | None]] = [
        (name, kernel, None) for name, kernel in KERNELS.items() if kernel.is_available()
    ]
    rest = OneDnnKernel(torch.bfloat16)
    beside = rest if rest.is_available() else KERNELS["float16 weights"]
    cases += [(name, beside, name) for name in QUANTISATIONS]
    models = {
        name: pack_model(backbone, kernel, quantization) for name, kernel, quantization in cases
    }
    results = time_passes(models, ROWS, num_passes=5)
    for name, times in results.items():
        sys.stdout.write(f"{name:16} {times}\n")
    return results


def measure_quality() -> dict[str, Any]:
    """Name -> loss, perplexity, agreement and size of the linear layers."""
    texts = [path.read_text(encoding="utf-8") for path in TEXTS]
    results: dict[str, Any] = {}
    for name in JUDGED:
        kernel = KERNELS[name]
        if kernel.is_available():
            model = load_model(dtype=kernel.dtype, device="cpu")
            pack_layers(model.backbone, kernel)
            size = 2 if name == "float16 weights" else kernel.dtype.itemsize
            num_bytes = size * sum(layer.weight.numel() for layer in _linears(model))
            results[name] = _judged(name, model, texts, num_bytes)
    for quantization in QUANTISATIONS:
        for with_output in (False, True):
            model = load_model(dtype="bfloat16", device="cpu")
            kept = [] if with_output else [model.backbone.lm_head]
            quantise_layers(model.backbone, quantization, kept=kept)
            name = quantization + (" with lm_head" if with_output else "")
            num_bytes = sum(layer.weight.nbytes for layer in _linears(model)) + sum(
                layer.rounded.num_bytes
                for layer in model.backbone.modules()
                if isinstance(layer, QuantisedLinear)
            )
            results[name] = _judged(name, model, texts, num_bytes)
    return results


def _judged(name: str, model: QuietStarModel, texts: list[str], num_bytes: int) -> dict[str, float]:
    quality = judge(model, texts, max_tokens=MAX_TOKENS)
    result = asdict(quality) | {
        "perplexity": math.exp(quality.loss),
        "megabytes": round(num_bytes / 1e6, 1),
    }
    sys.stdout.write(f"{name:24} {result}\n")
    sys.stdout.flush()
    return result


def _linears(model: QuietStarModel) -> list[torch.nn.Linear]:
    return [each for each in model.backbone.modules() if type(each) is torch.nn.Linear]


def main() -> None:
    """Measure one part and add it to the file."""
    part, path = sys.argv[1], Path(sys.argv[2])
    report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    report[part] = {"speed": measure_speed, "quality": measure_quality}[part]()
    report["device"] = describe_device(torch.device("cpu"))
    report["versions"] = versions()
    report["capability"] = torch.backends.cpu.get_cpu_capability()
    report["threads"] = torch.get_num_threads()
    report["texts"] = [path.name for path in TEXTS]
    report["max_tokens"] = MAX_TOKENS
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
