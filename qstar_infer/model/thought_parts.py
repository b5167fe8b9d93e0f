"""The learned parts that make a language model think: two vectors and the talk head."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from qstar_infer.model.config import TalkHeadConfig


class TalkHead(nn.Sequential):
    """Computes the mixing weight of a thought (paper, section 4.3).

    The paper's is `w = W4 relu(W2 relu(W0 [hidden_base ; hidden_thought] + b0) + b2)`: no sigmoid,
    not clamped. Layer `i` of `config` is module `2 * i`. Always computed in float32.

    Attributes:
        config: its shape.
    """

    def __init__(self, config: TalkHeadConfig) -> None:
        modules: list[nn.Module] = []
        for (rows, columns), has_bias in zip(config.layers, config.biases, strict=True):
            modules += [nn.Linear(columns, rows, bias=has_bias), nn.ReLU()]
        modules[-1:] = [nn.Sigmoid()] if config.sigmoid else []
        super().__init__(*modules)
        self.config = config

    @property
    def last_layer(self) -> nn.Linear:
        """The layer whose output is the mixing weight, or its logit."""
        layer = self[2 * len(self.config.layers) - 2]
        assert isinstance(layer, nn.Linear)
        return layer

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
        super().__init__(TalkHeadConfig.standard(hidden_size))
        self._weight = weight

    def mixing_weight(self, hidden_base: Tensor, hidden_thought: Tensor) -> Tensor:
        """`[...]`, float32: the constant."""
        del hidden_thought
        return torch.full(
            hidden_base.shape[:-1], self._weight, dtype=torch.float32, device=hidden_base.device
        )


class ThinkingGate(nn.Linear):
    """Decides from the state at a token whether to think about the next one.

    One linear layer, `weight` `[1, hidden]` and `bias` `[1]`; above 0 it thinks. Always computed
    in float32.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__(hidden_size, 1)

    def score(self, hidden_base: Tensor) -> Tensor:
        """`[..., hidden]` to `[...]`, float32; above 0: think."""
        with torch.autocast(hidden_base.device.type, enabled=False):
            score: Tensor = self(hidden_base.float())
        return score.squeeze(-1)


class ThoughtParts(nn.Module):
    """Talk head, `start_thought` and `end_thought`, and perhaps a gate, held in float32.

    They stay float32 when a model is cast, as by `model.half()`.

    Attributes:
        start_thought, end_thought: `[hidden]`, fed unscaled in place of an embedding row.
        gate: decides where to think; None if the checkpoint has none.
    """

    def __init__(
        self,
        hidden_size: int,
        *,
        talk_head: TalkHeadConfig | None = None,
        has_gate: bool = False,
    ) -> None:
        """Untrained parts.

        Args:
            hidden_size: the backbone's width.
            talk_head: its shape; None: the paper's.
            has_gate: whether there is a gate.
        """
        super().__init__()
        self.talk_head = TalkHead(talk_head or TalkHeadConfig.standard(hidden_size))
        self.gate = ThinkingGate(hidden_size) if has_gate else None
        self.start_thought = nn.Parameter(torch.zeros(hidden_size))
        self.end_thought = nn.Parameter(torch.zeros(hidden_size))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ThoughtParts":
        """Follow a move to another device, but no cast; `to`, `half` and others call this."""

        def keep_dtype(tensor: Tensor) -> Tensor:
            changed = fn(tensor)
            is_cast = changed.dtype != tensor.dtype
            return tensor.to(changed.device) if is_cast else changed

        super()._apply(keep_dtype, recurse)  # type: ignore[no-untyped-call]
        return self

    @classmethod
    def fresh(cls, start: Tensor, end: Tensor, *, seed: int = 0) -> "ThoughtParts":
        """Untrained parts, initialised as in the paper (section 4.2 and appendix A).

        The talk head's last layer is zero, so every mixing weight is 0 and the output is the
        backbone's. The paper starts both vectors as the embedding of `---`.

        Args:
            start, end: `[hidden]`, the first values of the two vectors.
            seed: draws the talk head's other layers.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            parts = cls(start.shape[-1])
        with torch.no_grad():
            parts.start_thought.copy_(start)
            parts.end_thought.copy_(end)
            parts.talk_head.last_layer.weight.zero_()
        return parts
