"""Choose thought tokens for training and evaluation: sampled, or random as a control.

A token is a function of its row's seed, its anchor and its stream index alone; batch mates,
restarts and the number of processes do not change it. Sampling inverts the cumulative distribution
with one uniform number per token. The Gumbel noise of serving would cost more over a large
vocabulary than the pass that makes the logits.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.sampling.noise import row_keys
from qstar_infer.sampling_params import MIN_TEMPERATURE

Pick = Callable[[Tensor, int, Tensor], Tensor]
"""`(logits, stream_index, anchors)` to ids. Logits `[rows, count, vocab]`, float32, delimiters at
minus infinity; stream_index k for thought token k, from 1; anchors `[rows, count]` and ids
`[rows, count]`, int64."""


def sampled_thoughts(seeds: Tensor, *, temperature: float) -> Pick:
    """Sample from `softmax(logits / temperature)`. A temperature below `MIN_TEMPERATURE` takes the
    most likely token, as in serving.

    Args:
        seeds: `[rows]`, int64.
    """

    def pick(logits: Tensor, stream_index: int, anchors: Tensor) -> Tensor:
        if temperature < MIN_TEMPERATURE:
            return logits.argmax(-1)
        uniform = uniform_numbers(_keys(seeds, anchors, stream_index)).unsqueeze(-1)
        ladder = (logits if temperature == 1 else logits / temperature).softmax(-1).cumsum_(-1)
        # The number is above 0, so the first step that reaches it has a probability above 0.
        places = torch.searchsorted(ladder, uniform * ladder[..., -1:]).squeeze(-1)
        # Beyond the end only if logits are NaN; the check of the losses reports that.
        return places.clamp_(max=logits.shape[-1] - 1)

    return pick


def random_thoughts(seeds: Tensor, allowed_ids: Tensor) -> Pick:
    """Uniformly random tokens; the logits are ignored.

    Args:
        seeds: `[rows]`, int64.
        allowed_ids: `[allowed]`, int64.
    """

    def pick(logits: Tensor, stream_index: int, anchors: Tensor) -> Tensor:
        del logits
        uniform = uniform_numbers(_keys(seeds, anchors, stream_index))
        return allowed_ids[(uniform * len(allowed_ids)).long()]

    return pick


def partly_true_thoughts(pick: Pick, input_ids: Tensor, seeds: Tensor, *, share: float) -> Pick:
    """Like `pick`, but a share of the thoughts are the true text to come, up to the row's end.

    Args:
        input_ids: `[rows, seq]`, int64: the rows that are thought about.
        seeds: `[rows]`, int64.
        share: of thoughts, 0 to 1; seed and anchor decide which.
    """
    last = input_ids.shape[1] - 1

    def pick_or_true(logits: Tensor, stream_index: int, anchors: Tensor) -> Tensor:
        own = pick(logits, stream_index, anchors)
        ahead = anchors + stream_index
        true_ids = input_ids.gather(1, ahead.clamp(max=last))
        is_true = uniform_numbers(_keys(seeds, anchors, 0)) < share
        return torch.where(is_true & (ahead <= last), true_ids, own)

    return pick_or_true


def ordinary_ids(model: QuietStarModel) -> Tensor:
    """The ids of text tokens, without special tokens, delimiters and unused rows.

    Returns:
        `[count]`, int64, on the model's device.
    """
    special = {*model.tokenizer.all_special_ids, *model.delimiter_ids}
    count = min(len(model.tokenizer), model.vocab_size)
    ids = [token_id for token_id in range(count) if token_id not in special]
    return torch.tensor(ids, device=model.device)


def uniform_numbers(keys: Tensor) -> Tensor:
    """One float32 number in (0, 1) for each 64-bit key.

    Uses 23 bits, so that the largest number, 1 - 2**-24, stays below 1 in float32.
    """
    return ((keys & 0x7FFFFF).float() + 0.5) * 2.0**-23


def _keys(seeds: Tensor, anchors: Tensor, stream_index: int) -> Tensor:
    rows = seeds.unsqueeze(1).expand_as(anchors)
    return row_keys(
        rows.flatten(), anchors.flatten() + 1, torch.full_like(anchors, stream_index).flatten()
    ).view(anchors.shape)
