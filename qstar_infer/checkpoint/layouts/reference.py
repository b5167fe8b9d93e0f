"""The layout of the paper's public code (`ezelikman/quiet-star`) and of its forks.

Also `Crystalcareai/quiet-star-working`, `yu-zh47/Adaptive_QuietSTaR`, and each stage of
`huangwei200012/Fast-Quiet-STaR`. The names of that code appear only here. The differences:

* `talk_head.0.{0,2,4}` is our `talk_head.{0,2,4}`.
* `start_embedding` and `end_embedding` are `[2, hidden]`: row 0 times 100 is the vector fed; row 1
  is a log-deviation that is unused.
* `n_ahead` is stored nowhere. The training scripts set `max_thoughts = n_ahead + n_ahead_talk + 1`,
  and a forward pass with `n_ahead` samples `n_ahead - 3` thought tokens.
* The last stage of Fast-Quiet-STaR has `n_ahead` 1: it is trained and used without thoughts.
* The published evaluation script replaces both vectors at its first forward pass by the embedding
  of the first token of `---`. We keep the trained ones; `thought_vectors="literal"` does the same.
"""

from typing import Any

from qstar_infer.checkpoint.layouts.files import CheckpointFiles
from qstar_infer.checkpoint.layouts.layout import (
    OwnNames,
    StoredHead,
    ThoughtLayout,
    ThoughtVector,
    head_shapes,
)
from qstar_infer.errors import CheckpointError
from qstar_infer.model.config import TalkHeadConfig

_SIGN = "max_thoughts"
_EMBEDDINGS = ("start_embedding", "end_embedding")
_EMBEDDING_SCALE = 100.0
_HEAD = tuple((f"talk_head.0.{index}",) for index in (0, 2, 4))

# The flags that the public code reads, with the values that mean this talk head. They are also the
# defaults. The public code does not read the other keys.
_FLAGS = {
    "use_concat_talk_head": True,
    "use_complex_talk_head": True,
    "use_weighted_talk_head": True,
    "use_shallow_talk": False,
    "merged_lm_and_talk_heads": False,
}
KEYS = frozenset(
    {
        *_FLAGS,
        _SIGN,
        "merged_talk_heads",
        "merged_lm_and_think_heads",
        "use_shallow_think",
        "use_complex_think_head",
    }
)

_TALK_TOKENS = 4
"""`n_ahead_talk` of the paper's training script."""
_KNOWN_RUNS = {25: (16, 8), 17: (12, 4), 13: (8, 4), 11: (8, 2)}
"""`max_thoughts` -> (`n_ahead`, `n_ahead_talk`) of the public scripts that do not keep to 4, and of
those whose value would be ambiguous otherwise."""
_PLAIN = 3
"""`max_thoughts` of (1, 1), the last stage of Fast-Quiet-STaR."""
_OVERHEAD = 3
"""`n_ahead` counts the base call, the start vector and the end vector as well."""


def is_thought_tensor(name: str) -> bool:
    return name.startswith("talk_head.") or name in _EMBEDDINGS


def own_names(files: CheckpointFiles) -> OwnNames | None:
    """As in `Layout`. One sign is enough: a checkpoint that lost its tensors is then an error."""
    tensors = frozenset(name for name in files.tensors if is_thought_tensor(name))
    if _SIGN not in files.config and not tensors:
        return None
    return OwnNames(keys=KEYS, tensors=tensors)


def describe(files: CheckpointFiles, own: OwnNames) -> ThoughtLayout:
    """As in `Layout`."""
    _check_flags(files)
    hidden = files.hidden_size
    head = StoredHead(config=TalkHeadConfig.standard(hidden), layers=_HEAD)
    shapes = head_shapes(head) | dict.fromkeys(_EMBEDDINGS, (2, hidden))
    files.check_thought_tensors(own.tensors, shapes)
    length, num_talk_tokens, note = _lengths(files.config.get(_SIGN))
    start, end = (ThoughtVector(tensor=name, row=0, scale=_EMBEDDING_SCALE) for name in _EMBEDDINGS)
    return ThoughtLayout(
        name="the paper's public code (ezelikman/quiet-star)",
        own=own,
        num_thought_tokens=length,
        num_talk_tokens=num_talk_tokens,
        shapes=shapes,
        head=head,
        start=start,
        end=end,
        has_literal_vectors=True,
        notes=(note,),
    )


def _check_flags(files: CheckpointFiles) -> None:
    for flag, known in _FLAGS.items():
        value = files.config.get(flag, known)
        if value is not known:
            raise CheckpointError(
                f"{files.config_path} has {flag} = {value!r}. Only {flag} = {known} is supported: "
                "another value means a talk head of another shape and meaning, for which no "
                "trained checkpoint is known. Use a checkpoint trained with the paper's settings, "
                "or load it without its thought parts (ignore_thought_parts, "
                "--ignore-thought-parts)."
            )


def _lengths(max_thoughts: Any) -> tuple[int | None, int, str]:
    """Thought length, talk tokens, and a note that says how they were found."""
    if max_thoughts == _PLAIN and type(max_thoughts) is int:
        note = (
            f"max_thoughts = {_PLAIN} means n_ahead = 1, as in the last stage of Fast-Quiet-STaR, "
            "which is trained and used without thoughts: it is loaded as a plain language model, "
            "and its thought tensors are not used."
        )
        return 0, _TALK_TOKENS, note
    smallest = _OVERHEAD + 1 + _TALK_TOKENS + 1
    if type(max_thoughts) is not int or max_thoughts < smallest:
        return (
            None,
            _TALK_TOKENS,
            (
                f"max_thoughts = {max_thoughts!r} gives no thought length (an integer of at least "
                f"{smallest} is needed)."
            ),
        )
    by_rule = (max_thoughts - _TALK_TOKENS - 1, _TALK_TOKENS)
    n_ahead, n_ahead_talk = _KNOWN_RUNS.get(max_thoughts, by_rule)
    length = n_ahead - _OVERHEAD
    note = (
        f"num_thought_tokens = {length} was inferred from max_thoughts = {max_thoughts} by the "
        f"scripts' rule max_thoughts = n_ahead + {n_ahead_talk} + 1, where n_ahead = "
        f"{n_ahead} counts the base call, the start and the end vector as well. "
    )
    if n_ahead_talk != _TALK_TOKENS:
        note += (
            f"The public scripts with this value have n_ahead_talk = {n_ahead_talk}; with the "
            f"paper's {_TALK_TOKENS} it would be {by_rule[0] - _OVERHEAD} tokens. "
        )
    return (
        length,
        n_ahead_talk,
        note
        + ("The checkpoint does not store the length; pass num_thought_tokens to override it."),
    )
