"""Coefficients of the objective, the paper's code's values as defaults. Plain data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveConfig:
    """What the loss is made of."""

    num_talk_tokens: int = 4
    """True tokens predicted after each thought (the non-myopic loss, section 4.4.1)."""
    num_passes: int = 2
    """Thoughts sampled for each position; their mean is the baseline of the reward."""
    base_loss_weight: float = 0.5
    """Of the next-token loss without thoughts."""
    talk_loss_weight: float = 0.5
    """Of the talk tokens' loss after the thought."""
    policy_weight: float = 1e6
    """Of the REINFORCE loss."""
    reinforce_temperature: float = 3.0
    """Divides the logits in the log-likelihood of the sampled thought."""
    drops_negative_rewards: bool = True
    """Only thoughts better than their baseline are reinforced."""
