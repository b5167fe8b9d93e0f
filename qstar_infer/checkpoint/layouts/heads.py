"""Rewrites talk heads of other code bases as ours, which give the share of the thought."""

import dataclasses

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


def joined(weights: tuple[Tensor, Tensor], biases: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """One linear layer for two that follow each other without an activation.

    Args:
        weights: `[middle, in]` and `[out, middle]`, of the first layer and the second.
        biases: `[middle]` and `[out]`.

    Returns:
        Weight `[out, in]` and bias `[out]`, float32, computed in float64.
    """
    first, second = (weight.double() for weight in weights)
    bias = second @ biases[0].double() + biases[1].double()
    return (second @ first).float(), bias.float()
