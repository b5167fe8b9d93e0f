"""The checkpoints of a run: their labels and sources, and what is known of each model."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from qstar_eval.config import EvalConfig
from qstar_eval.scoring import ThinkingMode
from qstar_eval.task import write_json
from qstar_infer.checkpoint import describe
from qstar_infer.checkpoint.packaged_base import base_source
from qstar_infer.errors import ConfigError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.source_name import source_name
from qstar_infer.thinking_rule import EVERYWHERE
from qstar_train.fingerprint import fingerprint_of

DEFAULT = "default"
"""The command line's name for the default model."""
BASE = "base"
"""The command line's name for the default model before training."""
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint that was found but not loaded."""

    label: str
    """Unique in a run; a directory name."""
    source: str | None
    """As `load_model` takes it; None is the default model."""
    fingerprint: str
    """Of its files' content: 16 hexadecimal digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What only a loaded model shows. Kept in a file, so a finished checkpoint is not reloaded."""

    description: str
    num_thought_tokens: int
    """As trained; 0 for a model that cannot think."""
    can_think: bool

    @classmethod
    def of(cls, model: QuietStarModel) -> "ModelFacts":
        return cls(
            description=describe(model),
            num_thought_tokens=model.num_thought_tokens,
            can_think=model.can_think,
        )

    @classmethod
    def read(cls, path: Path) -> "ModelFacts | None":
        """Read a file of `write`; None if there is none.

        Raises:
            ConfigError: the file is damaged.
        """
        if not path.exists():
            return None
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError) as error:
            raise ConfigError(f"{path} is damaged: {error}. Delete it and run again.") from error

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(self))

    def thinking_modes(
        self, config: EvalConfig, *, with_no_thoughts: bool = False
    ) -> list[ThinkingMode]:
        """Every thought length with every kind of thoughts, each once, in the config's order.

        Args:
            with_no_thoughts: add length 0, first, if the config does not have it.
        """
        lengths = [
            self.num_thought_tokens if length is None else length
            for length in config.thought_lengths
        ]
        if with_no_thoughts and 0 not in config.thought_lengths:
            lengths = [0, *lengths]
        modes: dict[str, ThinkingMode] = {}
        for length in lengths if self.can_think else [0]:
            for kind in config.thoughts:
                mode = ThinkingMode(
                    num_thought_tokens=length,
                    kind=kind if length else "sampled",
                    temperature=config.temperature,
                    thinking=EVERYWHERE if config.thinking == "everywhere" else None,
                )
                modes.setdefault(mode.name, mode)
        return list(modes.values())


def find_checkpoints(arguments: Sequence[str]) -> list[Checkpoint]:
    """Find each checkpoint of the command line; the default model if there are no arguments.

    Args:
        arguments: `default`, `base`, a directory, a `.gguf` file or a hub id, each optionally
            preceded by `label=`.

    Raises:
        CheckpointError: there is no such checkpoint.
        ConfigError: a label is given twice or cannot name a file, or `default` or `base` is also
            a directory here.
    """
    pairs = [_split(argument) for argument in arguments or [DEFAULT]]
    sources = [_source(name) for _, name in pairs]
    return [
        Checkpoint(label=label, source=source, fingerprint=fingerprint_of(source))
        for label, source in zip(_labels(pairs), sources, strict=True)
    ]


def _split(argument: str) -> tuple[str | None, str]:
    """Label and name. An existing path may contain an equals sign."""
    label, equals, name = argument.partition("=")
    if not equals or Path(argument).expanduser().exists():
        return None, argument
    if not _LABEL.fullmatch(label):
        raise ConfigError(
            f"{argument!r}: the label {label!r} names files. Use letters, digits, '.', '_', '-'."
        )
    return label, name


def _source(name: str) -> str | None:
    if name not in (BASE, DEFAULT):
        return name
    if Path(name).exists():
        raise ConfigError(
            f"{name!r} is a directory here and also a name for the default model. Give ./{name} "
            "for the directory, or run from another directory."
        )
    return base_source() if name == BASE else None


def _labels(pairs: Sequence[tuple[str | None, str]]) -> list[str]:
    """The given labels, and a unique one made from the name where none is given."""
    given = [label for label, _ in pairs if label is not None]
    for each in given:
        if given.count(each) > 1:
            raise ConfigError(f"the label {each!r} is given to two checkpoints. Choose another.")
    labels: list[str] = []
    for label, name in pairs:
        labels.append(label or _unique(_file_name(name), {*given, *labels}))
    return labels


def _file_name(source: str) -> str:
    """The name of a path or hub id, without characters that file names should not have."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", source_name(source)).lstrip("._-")
    return cleaned or "checkpoint"


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate
