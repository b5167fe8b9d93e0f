"""Checkpoints of the paper's code and of its forks, such as the stages of Fast-Quiet-STaR."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .common import HIDDEN, Made, make_backbone, make_tokenizer, random_tensors, write

KEYS = {
    "merged_talk_heads": True,
    "merged_lm_and_talk_heads": False,
    "merged_lm_and_think_heads": True,
    "use_concat_talk_head": True,
    "use_shallow_think": True,
    "use_shallow_talk": False,
    "use_complex_think_head": False,
    "use_complex_talk_head": True,
    "use_weighted_talk_head": True,
}
SHAPES = {
    "talk_head.0.0.weight": (HIDDEN, 2 * HIDDEN),
    "talk_head.0.0.bias": (HIDDEN,),
    "talk_head.0.2.weight": (HIDDEN, HIDDEN),
    "talk_head.0.2.bias": (HIDDEN,),
    "talk_head.0.4.weight": (1, HIDDEN),
}


def make_reference(
    directory: Path,
    *,
    max_thoughts: Any,
    model_type: str = "mistral",
    has_tokenizer: bool = True,
    **settings: Any,
) -> Made:
    """Fast-Quiet-STaR has no tokenizer of its own; the others have one with both delimiters."""
    tensors = random_tensors(SHAPES)
    tensors |= random_tensors(
        {"start_embedding": (2, HIDDEN), "end_embedding": (2, HIDDEN)}, std=0.005
    )
    architecture = {"mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM"}[model_type]
    return write(
        directory,
        make_backbone(model_type, **settings),
        tensors,
        keys=KEYS | {"max_thoughts": max_thoughts},
        architecture=architecture,
        tokenizer=make_tokenizer(with_delimiters=True) if has_tokenizer else None,
    )


def share_of_thought(made: Made, base: Tensor, thought: Tensor) -> Tensor:
    """The talk head of the page: no sigmoid."""
    t = made.tensors
    states = torch.cat([base, thought])
    states = F.linear(states, t["talk_head.0.0.weight"], t["talk_head.0.0.bias"])
    states = F.linear(states.relu(), t["talk_head.0.2.weight"], t["talk_head.0.2.bias"])
    return F.linear(states.relu(), t["talk_head.0.4.weight"])[0]


def thought_vectors(made: Made) -> tuple[Tensor, Tensor]:
    """Row 0 times 100."""
    return made.tensors["start_embedding"][0] * 100, made.tensors["end_embedding"][0] * 100
