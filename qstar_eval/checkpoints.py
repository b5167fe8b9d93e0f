"""The checkpoints of a run: their labels, what is in them, and the facts kept of each."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from qstar_infer.checkpoint import describe
from qstar_infer.checkpoint.packaged_base import base_source
from qstar_infer.errors import ConfigError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.fingerprint import fingerprint_of

DEFAULT = "default"
"""What the command line calls the default model."""
BASE = "base"
"""What it calls that model's untouched base."""
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One checkpoint of the command line, found but not loaded."""

    label: str
    """Unique in a run; a directory name."""
    source: str | None
    """As `load_model` takes it; None is the default model."""
    fingerprint: str
    """Of its files' content: 16 hexadecimal digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFacts:
    """What only a loaded model tells; kept, so that a finished checkpoint is not loaded again."""

    description: str
    num_thought_tokens: int
    """As trained; 0 for a model that cannot think."""
    can_think: bool

    @classmethod
    def of(cls, model: QuietStarModel) -> "CheckpointFacts":
        return cls(
            description=describe(model),
            num_thought_tokens=model.num_thought_tokens,
            can_think=model.can_think,
        )

    @classmethod
    def read(cls, path: Path) -> "CheckpointFacts | None":
        """None where the checkpoint has not been loaded yet.

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
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)


def find_checkpoints(arguments: Sequence[str]) -> list[Checkpoint]:
    """Look at each checkpoint of the command line; the default model where there is none.

    Args:
        arguments: `default`, `base`, a directory, a `.gguf` file or a hub id; `label=` may
            stand before it.

    Raises:
        CheckpointError: there is no such checkpoint.
        ConfigError: a label is given twice or cannot name a file, or `default` or `base` is also
            a directory here.
    """
    pairs = [_split(argument) for argument in arguments or [DEFAULT]]
    return [
        Checkpoint(label=label, source=source, fingerprint=fingerprint_of(source))
        for label, source in zip(_labels(pairs), map(_source, pairs), strict=True)
    ]


def _split(argument: str) -> tuple[str | None, str]:
    """Label and source; a path that exists may hold an equals sign."""
    label, equals, source = argument.partition("=")
    if not equals or Path(argument).expanduser().exists():
        return None, argument
    if not _LABEL.fullmatch(label):
        raise ConfigError(
            f"{argument!r}: the label {label!r} names files; use letters, digits, '.', '_', '-'."
        )
    return label, source


def _source(pair: tuple[str | None, str]) -> str | None:
    name = pair[1]
    if name not in (BASE, DEFAULT):
        return name
    if Path(name).exists():
        raise ConfigError(
            f"{name!r} is a directory here and also a name of the default model's: give "
            f"./{name} for the directory, or run from elsewhere."
        )
    return base_source() if name == BASE else None


def _labels(pairs: Sequence[tuple[str | None, str]]) -> list[str]:
    """The labels given; a name made unique where there is none."""
    given = [label for label, _ in pairs if label is not None]
    for name in given:
        if given.count(name) > 1:
            raise ConfigError(f"the label {name!r} is given to two checkpoints; choose another.")
    labels: list[str] = []
    for label, name in pairs:
        labels.append(label or _unique(_name_of(name), {*given, *labels}))
    return labels


def _name_of(source: str) -> str:
    """The last part of a path or hub id, as a file name can be."""
    name = Path(source).expanduser().resolve().name.removesuffix(".gguf")
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")
    return cleaned or "checkpoint"


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate
