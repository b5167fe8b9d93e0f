"""Checkpoints of HansPolo113/QuietSTaR."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .common import (
    END_ID,
    HIDDEN,
    START_ID,
    Made,
    make_backbone,
    make_tokenizer,
    random_tensors,
    write,
)

SHAPES = {
    "mix_head.0.weight": (HIDDEN, 2 * HIDDEN),
    "mix_head.0.bias": (HIDDEN,),
    "mix_head.2.weight": (HIDDEN, HIDDEN),
    "mix_head.2.bias": (HIDDEN,),
    "mix_head.4.weight": (1, HIDDEN),
}


def make_mix_head(directory: Path, *, has_tokenizer: bool = True, **keys: Any) -> Made:
    return write(
        directory,
        make_backbone("mistral"),
        random_tensors(SHAPES),
        keys={
            "n_true": 4,
            "n_thought": 2,
            "thought_length": 3,
            "reinforce_temperature": 1,
            "gumbel_temperature": 1,
        }
        | keys,
        architecture="MistralForQuietSTaR",
        tokenizer=make_tokenizer(with_delimiters=True) if has_tokenizer else None,
    )


def share_of_thought(made: Made, base: Tensor, thought: Tensor) -> Tensor:
    t = made.tensors
    states = F.linear(
        torch.cat([base, thought]), t["mix_head.0.weight"], t["mix_head.0.bias"]
    ).relu()
    states = F.linear(states, t["mix_head.2.weight"], t["mix_head.2.bias"]).relu()
    return torch.sigmoid(F.linear(states, t["mix_head.4.weight"]))[0]


def thought_vectors(made: Made) -> tuple[Tensor, Tensor]:
    """The tokens' own rows."""
    rows = made.backbone.get_input_embeddings().get_parameter("weight").detach()
    return rows[START_ID], rows[END_ID]
