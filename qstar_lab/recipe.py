"""The numbers of the lab, one recipe per task: sizes, steps, learning rates, what is measured.

Change them here, or copy a written config from the lab's directory and run `qstar train` with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

ControlName = Literal["silent", "random", "no-policy"]
"""silent: the same steps without thoughts. random: trained with random thoughts. no-policy:
trained without REINFORCE."""
CONTROLS: tuple[ControlName, ...] = get_args(ControlName)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Size of the model, a Llama."""

    num_layers: int = 2
    hidden_size: int = 128
    intermediate_size: int = 512
    num_heads: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Number of documents that are written."""

    num_visible: int = 100_000
    """With visible working, for the base."""
    num_direct: int = 200_000
    """The answer right behind the question, for base and thoughts."""
    num_held_out: int = 2_000
    """Questions that occur in no training document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseTraining:
    """The base: a language model without thoughts, on half visible and half direct text."""

    steps: int = 700
    batch_size: int = 32
    learning_rate: float = 2e-3
    seconds_per_step: float = 0.2
    """Rough, on one thread. Only for the estimate of the time left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThoughtTraining:
    """Quiet-STaR on direct text."""

    steps: int = 400
    batch_size: int = 12
    num_passes: int = 4
    learning_rate: float = 3e-4
    talk_head_learning_rate: float = 2e-3
    policy_weight: float = 8.0
    elsewhere: int = 4
    """Random places per window, besides the markers, where the model thinks while it learns."""
    gate_cost: float = 0.05
    """Nats that a thought must gain for the gate to open."""
    gate_learning_rate: float = 1e-2
    serves: Literal["gate", "behind"] = "behind"
    """Where the checkpoint thinks when it is served: where its gate says, or behind the marker."""
    num_follow: int = 8
    """States along the way that are kept and measured."""
    seconds_per_step: float = 0.7
    """Rough, on one thread, with REINFORCE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecipe:
    """Everything about one task of the lab."""

    task: str
    """Its name in `qstar_lab.tasks`."""
    title: str
    about: str
    """What must be done to answer a question, for the page."""
    documents_per_window: int = 1
    """Documents without working in a training window. With several, the model learns to go on
    after an answer, and the speed on its own text is measured."""
    shape: Shape = Shape()
    corpus: Corpus = Corpus()
    base: BaseTraining = BaseTraining()
    thoughts: ThoughtTraining = ThoughtTraining()
    controls: tuple[ControlName, ...] = CONTROLS
    least_working: float = 0.98
    """Share of held-out questions for which the base must write the whole working. Below it,
    thoughts would learn nothing, and the lab stops."""
    num_questions: int = 500
    """Held-out questions that are answered through the engine."""
    num_texts: int = 8
    """Texts that the model writes by itself, to compare and to time."""
    num_text_tokens: int = 240
    """Tokens of each."""


RECIPES: tuple[TaskRecipe, ...] = (
    TaskRecipe(
        task="digit_chains",
        title="Chains of operations",
        about="Start from a digit and apply up to 16 operations, one after the other, modulo 7.",
        documents_per_window=4,
    ),
    TaskRecipe(
        task="pointer_hops",
        title="Pointer hops",
        about="Start from a letter and follow the pairs of a table for 2 to 8 hops.",
        base=BaseTraining(steps=1_000, batch_size=64),
        thoughts=ThoughtTraining(steps=300, batch_size=48, learning_rate=6e-4, elsewhere=1),
        controls=("silent", "random"),
    ),
)
"""The lab, in order. The first task gives the picture's first half and the model of `serve lab`."""


def recipes_of(tasks: Sequence[str], *, is_quick: bool) -> list[TaskRecipe]:
    """The recipes of these tasks, in the order of the lab."""
    chosen = [recipe for recipe in RECIPES if recipe.task in tasks]
    return [quick(recipe) for recipe in chosen] if is_quick else chosen


def quick(recipe: TaskRecipe) -> TaskRecipe:
    """The same stages in seconds, far too short to learn anything: a check of the lab itself."""
    return replace(
        recipe,
        shape=Shape(num_layers=1, hidden_size=32, intermediate_size=64, num_heads=2),
        corpus=Corpus(num_visible=200, num_direct=200, num_held_out=40),
        base=BaseTraining(steps=4, batch_size=8, seconds_per_step=0.05),
        thoughts=ThoughtTraining(
            steps=4, batch_size=4, num_passes=2, num_follow=2, seconds_per_step=0.1
        ),
        least_working=0.0,
        num_questions=12,
        num_texts=3,
        num_text_tokens=30,
    )
