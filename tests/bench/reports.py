"""A made-up report, and its header."""

from collections.abc import Mapping
from typing import Any

from qstar_infer.bench.report import BarChart, Header, LineChart, Report, Table

HEADER = Header(
    machine={"kind": "avx2"},
    machine_line="a CPU, 2 threads",
    model="made-up",
    runner="torch",
    dtype="bfloat16",
    quantization="none",
    kernel="plain",
    num_thought_tokens=5,
    versions={"torch": "1"},
    load_average=[0.1, None],
)
BARS = BarChart(title="Bars", y_label="tokens per second", bars={"one": 1.0, "two": 2.0})
LINES = LineChart(
    title="Lines", x_label="tokens", y_label="speed", lines={"one": [(1, 2.0), (16, 3.0)]}
)


def make_report(
    figures: Mapping[str, Any], *, chart: BarChart | LineChart = BARS, title: str = "Made up"
) -> Report:
    return Report(
        header=HEADER,
        settings={"repeats": 3},
        figures=figures,
        ratios={"one_over_two": 0.5},
        table=Table(title=title, columns=("way", "rate"), rows=[("one", 12.345), ("two", None)]),
        notes=["a note"],
        chart=chart,
    )
