"""Checks of a batch that a caller wants the model to think about."""

import torch
from torch import Tensor

from qstar_infer.errors import RequestError


def check_batch(
    input_ids: Tensor,
    attention_mask: Tensor | None,
    *,
    vocab_size: int,
    delimiter_ids: tuple[int, ...],
) -> Tensor:
    """Check a batch and return its attention mask, `[batch, seq]` bool.

    Args:
        input_ids, attention_mask: as for `QuietStarModel.think`.

    Raises:
        RequestError: wrong shape or dtype, an id out of the vocabulary, a delimiter among the real
            tokens, padding that is not on the right, or an empty row.
    """
    if input_ids.dim() != 2 or input_ids.dtype != torch.int64 or input_ids.numel() == 0:
        raise RequestError(
            f"input_ids must be a non-empty [batch, seq] int64 tensor, got shape "
            f"{list(input_ids.shape)} of {input_ids.dtype}",
            param="input_ids",
        )
    if attention_mask is None:
        attention_mask = torch.ones_like(input_ids)
    is_real = attention_mask.to(device=input_ids.device, dtype=torch.bool)
    if is_real.shape != input_ids.shape:
        raise RequestError(
            f"attention_mask has shape {list(is_real.shape)}, input_ids {list(input_ids.shape)}",
            param="attention_mask",
        )
    if not bool(is_real[:, 0].all()) or bool((~is_real[:, :-1] & is_real[:, 1:]).any()):
        raise RequestError(
            "attention_mask must be 1 for each row's tokens and then 0: pad on the right",
            param="attention_mask",
        )
    outside = input_ids[(input_ids < 0) | (input_ids >= vocab_size)]
    if outside.numel():
        raise RequestError(
            f"input_ids must be in 0..{vocab_size - 1}, got {int(outside[0])}", param="input_ids"
        )
    for delimiter in delimiter_ids:
        if bool(((input_ids == delimiter) & is_real).any()):
            raise RequestError(
                f"input_ids contain the thought delimiter {delimiter}; a prompt cannot hold one",
                param="input_ids",
            )
    return is_real
