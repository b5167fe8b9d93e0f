"""Toy targets, texts and tasks for the tests of the evaluator."""

from collections.abc import Sequence

import torch
from torch import nn

from qstar_eval.held_out import HeldOutTask
from qstar_eval.scoring import ThinkingMode
from qstar_eval.task import EvalTarget, Record
from qstar_infer.llm import LLM
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.thinking_rule import ThinkingRule, TokenName

from ..parity.slow_loop import Numbers, SlowLoop
from ..parity.toy import Toy

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
    model: QuietStarModel,
    *,
    length: int = 3,
    kind: str = "sampled",
    seed: int = 7,
    thinking: ThinkingRule | None = None,
) -> EvalTarget:
    """A toy in one thinking mode, with the smallest engine."""
    mode = ThinkingMode(num_thought_tokens=length, kind=kind, thinking=thinking)  # type: ignore[arg-type]
    llm = LLM(model=model, max_model_len=64, max_num_seqs=1)
    return EvalTarget(label="toy", model=model, llm=llm, mode=mode, seed=seed)


def held_out(
    texts: Sequence[str] = TEXTS, *, max_tokens: int = 20, behind: Sequence[TokenName] = ()
) -> HeldOutTask:
    return HeldOutTask("texts", texts, max_tokens=max_tokens, batch_size=4, behind=behind)


def measure_all(task: HeldOutTask, target: EvalTarget, *, batch_size: int) -> list[Record]:
    """Records of every example, measured in batches of this size."""
    records = []
    for start in range(0, task.num_examples, batch_size):
        stop = min(start + batch_size, task.num_examples)
        records += task.measure(target, range(start, stop))
    return records


def slow_mix(toy: Toy, prefix: list[int], thought: list[int]) -> tuple[Numbers, Numbers, float]:
    """Base and mixed logits after a prefix with a given thought, and the mixing weight."""
    loop, embed = SlowLoop(toy.model, toy.stock), toy.stock.get_input_embeddings()
    parts = toy.model.thinking_parts
    fed, anchor = embed(torch.tensor(prefix)), len(prefix) - 1
    hidden_base = loop.hidden(fed, anchor)
    inner = embed(torch.tensor(thought))
    fed = torch.cat([fed, parts.start_thought[None], inner, parts.end_thought[None]])
    hidden_thought = loop.hidden(fed, anchor)
    states = torch.cat([hidden_base, hidden_thought])
    with torch.no_grad():
        for layer in parts.talk_head:
            states = layer(states)
    weight = float(states)
    mixed = loop.logits((1 - weight) * hidden_base + weight * hidden_thought)
    return loop.logits(hidden_base), mixed, weight


def silence_talk_head(model: QuietStarModel) -> None:
    """Mixing weights of 0, as before training."""
    last = model.thinking_parts.talk_head[4]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
