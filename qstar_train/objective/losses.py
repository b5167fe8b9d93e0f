"""The terms of the objective (paper, section 4.4), on plain tensors.

Legend: rows are examples times passes; a position is an anchor.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def mean_counted(losses: Tensor) -> Tensor:
    """Mean over the entries that are not 0, as in the paper's code: uncounted entries are 0."""
    return losses.sum() / (losses != 0).sum().clamp(min=1)


def mean_over(numbers: Tensor, count: float) -> Tensor:
    """Their sum divided by a count that is known otherwise; 0 if that is 0."""
    return numbers.sum() / (count if count > 0 else 1)


def language_loss(
    base_losses: Tensor, talk_losses: Sequence[Tensor], *, base_weight: float, talk_weight: float
) -> Tensor:
    """`base_weight * L_base + talk_weight * mean over talk tokens of L_talk`.

    Args:
        base_losses: `[rows, seq - 1]`, without thoughts.
        talk_losses: entry s is `[rows, seq - 1 - s]`: the loss, after the thought at p and the true
            tokens up to p + s, of token p + s + 1.
    """
    talk = torch.stack([mean_counted(losses) for losses in talk_losses]).mean()
    return base_weight * mean_counted(base_losses) + talk_weight * talk


def thought_rewards(base_losses: Tensor, talk_losses: Sequence[Tensor]) -> Tensor:
    """How much the thought raised the log-likelihood of the talk tokens (section 4.4.2).

    `r_p = sum over s of base_losses[p + s] - talk_losses[s][p]`

    Returns:
        `[rows, seq - 1 - num_talk_tokens]`, detached.
    """
    num_talk_tokens = len(talk_losses)
    count = base_losses.shape[1] - num_talk_tokens
    terms = [
        base_losses[:, s : s + count] - losses[:, :count] for s, losses in enumerate(talk_losses)
    ]
    return torch.stack(terms).sum(0).detach()


def advantages(rewards: Tensor, *, num_passes: int, drops_negative: bool) -> Tensor:
    """Rewards minus their mean over the passes of the same position; negative ones dropped.

    Args:
        rewards: `[examples * num_passes, positions]`, the passes of an example adjacent.
    """
    if num_passes > 1:
        by_example = rewards.view(-1, num_passes, rewards.shape[1])
        rewards = (by_example - by_example.mean(1, keepdim=True)).view(rewards.shape)
    return rewards.clamp(min=0) if drops_negative else rewards


def action_loglikelihood(logits: Tensor, token_ids: Tensor, *, temperature: float) -> Tensor:
    """`ln softmax(logits / temperature)` of the sampled thought tokens.

    Args:
        logits: `[rows, seq, vocab]`, float32.
        token_ids: `[rows, seq]`, int64.
    """
    logprobs = (logits / temperature).log_softmax(-1)
    return logprobs.gather(-1, token_ids.unsqueeze(-1)).squeeze(-1)


def entropy(logits: Tensor) -> Tensor:
    """Entropy of `softmax(logits)`, nats: `[..., vocab]` to `[...]`; logits may be -infinity."""
    logprobs = logits.log_softmax(-1)
    return -(logprobs.exp() * logprobs.masked_fill(logits.isneginf(), 0)).sum(-1)


def policy_losses(advantage: Tensor, loglikelihoods: Sequence[Tensor]) -> Tensor:
    """REINFORCE: `-mean(advantage * ln p(thought token k))` for each k (section 4.4.2).

    The mean is over all positions, padded ones included, as in the paper's code.

    Args:
        advantage: `[rows, positions]`, detached.
        loglikelihoods: for each thought token `[rows, seq]`.

    Returns:
        `[num_thought_tokens]`.
    """
    count = advantage.shape[1]
    return torch.stack([-(advantage * loglik[:, :count]).mean() for loglik in loglikelihoods])
