"""The measured numbers of a lab, read from the files of its stages and averaged over its seeds."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qstar_eval.bootstrap import Estimate

T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5 % quantiles of Student's t with 1, 2, ... degrees of freedom."""
NORMAL_QUANTILE = 1.96

AS_SERVED = "greedy"
"""Kind of the thoughts of a request with temperature 0, as the lab's questions are asked."""
THINKING = "thinking"
"""The model trained with Quiet-STaR; the other models are `base` and the controls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """How a model thought while it was measured."""

    kind: str
    """sampled, greedy, random, shuffled; or none, with length 0."""
    length: int


NO_THOUGHTS = Mode(kind="none", length=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Answers of one model in one mode."""

    accuracy: Estimate
    nats: Estimate
    """Mean negative log-probability of the right answer."""
    by_size: Mapping[int, Estimate]
    """Accuracy for problems of each size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The thoughts of a saved state."""

    step: int
    exact: Estimate
    """Share of the longest thoughts that are the exact working."""
    accuracy: Estimate
    """With the longest thoughts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One question with the model's thought and answer."""

    question: str
    thought: Sequence[tuple[str, bool]]
    """Each token, and whether it is the right step."""
    answer: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What the engine gave, with the wavefront, at temperature 0."""

    accuracy: Estimate
    exact: Estimate
    """Share of the longest thoughts that are the exact working."""
    same_tokens: float
    """Share of its tokens that the definition gives as well; 1.0 is exact."""
    num_tokens: int
    """Tokens that were compared."""
    agreement: float | None
    """Share of drafts that the thought did not overrule; None: nothing was drafted."""
    passes_per_token: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Decoding of the model's own text, in tokens per second."""

    num_sequences: int
    plain: float
    thinking: float
    agreement: float | None
    passes_per_token: float
    share_with_thought: float
    """Tokens before which the model thought."""

    @property
    def ratio(self) -> float:
        """Speed with thoughts over speed without."""
        return self.thinking / self.plain


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFigures:
    """Everything that is shown of one task."""

    name: str
    title: str
    about: str
    chance: float
    lengths: Sequence[int]
    """Thought lengths, ascending."""
    working: Estimate
    """Share of held-out questions whose whole working the base writes."""
    scores: Mapping[str, Mapping[Mode, Score]]
    """By model."""
    seed_accuracies: Sequence[float]
    """At the longest length, for each seed."""
    over_training: Sequence[Point]
    examples: Sequence[Example]
    served: Served
    speeds: Sequence[Speed]
    machine: Mapping[str, str]

    @property
    def longest(self) -> int:
        """The longest thought length."""
        return max(self.lengths)

    def score(self, model: str, kind: str, length: int) -> Score | None:
        """A model's score in a mode; None if it was not measured."""
        return self.scores.get(model, {}).get(Mode(kind=kind, length=length))

    @property
    def best(self) -> Score:
        """With the longest thoughts, as served."""
        return self.scores[THINKING][Mode(kind=AS_SERVED, length=self.longest)]

    @property
    def without(self) -> Score:
        """The control: the same training without thoughts."""
        return self.scores["silent"][NO_THOUGHTS]


def mean_estimate(estimates: Sequence[Estimate]) -> Estimate:
    """Of one seed its estimate; of several the mean, with Student's 95 % interval over seeds."""
    if len(estimates) == 1:
        return estimates[0]
    values = [each.value for each in estimates]
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    degrees = len(values) - 1
    quantile = T_QUANTILES[degrees - 1] if degrees <= len(T_QUANTILES) else NORMAL_QUANTILE
    half = quantile * math.sqrt(variance / len(values))
    return Estimate(value=mean, low=mean - half, high=mean + half)


