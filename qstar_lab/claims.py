"""The headline numbers of the lab, and whether the measured figures show what they should."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from qstar_eval.bootstrap import Estimate
from qstar_lab.figures import AS_SERVED, THINKING, TaskFigures

NEAR_CHANCE = 0.05
LEAST_BEST = 0.97
LEAST_EXACT = 0.85
LEAST_SPEED = 0.8
PERCENT = "\N{NO-BREAK SPACE}%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """One of them."""

    value: str
    text: str
    note: str
    """The interval, or what the number is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the lab should show, with its measurement."""

    text: str
    measured: str
    holds: bool


def percent(share: float) -> str:
    """A share for people: `87.8 %`."""
    return f"{100 * share:.1f}{PERCENT}"


def share_of_all(share: float) -> str:
    """As `percent`, but only all of them are 100 %."""
    text = percent(share)
    return f"less than {text}" if share < 1 and text == percent(1) else text


def interval(estimate: Estimate) -> str:
    """The interval of a share: `86.4 to 89.2 %`."""
    low, high = max(0.0, estimate.low), min(1.0, estimate.high)
    return f"{100 * low:.1f} to {100 * high:.1f}{PERCENT}"


def headlines(task: TaskFigures) -> list[Headline]:
    """The headline numbers of a task."""
    chance = f"chance: {percent(task.chance)}"
    numbers = [
        _shown(task.without.accuracy, "right answers, trained without thoughts", chance),
        _shown(task.best.accuracy, f"right answers with {task.longest} tokens of thought", chance),
    ]
    replaced = task.score(THINKING, "random", task.longest)
    if replaced is not None:
        numbers.append(
            _shown(replaced.accuracy, "right answers with random tokens as thoughts", chance)
        )
    numbers.append(_shown(exact_share(task), "of the thoughts are the exact working", ""))
    if task.speeds:
        speed = task.speeds[0]
        numbers.append(
            Headline(
                value=percent(speed.ratio),
                text="of its speed without thoughts, on its own text",
                note=f"{speed.passes_per_token:.2f} passes per token",
            )
        )
    return numbers


def exact_share(task: TaskFigures) -> Estimate:
    """Share of thoughts that are the exact working, as served."""
    return task.served.exact


def claims(task: TaskFigures) -> list[Claim]:
    """Everything that should hold for a task."""
    return [*_accuracy_claims(task), *_control_claims(task), *_engine_claims(task)]


def _accuracy_claims(task: TaskFigures) -> Iterator[Claim]:
    yield _near_chance(task, "trained without thoughts", task.without.accuracy)
    best = task.best.accuracy
    yield Claim(
        text=f"{task.longest} tokens of thought answer at least {percent(LEAST_BEST)}",
        measured=percent(best.value),
        holds=best.value >= LEAST_BEST,
    )
    growing = _values(task, AS_SERVED)
    yield Claim(
        text="every longer thought is better",
        measured=", ".join(percent(value) for value in growing),
        holds=all(shorter < longer for shorter, longer in pairwise(growing)),
    )
    exact = exact_share(task).value
    yield Claim(
        text=f"at least {percent(LEAST_EXACT)} of the thoughts are the exact working",
        measured=percent(exact),
        holds=exact >= LEAST_EXACT,
    )


def _control_claims(task: TaskFigures) -> Iterator[Claim]:
    controls = [
        (THINKING, "random", "random tokens as thoughts"),
        (THINKING, "shuffled", "another question's thoughts"),
        ("random", "random", "trained with random thoughts"),
    ]
    for model, kind, name in controls:
        scores = [task.score(model, kind, length) for length in task.lengths]
        found = [score.accuracy for score in scores if score is not None]
        if found:
            farthest = max(found, key=lambda accuracy: abs(accuracy.value - task.chance))
            yield _near_chance(task, f"{name}, whatever their length", farthest)


def _engine_claims(task: TaskFigures) -> Iterator[Claim]:
    served = task.served
    yield Claim(
        text="the engine with the wavefront gives the tokens of the definition (float32)",
        measured=f"{share_of_all(served.same_tokens)} of {served.num_tokens} tokens",
        holds=served.same_tokens == 1,
    )
    for speed in task.speeds:
        yield Claim(
            text=f"{sequences(speed.num_sequences)}: at least {percent(LEAST_SPEED)} of the speed "
            "without thoughts",
            measured=percent(speed.ratio),
            holds=speed.ratio >= LEAST_SPEED,
        )


def sequences(count: int) -> str:
    """How many texts at once."""
    return "one text alone" if count == 1 else f"{count} texts at once"


def _near_chance(task: TaskFigures, name: str, accuracy: Estimate) -> Claim:
    return Claim(
        text=f"{name}: within {100 * NEAR_CHANCE:.0f} points of chance ({percent(task.chance)})",
        measured=percent(accuracy.value),
        holds=abs(accuracy.value - task.chance) <= NEAR_CHANCE,
    )


def _values(task: TaskFigures, kind: str) -> Sequence[float]:
    scores = [task.score(THINKING, kind, length) for length in task.lengths]
    return [score.accuracy.value for score in scores if score is not None]


def _shown(estimate: Estimate, text: str, note: str) -> Headline:
    parts = [part for part in (interval(estimate), note) if part]
    return Headline(value=percent(estimate.value), text=text, note="; ".join(parts))
