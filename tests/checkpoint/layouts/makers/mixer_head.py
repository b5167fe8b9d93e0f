"""Checkpoints of dimitriye98/quiet-star."""

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

WIDTH = 24
KEYS = {
    "thought_depth": 3,
    "start_thought_token": START_ID,
    "end_thought_token": END_ID,
    "initial_start_thought_token": 5,
    "initial_end_thought_token": 5,
    "host_thought_token_embeddings": True,
    "thought_temperature": 1.0,
    "reinforce_temperature": 3.0,
    "n_thoughts": 2,
    "look_ahead": 4,
    "base_loss_beta": 1.0,
    "policy_loss_beta": 1e6,
    "mixer_head_activation": "relu",
    "mixer_head_hidden_layers": 1,
    "mixer_head_hidden_size": WIDTH,
    "confidence_head_activation": "relu",
    "confidence_head_hidden_layers": 3,
    "confidence_head_hidden_size": WIDTH,
    "confidence_head_output_activation": "sigmoid",
    "confidence_loss_beta": 1e4,
    "confidence_parameter": 0.0,
}
VECTORS = {"start_token_embedding": (HIDDEN,), "end_token_embedding": (HIDDEN,)}


def make_mixer_head(
    directory: Path,
    *,
    hidden_layers: int = 1,
    hosts_vectors: bool = True,
    has_tokenizer: bool = False,
    **keys: Any,
) -> Made:
    last = 2 + 2 * hidden_layers
    shapes: dict[str, tuple[int, ...]] = {
        "mixer_head.mlp.0.weight": (WIDTH, 2 * HIDDEN),
        "mixer_head.mlp.0.bias": (WIDTH,),
        f"mixer_head.mlp.{last}.weight": (1, WIDTH),
        f"mixer_head.mlp.{last}.bias": (1,),
        "confidence_head.mlp.0.weight": (WIDTH, 2 * HIDDEN + 1),
        "confidence_head.mlp.0.bias": (WIDTH,),
        "confidence_head.mlp.8.weight": (1, WIDTH),
    }
    if hidden_layers:
        shapes |= {"mixer_head.mlp.1.weight": (WIDTH, WIDTH), "mixer_head.mlp.1.bias": (WIDTH,)}
    if hosts_vectors:
        shapes |= VECTORS
    values = KEYS | {
        "mixer_head_hidden_layers": hidden_layers,
        "host_thought_token_embeddings": hosts_vectors,
    }
    return write(
        directory,
        make_backbone("qwen2"),
        random_tensors(shapes),
        keys=values | keys,
        architecture="QwenThoughtModel",
        tokenizer=make_tokenizer(with_delimiters=True) if has_tokenizer else None,
        prefix="_lm_model.",
    )


def share_of_thought(made: Made, base: Tensor, thought: Tensor) -> Tensor:
    """No sigmoid, and no activation between the layers 0 and 1."""
    t = {name.removeprefix("mixer_head.mlp."): tensor for name, tensor in made.tensors.items()}
    states = F.linear(torch.cat([base, thought]), t["0.weight"], t["0.bias"])
    if "1.weight" in t:
        states = F.linear(states, t["1.weight"], t["1.bias"])
    last = "4" if "1.weight" in t else "2"
    return F.linear(states.relu(), t[f"{last}.weight"], t[f"{last}.bias"])[0]


def thought_vectors(made: Made) -> tuple[Tensor, Tensor]:
    """Their own tensors, or else the tokens' rows; unscaled."""
    if "start_token_embedding" in made.tensors:
        return made.tensors["start_token_embedding"], made.tensors["end_token_embedding"]
    rows = made.backbone.get_input_embeddings().get_parameter("weight").detach()
    return rows[START_ID], rows[END_ID]