def read_task(
    directories: Sequence[Path],
    *,
    name: str,
    title: str,
    about: str,
    chance: float,
    models: Sequence[str],
) -> TaskFigures:
    """Read a task's numbers.

    Args:
        directories: of its seeds; each has `measures/`.
        models: which were measured. Files of others may be left of a lab with other controls.
    """
    seeds = [directory / "measures" for directory in directories]
    first = seeds[0]
    scores = _scores(seeds, models)
    lengths = sorted(mode.length for mode in scores[THINKING] if mode.kind == AS_SERVED)
    longest = Mode(kind=AS_SERVED, length=lengths[-1])
    speeds = _read(first / "speed.json") if (first / "speed.json").exists() else {}
    return TaskFigures(
        name=name,
        title=title,
        about=about,
        chance=chance,
        lengths=lengths,
        working=mean_estimate([_estimate(_read(seed / "working.json")["share"]) for seed in seeds]),
        scores=scores,
        seed_accuracies=[
            _read_scores(seed / f"{THINKING}.json")[longest].accuracy.value for seed in seeds
        ],
        over_training=_over_training(seeds),
        examples=[_example(values) for values in _read(first / "examples.json")["examples"]],
        served=_served([_read(seed / "engine.json") for seed in seeds]),
        speeds=[Speed(**values) for values in speeds.get("speeds", [])],
        machine=_read(first / "engine.json")["machine"],
    )


def _scores(seeds: Sequence[Path], models: Sequence[str]) -> dict[str, dict[Mode, Score]]:
    """Of each model in each mode, averaged over seeds."""
    return {
        model: _mean_scores([_read_scores(seed / f"{model}.json") for seed in seeds])
        for model in models
    }


def _read_scores(path: Path) -> dict[Mode, Score]:
    return {
        Mode(kind=values["kind"], length=values["length"]): Score(
            accuracy=_estimate(values["accuracy"]),
            nats=_estimate(values["nats"]),
            by_size={int(size): _estimate(each) for size, each in values["by_size"].items()},
        )
        for values in _read(path)["scores"]
    }


def _mean_scores(seeds: Sequence[Mapping[Mode, Score]]) -> dict[Mode, Score]:
    return {mode: _mean_score([seed[mode] for seed in seeds]) for mode in seeds[0]}


def _mean_score(scores: Sequence[Score]) -> Score:
    """Sizes that a seed has no question of are averaged over the others."""
    sizes = sorted({size for score in scores for size in score.by_size})
    by_size = {
        size: mean_estimate([score.by_size[size] for score in scores if size in score.by_size])
        for size in sizes
    }
    return Score(
        accuracy=mean_estimate([score.accuracy for score in scores]),
        nats=mean_estimate([score.nats for score in scores]),
        by_size=by_size,
    )


def _over_training(seeds: Sequence[Path]) -> list[Point]:
    runs = [_read(seed / "over-training.json")["points"] for seed in seeds]
    return [
        Point(
            step=points[0]["step"],
            exact=mean_estimate([_estimate(point["exact"]) for point in points]),
            accuracy=mean_estimate([_estimate(point["accuracy"]) for point in points]),
        )
        for points in zip(*runs, strict=True)
    ]


def _example(values: Mapping[str, Any]) -> Example:
    thought = [(str(token), bool(is_right)) for token, is_right in values["thought"]]
    texts = {name: values[name] for name in ("question", "answer", "expected")}
    return Example(thought=thought, **texts)


def _served(seeds: Sequence[Mapping[str, Any]]) -> Served:
    num_tokens = sum(seed["num_tokens"] for seed in seeds)
    return Served(
        accuracy=mean_estimate([_estimate(seed["accuracy"]) for seed in seeds]),
        exact=mean_estimate([_estimate(seed["exact"]) for seed in seeds]),
        same_tokens=sum(seed["num_same_tokens"] for seed in seeds) / num_tokens,
        num_tokens=num_tokens,
        agreement=_mean(seed["agreement"] for seed in seeds),
        passes_per_token=sum(seed["passes_per_token"] for seed in seeds) / len(seeds),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _estimate(values: Sequence[float]) -> Estimate:
    value, low, high = values
    return Estimate(value=value, low=low, high=high)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
