"""Toy targets, texts and tasks for the tests of the evaluator."""

from collections.abc import Sequence

import torch
from torch import nn

from qstar_eval.held_out import HeldOutTask
from qstar_eval.scoring import ThinkingMode
from qstar_eval.task import EvalTarget, Record
from qstar_infer.llm import LLM
from qstar_infer.model.quiet_star import QuietStarModel

TEXTS = [
    "The sky is blue.",
    "Two and two is four, and that is all there is to it.",
    "  \n",
    "Grüße aus Köln",
    "a",
    "It rained all day; nobody went out.",
]
"""One is blank and so no example; one is a single token."""


def target_of(
    model: QuietStarModel, *, length: int = 3, kind: str = "sampled", seed: int = 7
) -> EvalTarget:
    """A toy in one thinking mode, with the smallest engine."""
    mode = ThinkingMode(num_thought_tokens=length, kind=kind)  # type: ignore[arg-type]
    llm = LLM(model=model, max_model_len=64, max_num_seqs=1)
    return EvalTarget(label="toy", model=model, llm=llm, mode=mode, seed=seed)


def held_out(texts: Sequence[str] = TEXTS, *, max_tokens: int = 20) -> HeldOutTask:
    return HeldOutTask("texts", texts, max_tokens=max_tokens, batch_size=4)


def measure_all(task: HeldOutTask, target: EvalTarget, *, batch_size: int) -> list[Record]:
    """Records of every example, measured in batches of this size."""
    records = []
    for start in range(0, task.num_examples, batch_size):
        stop = min(start + batch_size, task.num_examples)
        records += task.measure(target, range(start, stop))
    return records


def silence_talk_head(model: QuietStarModel) -> None:
    """Mixing weights of 0, as before training."""
    last = model.thinking_parts.talk_head[4]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
