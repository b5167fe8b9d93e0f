"""What `qstar bench decode` prints and writes, from made-up numbers."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from qstar_infer.bench.report import DecodeConfig, DecodeReport, load_prompts
from qstar_infer.cli import bench
from qstar_infer.cli.main import app
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError

runner = CliRunner()


def make_report(agreement: float | None = 0.9) -> DecodeReport:
    return DecodeReport(
        transformers_tok_s=40.0,
        plain_tok_s=50.0,
        sequential_tok_s=5.0,
        wavefront_tok_s=20.0,
        agreement=agreement,
        passes_per_token=1.5,
        tok_s_of_repeats={},
        wavefront_equals_sequential=1.0,
        plain_equals_transformers=0.75,
        num_thought_tokens=5,
        num_prompts=8,
        num_prompt_tokens=100,
        model="made-up",
        dtype="bfloat16",
        hardware="none",
        mixing_weight=0.1,
        max_tokens=64,
        repeats=3,
        versions={},
    )


def test_prompts_come_with_the_package() -> None:
    prompts = load_prompts()
    assert len(prompts) == 5
    assert all(prompts)


def test_table_and_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[DecodeConfig] = []

    def run(config: DecodeConfig) -> DecodeReport:
        asked.append(config)
        return make_report()

    monkeypatch.setattr(bench, "_run", run)
    path = tmp_path / "numbers.json"
    line = ["bench", "decode", "--mixing-weight", "0.1", "--dtype", "bfloat16", "--json", str(path)]
    result = runner.invoke(app, line, env={"COLUMNS": "100"})
    assert result.exit_code == 0
    assert asked == [DecodeConfig(engine_args=EngineArgs(dtype="bfloat16"), mixing_weight=0.1)]
    assert "agreement 0.900, 1.50 passes per token" in result.stdout
    numbers = json.loads(path.read_text())
    wanted = {
        "transformers_tok_s": 40.0,
        "plain_tok_s": 50.0,
        "sequential_tok_s": 5.0,
        "wavefront_tok_s": 20.0,
        "agreement": 0.9,
        "passes_per_token": 1.5,
    }
    assert wanted.items() <= numbers.items()
    assert numbers["ratios"]["wavefront_over_sequential"] == 4.0


def test_no_drafts_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    bench._print_report(make_report(agreement=None), Console(width=100))
    assert "agreement no drafts" in capsys.readouterr().out


def test_json_directory_must_exist(tmp_path: Path) -> None:
    result = runner.invoke(app, ["bench", "decode", "--json", str(tmp_path / "no" / "x.json")])
    assert isinstance(result.exception, ConfigError)
