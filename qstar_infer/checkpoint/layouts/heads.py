"""Rewrites talk heads of other code bases as ours, which give the share of the thought."""

import dataclasses
from collections.abc import Sequence

from torch import Tensor

from qstar_infer.model.config import TalkHeadConfig


def inverted(
    tensors: dict[str, Tensor], config: TalkHeadConfig
) -> tuple[dict[str, Tensor], TalkHeadConfig]:
    """The head whose mixing weight is 1 minus this one's.

    For code that mixes `w * base + (1 - w) * thought`. Exact with a sigmoid, because
    `1 - sigmoid(x)` is `sigmoid(-x)`. Without one, the last layer gets the bias `1 - b`.

    Args:
        tensors: `talk_head.*`, named as in `quiet_star.safetensors`; others are passed through.
        config: the shape of the head in `tensors`.

    Returns:
        The tensors and the shape of the other head. Changed tensors are float32.
    """
    last = f"talk_head.{2 * len(config.layers) - 2}"
    weight = tensors[f"{last}.weight"].float()
    changed = tensors | {f"{last}.weight": -weight}
    bias = tensors[f"{last}.bias"].float() if config.biases[-1] else weight.new_zeros(1)
    if config.sigmoid and not config.biases[-1]:
        return changed, config
    changed[f"{last}.bias"] = -bias if config.sigmoid else 1 - bias
    return changed, dataclasses.replace(config, biases=(*config.biases[:-1], True))


def joined(weights: Sequence[Tensor], biases: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """One linear layer for several that follow each other without an activation.

    Args:
        weights: `[out, in]` of each layer, the first layer first.
        biases: `[out]` of each layer.

    Returns:
        Weight `[out of the last, in of the first]` and bias `[out of the last]`, float32, computed
        in float64.
    """
    weight, bias = weights[0].double(), biases[0].double()
    for next_weight, next_bias in zip(weights[1:], biases[1:], strict=True):
        weight = next_weight.double() @ weight
        bias = next_weight.double() @ bias + next_bias.double()
    return weight.float(), bias.float()
