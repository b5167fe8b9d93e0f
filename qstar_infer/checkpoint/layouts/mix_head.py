"""The layout of `HansPolo113/QuietSTaR`: `mix_head.{0,2,4}` with a sigmoid.

The delimiters are tokens, fed as their unscaled rows of the input embedding. The code mixes
log-probabilities, which gives the same probabilities as mixing logits. It has no decoding with
thoughts: it trains the weight at the true tokens that follow a thought.
"""

import dataclasses

from qstar_infer.checkpoint.layouts.files import CheckpointFiles
from qstar_infer.checkpoint.layouts.layout import (
    OwnNames,
    StoredHead,
    ThoughtLayout,
    ThoughtVector,
    head_shapes,
)
from qstar_infer.model.config import TalkHeadConfig

_LENGTH, _TALK_TOKENS = "thought_length", "n_true"
_KEYS = frozenset(
    {_LENGTH, _TALK_TOKENS, "n_thought", "reinforce_temperature", "gumbel_temperature"}
)
_SIGNS = frozenset({_LENGTH, _TALK_TOKENS})
_HEAD = tuple((f"mix_head.{index}",) for index in (0, 2, 4))


def own_names(files: CheckpointFiles) -> OwnNames | None:
    """As in `Layout`."""
    tensors = frozenset(name for name in files.tensors if name.startswith("mix_head."))
    if not tensors and not files.config.keys() >= _SIGNS:
        return None
    return OwnNames(keys=_KEYS, tensors=tensors)


def describe(files: CheckpointFiles, own: OwnNames) -> ThoughtLayout:
    """As in `Layout`."""
    config = dataclasses.replace(TalkHeadConfig.standard(files.hidden_size), sigmoid=True)
    head = StoredHead(config=config, layers=_HEAD)
    shapes = head_shapes(head)
    files.check_thought_tensors(own.tensors, shapes)
    length = files.integer(_LENGTH, least=1)
    return ThoughtLayout(
        name="HansPolo113/QuietSTaR",
        own=own,
        num_thought_tokens=length,
        num_talk_tokens=files.integer(_TALK_TOKENS, least=0),
        shapes=shapes,
        head=head,
        start=ThoughtVector(),
        end=ThoughtVector(),
        notes=(
            f"num_thought_tokens = {length} is thought_length of config.json. The code of this "
            "checkpoint has no decoding with thoughts; it is decoded here by the paper's rule.",
        ),
    )
