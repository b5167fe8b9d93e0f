"""The learned parts that make a language model think: two vectors and the talk head."""

import torch
from torch import Tensor, nn


class TalkHead(nn.Sequential):
    """Computes the mixing weight of a thought (paper, section 4.3).

    `w = W4 relu(W2 relu(W0 [hidden_base ; hidden_thought] + b0) + b2)`: no sigmoid, not clamped.
    Always computed in float32.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__(
            nn.Linear(2 * hidden_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, 1, bias=False),
        )

    def mixing_weight(self, hidden_base: Tensor, hidden_thought: Tensor) -> Tensor:
        """The share of the thought.

        Args:
            hidden_base: `[..., hidden]`, last-layer state at the anchor.
            hidden_thought: `[..., hidden]`, last-layer state at the end vector.

        Returns:
            `[...]`, float32.
        """
        states = torch.cat([hidden_base, hidden_thought], dim=-1).float()
        with torch.autocast(states.device.type, enabled=False):
            weight: Tensor = self(states)
        return weight.squeeze(-1)


class ConstantTalkHead(TalkHead):
    """A talk head with the same weight everywhere, for measurements."""

    def __init__(self, hidden_size: int, weight: float) -> None:
        super().__init__(hidden_size)
        self._weight = weight

    def mixing_weight(self, hidden_base: Tensor, hidden_thought: Tensor) -> Tensor:
        """`[...]`, float32: the constant."""
        del hidden_thought
        return torch.full(
            hidden_base.shape[:-1], self._weight, dtype=torch.float32, device=hidden_base.device
        )


class ThoughtParts(nn.Module):
    """Talk head, `start_thought` and `end_thought`, held in float32.

    Attributes:
        start_thought, end_thought: `[hidden]`, fed unscaled in place of an embedding row.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.talk_head = TalkHead(hidden_size)
        self.start_thought = nn.Parameter(torch.zeros(hidden_size))
        self.end_thought = nn.Parameter(torch.zeros(hidden_size))

    @classmethod
    def fresh(cls, delimiter_embedding: Tensor, *, seed: int = 0) -> "ThoughtParts":
        """Untrained parts as the paper initialises them (section 4.2 and appendix A).

        Both vectors start as the embedding of `---`. The talk head's last layer is zero, so every
        mixing weight is 0 and the output is the backbone's.

        Args:
            delimiter_embedding: `[hidden]`.
            seed: draws the talk head's other layers.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            parts = cls(delimiter_embedding.shape[-1])
        with torch.no_grad():
            parts.start_thought.copy_(delimiter_embedding)
            parts.end_thought.copy_(delimiter_embedding)
            last_layer = parts.talk_head[4]
            assert isinstance(last_layer, nn.Linear)
            last_layer.weight.zero_()
        return parts
