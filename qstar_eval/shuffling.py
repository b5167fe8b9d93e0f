"""Shuffled thoughts, a control: each example gets the thought of another one."""

import torch

from qstar_infer.errors import ConfigError
from qstar_infer.sampling.noise import row_keys

_SHUFFLE_STREAM = -3
"""Separates the order of shuffled thoughts from the noise of tokens and questions."""


def donors_of(count: int, seed: int) -> list[int]:
    """For each of `count` examples, the other one whose thought it gets when thoughts are shuffled.

    Each example gives its thought once.

    Raises:
        ConfigError: there are fewer than two examples.
    """
    if count < 2:
        raise ConfigError(
            f"shuffled thoughts need at least two examples, and there are {count}. Give more, or "
            "leave out shuffled."
        )
    numbers = torch.arange(count)
    keys = row_keys(
        torch.full_like(numbers, seed), numbers, torch.full_like(numbers, _SHUFFLE_STREAM)
    )
    order = keys.argsort(stable=True)
    donors = torch.empty_like(numbers)
    donors[order] = order.roll(-1)
    found: list[int] = donors.tolist()
    return found
