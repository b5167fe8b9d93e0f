"""`scripts/default_model.sh`: every stage starts from what an earlier one wrote."""

import json
import os
import subprocess
from pathlib import Path

from qstar_train.config import TrainConfig
from qstar_train.config_file import load_config
from qstar_train.prepare.catalogue import EVALUATION, RECIPES

ROOT = Path(__file__).parents[2]
STUB = """#!/usr/bin/env python3
import json, os, sys
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
"""


def calls_of(tmp_path: Path, *arguments: str) -> list[list[str]]:
    """The programs that the script runs, with their arguments."""
    for name in ("qstar", "torchrun"):
        (tmp_path / name).write_text(STUB)
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / "calls"
    subprocess.run(
        [ROOT / "scripts" / "default_model.sh", *arguments],
        env={**os.environ, "BIN": str(tmp_path), "CALLS": str(calls)},
        check=True,
        capture_output=True,
    )
    return [json.loads(line) for line in calls.read_text().splitlines()]


def values_of(call: list[str], option: str) -> list[str]:
    return [value for name, value in zip(call, call[1:], strict=False) if name == option]


def test_every_stage_starts_from_an_earlier_one(tmp_path: Path) -> None:
    prepare, *stages = calls_of(tmp_path, "train", "--set", "seed=7")
    outputs: set[str] = set()
    for call in stages:
        assert "--resume" in call
        (path,) = values_of(call, "--config")
        config = load_config(TrainConfig, ROOT / path, values_of(call, "--set"))
        assert config.seed == 7
        assert config.model is None or config.model.removesuffix("/adapter") in outputs
        if config.teacher is not None and not config.trains_without_thoughts:
            assert config.teacher.removesuffix("/adapter") in outputs
        for source in config.data.sources:
            assert Path(source.path).stem in prepare
        outputs.add(config.output)
    assert outputs >= {"runs/default", "runs/default-without-thoughts"}
    assert len(outputs) == len(stages)


def test_only_evaluation_sets_are_evaluated_on(tmp_path: Path) -> None:
    prepare, evaluate = calls_of(tmp_path, "evaluate")
    names = prepare[2 : prepare.index("--out")]
    assert names
    assert all(RECIPES[name] in EVALUATION for name in names)
    (path,) = values_of(evaluate, "--config")
    assert (ROOT / path).exists()


def test_a_wrong_command_shows_the_usage() -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "default_model.sh"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "usage:" in done.stderr
