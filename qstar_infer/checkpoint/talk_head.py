"""The field `talk_head` of `quiet_star.json`: the shape of the talk head."""

from pathlib import Path
from typing import Any

from qstar_infer.errors import CheckpointError
from qstar_infer.model.config import TalkHeadConfig

_FIELDS = ("hidden_size", "layers", "biases", "sigmoid")


def head_to_json(config: TalkHeadConfig) -> dict[str, Any]:
    """The field's value. The paper's head is written without `biases` and `sigmoid`."""
    head: dict[str, Any] = {
        "hidden_size": config.hidden_size,
        "layers": [list(shape) for shape in config.layers],
    }
    if not config.is_standard:
        head |= {"biases": list(config.biases), "sigmoid": config.sigmoid}
    return head


def read_head(value: Any, path: Path) -> TalkHeadConfig:
    """Read and check the field.

    Args:
        value: of the field `talk_head`; None if it is absent.
        path: the `quiet_star.json`, for messages.

    Raises:
        CheckpointError: malformed, with unknown fields, or not a talk head.
    """
    values = value if isinstance(value, dict) else {}
    hidden = values.get("hidden_size")
    if type(hidden) is not int or hidden < 1:
        raise CheckpointError(
            f"{path}: talk_head.hidden_size is {hidden!r}; it must be the backbone's width. "
            "Correct it, or save the checkpoint again."
        )
    unknown = sorted(set(values) - set(_FIELDS))
    if unknown:
        raise CheckpointError(
            f"{path}: talk_head has unknown fields: {', '.join(unknown)}. It may have "
            f"{', '.join(_FIELDS)}. Correct or remove them."
        )
    standard = TalkHeadConfig.standard(hidden)
    layers = values.get("layers", [list(shape) for shape in standard.layers])
    biases = values.get("biases", list(standard.biases))
    sigmoid = values.get("sigmoid", standard.sigmoid)
    if not (_are_shapes(layers) and _are_flags(biases) and isinstance(sigmoid, bool)):
        raise CheckpointError(
            f"{path}: in talk_head, layers must be a list of [out, in], biases a list of true and "
            f"false, and sigmoid true or false, not {layers!r}, {biases!r}, {sigmoid!r}. Correct "
            "them, or save the checkpoint again."
        )
    try:
        return TalkHeadConfig(
            hidden_size=hidden,
            layers=tuple((rows, columns) for rows, columns in layers),
            biases=tuple(biases),
            sigmoid=sigmoid,
        )
    except ValueError as error:
        raise CheckpointError(
            f"{path}: {error}. Correct talk_head, or save the checkpoint again."
        ) from error


def _are_shapes(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(shape, list)
        and len(shape) == 2
        and all(type(size) is int and size > 0 for size in shape)
        for shape in values
    )


def _are_flags(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, bool) for value in values)
