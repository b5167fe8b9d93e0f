"""What `qstar bench` prints and writes, from made-up numbers."""

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qstar_infer.bench.plot import check_plot, plot
from qstar_infer.bench.report import BarChart, Cell, LineChart, ratios_of
from qstar_infer.cli.bench.options import numbers
from qstar_infer.cli.bench.show import cell_text, check_outputs, show_report
from qstar_infer.cli.main import app
from qstar_infer.errors import ConfigError

from .reports import BARS, LINES, make_report

runner = CliRunner()


def test_table_notes_and_header_are_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "numbers.json"
    show_report(make_report({"plain_tok_s": 3.0}), json_file=path, plot_file=None)
    shown = capsys.readouterr().out
    for words in ("12.3", "one_over_two 0.50", "a note", "kernel plain", "load average 0.1 and ?"):
        assert words in shown
    numbers = json.loads(path.read_text())
    assert numbers["plain_tok_s"] == 3.0
    assert numbers["ratios"] == {"one_over_two": 0.5}
    assert numbers["header"]["kernel"] == "plain"
    assert numbers["settings"] == {"repeats": 3}


@pytest.mark.parametrize("chart", [BARS, LINES])
def test_a_chart_names_its_axes_and_the_machine(
    chart: BarChart | LineChart, tmp_path: Path
) -> None:
    plot(chart, tmp_path / "chart.svg", subtitle="on $this machine")
    words = "".join(ElementTree.parse(tmp_path / "chart.svg").getroot().itertext())
    assert chart.title in words
    assert chart.y_label in words
    assert "on $this machine" in words


def test_without_matplotlib_it_is_said_before_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"--plot needs matplotlib.*qstar\[bench\]"):
        check_plot()
    with pytest.raises(ConfigError, match="--plot"):
        check_outputs(None, Path("chart.svg"))


@pytest.mark.parametrize("command", ["decode", "context", "batch", "prefill", "memory", "serve"])
@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_a_directory_must_exist(command: str, option: str, tmp_path: Path) -> None:
    result = runner.invoke(app, ["bench", command, option, str(tmp_path / "no" / "x")])
    assert isinstance(result.exception, ConfigError)


def test_ratios_of_what_was_measured() -> None:
    rates = {"a": 3.0, "b": 2.0}
    assert ratios_of(rates, [("a", "b"), ("a", "missing")]) == {"a_over_b": 1.5}


def test_lists_of_numbers() -> None:
    assert numbers("--sizes", "4, 1,4") == [4, 1]
    for text in ("", "1,x", "0", "-1"):
        with pytest.raises(ConfigError, match="--sizes"):
            numbers("--sizes", text)


def test_cells_have_three_digits() -> None:
    cells: list[Cell] = [1.234, 12.34, 1234.5, 7, "word", None]
    assert [cell_text(cell) for cell in cells] == ["1.23", "12.3", "1234", "7", "word", "-"]
