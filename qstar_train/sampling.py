"""Thought tokens for training and evaluation: sampled, or random as a control.

A token is a function of its row's seed, its anchor and its role alone: batch mates, restarts and
the number of processes do not change it. Sampling inverts the distribution with one uniform number
for each token: over a large vocabulary, the Gumbel noise that serving uses costs more than the pass
it belongs to.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.sampling.noise import row_keys
from qstar_infer.sampling_params import MIN_TEMPERATURE

Pick = Callable[[Tensor, int, Tensor], Tensor]
"""`(logits, role, anchors)` to ids. Logits `[rows, count, vocab]`, float32, delimiters at minus
infinity; role from 1; anchors `[rows, count]` and ids `[rows, count]`, int64."""


def sampled_thoughts(seeds: Tensor, *, temperature: float) -> Pick:
    """Sample from `softmax(logits / temperature)`; 0 takes the most likely, and so does anything
    below `MIN_TEMPERATURE`, as in serving.

    Args:
        seeds: `[rows]`, int64.
    """

    def pick(logits: Tensor, role: int, anchors: Tensor) -> Tensor:
        if temperature < MIN_TEMPERATURE:
            return logits.argmax(-1)
        uniform = uniform_numbers(_keys(seeds, anchors, role)).unsqueeze(-1)
        ladder = (logits / temperature).softmax(-1).cumsum_(-1)
        # The first step at or above a number above 0 is one that rises: its token is possible.
        places = torch.searchsorted(ladder, uniform * ladder[..., -1:]).squeeze(-1)
        # Past the end only where logits are NaN: whoever looks at the losses will see that.
        return places.clamp_(max=logits.shape[-1] - 1)

    return pick


def random_thoughts(seeds: Tensor, allowed_ids: Tensor) -> Pick:
    """Uniformly random tokens, whatever the logits say.

    Args:
        seeds: `[rows]`, int64.
        allowed_ids: `[allowed]`, int64.
    """

    def pick(logits: Tensor, role: int, anchors: Tensor) -> Tensor:
        del logits
        uniform = uniform_numbers(_keys(seeds, anchors, role))
        return allowed_ids[(uniform * len(allowed_ids)).long()]

    return pick


def partly_true_thoughts(pick: Pick, input_ids: Tensor, seeds: Tensor, *, share: float) -> Pick:
    """As `pick`, but a share of the thoughts are the true text to come, as far as the row reaches.

    Args:
        input_ids: `[rows, seq]`, int64: the rows that are thought about.
        seeds: `[rows]`, int64.
        share: of the thoughts, 0 to 1; which ones is drawn by seed and anchor.
    """
    last = input_ids.shape[1] - 1

    def pick_or_tell(logits: Tensor, role: int, anchors: Tensor) -> Tensor:
        own = pick(logits, role, anchors)
        ahead = anchors + role
        true_ids = input_ids.gather(1, ahead.clamp(max=last))
        is_told = uniform_numbers(_keys(seeds, anchors, 0)) < share
        return torch.where(is_told & (ahead <= last), true_ids, own)

    return pick_or_tell


def ordinary_ids(model: QuietStarModel) -> Tensor:
    """The ids of tokens that stand for text: no special tokens, delimiters or unused rows.

    Returns:
        `[count]`, int64, on the model's device.
    """
    special = {*model.tokenizer.all_special_ids, *model.delimiter_ids}
    count = min(len(model.tokenizer), model.vocab_size)
    ids = [token_id for token_id in range(count) if token_id not in special]
    return torch.tensor(ids, device=model.device)


def uniform_numbers(keys: Tensor) -> Tensor:
    """One number in (0, 1), float32, for each 64-bit key.

    23 bits: the largest, 1 - 2**-24, is still below 1 in float32.
    """
    return ((keys & 0x7FFFFF).float() + 0.5) * 2.0**-23


def _keys(seeds: Tensor, anchors: Tensor, role: int) -> Tensor:
    rows = seeds.unsqueeze(1).expand_as(anchors)
    return row_keys(
        rows.flatten(), anchors.flatten() + 1, torch.full_like(anchors, role).flatten()
    ).view(anchors.shape)
