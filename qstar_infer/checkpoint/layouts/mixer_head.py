"""The layout of `dimitriye98/quiet-star`: `mixer_head.mlp.*` over a backbone named `_lm_model`.

The first two linear layers of the head follow each other without an activation. The delimiters are
fed unscaled, as `start_token_embedding` and `end_token_embedding` where the files have them, else
as the rows of their tokens in the input embedding.

The code may reuse the previous thought where its confidence head says so; at
`confidence_parameter` 0, the default, it never does.
"""

from typing import Any

from qstar_infer.checkpoint.layouts.files import CheckpointFiles
from qstar_infer.checkpoint.layouts.layout import (
    OwnNames,
    StoredHead,
    ThoughtLayout,
    ThoughtVector,
)
from qstar_infer.errors import CheckpointError
from qstar_infer.model.config import TalkHeadConfig

_LENGTH = "thought_depth"
_BACKBONE = "_lm_model."
_HEAD, _CONFIDENCE = "mixer_head.mlp.", "confidence_head."
_VECTORS = ("start_token_embedding", "end_token_embedding")
_HOSTS_VECTORS = "host_thought_token_embeddings"
_DELIMITERS = ("start_thought_token", "end_thought_token")
_KEYS = frozenset(
    {
        _LENGTH,
        _HOSTS_VECTORS,
        *_DELIMITERS,
        "initial_start_thought_token",
        "initial_end_thought_token",
        "thought_temperature",
        "reinforce_temperature",
        "n_thoughts",
        "look_ahead",
        "base_loss_beta",
        "policy_loss_beta",
        "confidence_loss_beta",
        "confidence_parameter",
    }
)
_KEY_PREFIXES = ("mixer_head_", "confidence_head_")
_TALK_TOKENS = 4
"""Default of `look_ahead`."""


def own_names(files: CheckpointFiles) -> OwnNames | None:
    """As in `Layout`."""
    tensors = frozenset(
        name
        for name in files.tensors
        if name in _VECTORS or name.startswith(("mixer_head.", _CONFIDENCE))
    )
    keys = {key for key in files.config if key in _KEYS or key.startswith(_KEY_PREFIXES)}
    has_prefix = any(name.startswith(_BACKBONE) for name in files.tensors)
    if not tensors and not has_prefix and _LENGTH not in keys:
        return None
    return OwnNames(keys=frozenset(keys), tensors=tensors, prefix=_BACKBONE if has_prefix else "")


def describe(files: CheckpointFiles, own: OwnNames) -> ThoughtLayout:
    """As in `Layout`."""
    _check_merged(files)
    _check_settings(files.config, files)
    layers, config, shapes = _head(files)
    hosts = bool(files.config.get(_HOSTS_VECTORS, not own.tensors.isdisjoint(_VECTORS)))
    if hosts:
        shapes |= dict.fromkeys(_VECTORS, (files.hidden_size,))
    unused = {
        name: "confidence_parameter is 0, so no thought is reused"
        for name in own.tensors
        if name.startswith(_CONFIDENCE)
    }
    files.check_thought_tensors(own.tensors - unused.keys(), shapes)
    start, end = (ThoughtVector(tensor=name if hosts else None) for name in _VECTORS)
    length = files.integer(_LENGTH, least=1)
    return ThoughtLayout(
        name="dimitriye98/quiet-star",
        own=own,
        num_thought_tokens=length,
        num_talk_tokens=files.integer("look_ahead", least=0, default=_TALK_TOKENS),
        thought_temperature=files.temperature("thought_temperature"),
        shapes=shapes,
        head=StoredHead(config=config, layers=layers),
        start=start,
        end=end,
        delimiter_ids=_delimiter_ids(files),
        without_effect=unused,
        notes=(f"num_thought_tokens = {length} is thought_depth of config.json.",),
    )


def _head(
    files: CheckpointFiles,
) -> tuple[tuple[tuple[str, ...], ...], TalkHeadConfig, dict[str, tuple[int, ...]]]:
    """Modules of the layers, shape of the head, and shapes of the tensors."""
    hidden = files.hidden_size
    depth = files.config.get("mixer_head_hidden_layers", 1)
    if type(depth) is not int or depth not in (0, 1):
        raise CheckpointError(
            f"{files.config_path} has mixer_head_hidden_layers = {depth!r}; only 0 and 1 are "
            "supported, because the code uses the same layer several times otherwise. Use "
            "another checkpoint, or load it as a plain language model (ignore_thought_parts)."
        )
    width = files.integer("mixer_head_hidden_size", least=1, default=hidden)
    first, middle, last = (f"{_HEAD}{index}" for index in (0, 1, 2 + 2 * depth))
    own = {first: (width, 2 * hidden), middle: (width, width), last: (1, width)}
    if depth == 0:
        del own[middle]
    shapes: dict[str, tuple[int, ...]] = {}
    for module, shape in own.items():
        shapes |= {f"{module}.weight": shape, f"{module}.bias": shape[:1]}
    config = TalkHeadConfig(
        hidden_size=hidden, layers=((width, 2 * hidden), (1, width)), biases=(True, True)
    )
    return ((first, middle) if depth else (first,), (last,)), config, shapes


def _check_settings(config: dict[str, Any], files: CheckpointFiles) -> None:
    """Settings of the code that would change the numbers, with the values that are computed."""
    supported = {"mixer_head_activation": "relu", "confidence_parameter": 0}
    meanings = {
        "mixer_head_activation": "the talk heads here have ReLUs",
        "confidence_parameter": "reusing the previous thought by a confidence head is not "
        "possible here",
    }
    for key, value in supported.items():
        if config.get(key, value) != value:
            raise CheckpointError(
                f"{files.config_path} has {key} = {config[key]!r}; only {value!r} is supported: "
                f"{meanings[key]}. Use another checkpoint, or load it as a plain language model "
                "(ignore_thought_parts=True, --ignore-thought-parts)."
            )


def _check_merged(files: CheckpointFiles) -> None:
    """The code trains a LoRA adapter, which must be merged: our backbone has plain layers."""
    adapter = next((name for name in files.tensors if ".lora_" in name), None)
    if adapter is not None:
        raise CheckpointError(
            f"{files.directory} holds the adapter tensor {adapter}. Merge the adapter with "
            "model._lm_model.merge_and_unload() in the code that trained it, and save it again."
        )


def _delimiter_ids(files: CheckpointFiles) -> tuple[int | None, int | None]:
    start, end = (
        None if files.config.get(key) is None else files.integer(key, least=0)
        for key in _DELIMITERS
    )
    return start, end
