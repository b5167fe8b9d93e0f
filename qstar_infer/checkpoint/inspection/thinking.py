"""Describes how a checkpoint thinks."""

from pathlib import Path

from qstar_infer.checkpoint.inspection.facts import DelimiterFacts, ThinkingFacts
from qstar_infer.checkpoint.inspection.skeleton import Skeleton
from qstar_infer.checkpoint.inspection.thoughts import Thoughts
from qstar_infer.checkpoint.layouts.layout import ThoughtVector
from qstar_infer.checkpoint.native import QUIET_STAR_TENSORS
from qstar_infer.checkpoint.tensors import check_float_headers, headers_of, read_tensors
from qstar_infer.errors import CheckpointError
from qstar_infer.model.config import QuietStarConfig, TalkHeadConfig
from qstar_infer.thinking_rule import EVERYWHERE


def thinking_facts(skeleton: Skeleton, thoughts: Thoughts, directory: Path) -> ThinkingFacts | None:
    """How the checkpoint in a directory thinks; None if it cannot, or if that is not known."""
    head, thinking, layout = thoughts.talk_head, thoughts.config, skeleton.layout
    if head is None or (thinking is None and layout is None):
        return None
    start, end = _delimiters(skeleton, thinking)
    lengths = layout if thinking is None else thinking
    assert lengths is not None
    return ThinkingFacts(
        num_thought_tokens=lengths.num_thought_tokens,
        num_talk_tokens=lengths.num_talk_tokens,
        thought_temperature=lengths.thought_temperature,
        thinking=(EVERYWHERE if thinking is None else thinking.thinking).to_json(),
        has_gate=thoughts.has_gate,
        is_trained=layout is not None or not _has_zero_weight(head, directory),
        head_layers=[list(shape) for shape in head.layers],
        head_biases=list(head.biases),
        head_sigmoid=head.sigmoid,
        stored_weight_is_share_of_base=layout is not None and layout.head.weighs_base,
        start=start,
        end=end,
    )


def _has_zero_weight(head: TalkHeadConfig, directory: Path) -> bool:
    """Whether the last layer of a native talk head is zero, as that of a fresh one.

    Read from the weights, as `describe` does: the notes about training may be missing.
    """
    path, layer = directory / QUIET_STAR_TENSORS, f"talk_head.{2 * len(head.layers) - 2}."
    try:
        headers = headers_of(path)
        names = [name for name in headers if name.startswith(layer)]
        check_float_headers({name: headers[name] for name in names}, path)
        tensors = read_tensors(path, names).values()
    except CheckpointError:
        return False  # why it cannot be read is among the problems
    return not head.sigmoid and not any(bool(tensor.any()) for tensor in tensors)


def _delimiters(
    skeleton: Skeleton, thinking: QuietStarConfig | None
) -> tuple[DelimiterFacts, DelimiterFacts]:
    layout = skeleton.layout
    start_id = None if thinking is None else thinking.start_thought_token_id
    end_id = None if thinking is None else thinking.end_thought_token_id
    if layout is not None:
        start, end = layout.delimiters
        return (
            DelimiterFacts(token=start, token_id=start_id, vector=_vector(layout.start)),
            DelimiterFacts(token=end, token_id=end_id, vector=_vector(layout.end)),
        )
    return (
        _native_delimiter(skeleton, start_id, "start_thought"),
        _native_delimiter(skeleton, end_id, "end_thought"),
    )


def _native_delimiter(skeleton: Skeleton, token_id: int | None, tensor: str) -> DelimiterFacts:
    name = None
    if token_id is not None and skeleton.tokenizer is not None:
        name = str(skeleton.tokenizer.convert_ids_to_tokens(token_id))
    return DelimiterFacts(token=name, token_id=token_id, vector=f"{tensor} in {QUIET_STAR_TENSORS}")


def _vector(vector: ThoughtVector) -> str:
    if vector.tensor is None:
        return "its row of the input embedding"
    row = "" if vector.row is None else f"row {vector.row} of "
    scale = "" if vector.scale == 1 else f", times {vector.scale:g}"
    return f"{row}{vector.tensor}{scale}"
