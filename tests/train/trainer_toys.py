"""A toy checkpoint, a toy text, and settings to train one on the other in seconds."""

import random
from pathlib import Path
from typing import Any

import yaml

from qstar_infer.checkpoint import save_model
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.config import TrainConfig
from qstar_train.config_file import load_config

from ..parity.toy import make_toy

WORDS = ["the", "cat", "dog", "sat", "on", "mat", "ran", "home", "and", "saw", "red", "sun"]


def write_config(directory: Path) -> Path:
    """Write a model, one without thought parts, a text and a config; returns the config."""
    toy = make_toy().model
    save_model(toy, directory / "toy")
    tied = make_toy(ties_embeddings=True).model
    save_model(QuietStarModel(tied.backbone, tied.tokenizer), directory / "plain")
    draw = random.Random(0)
    lines = [" ".join(draw.choice(WORDS) for _ in range(12)) for _ in range(60)]
    (directory / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    values = {
        "output": str(directory / "run"),
        "model": str(directory / "toy"),
        "dtype": "float32",
        "data": {"sources": [{"path": str(directory / "text.txt")}], "window": 24},
        "objective": {"num_talk_tokens": 2},
        "optimizer": {"learning_rate": 1e-3, "warmup_steps": 1},
        "steps": 4,
        "batch_size": 4,
        "save_every": 2,
        "sample_every": 2,
    }
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def config_of(config: Path, **changes: Any) -> TrainConfig:
    """The config's settings with some changed: `steps=2`, `lora={"rank": 2}`."""
    return load_config(
        TrainConfig, config, [f"{key}={yaml.safe_dump(value)}" for key, value in changes.items()]
    )
