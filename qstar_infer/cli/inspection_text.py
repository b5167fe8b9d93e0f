"""Writes an inspection for people: aligned lines of plain text."""

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qstar_infer.cli.terminal import one_line
from qstar_infer.thinking_rule import read_rule

if TYPE_CHECKING:
    from qstar_infer.checkpoint.inspection.facts import (
        DelimiterFacts,
        Inspection,
        ModelFacts,
        ThinkingFacts,
        TokenizerFacts,
    )

Row = tuple[str, str]
"""A label and its text. Without a label, the text continues the row before."""

_LABEL_WIDTH = 14
_SMALLEST_TEXT = 20


def inspection_lines(inspection: "Inspection", *, width: int | None) -> Iterator[str]:
    """The lines of an inspection, without control characters, whatever its files hold.

    Args:
        inspection: of a checkpoint.
        width: columns to wrap to; None: do not wrap.
    """
    sections = (
        _what(inspection),
        _model(inspection),
        _thinking(inspection.thinking),
        _other(inspection),
        [
            ("notes" if not index else "", f"- {note}")
            for index, note in enumerate(inspection.notes)
        ],
        _verdict(inspection),
    )
    is_first = True
    for rows in sections:
        if rows and not is_first:
            yield ""
        is_first = is_first and not rows
        for label, text in rows:
            yield from _wrapped(label, one_line(text), width)


def _wrapped(label: str, text: str, width: int | None) -> list[str]:
    head = label.ljust(_LABEL_WIDTH)
    if width is None:
        return [f"{head}{text}".rstrip()]
    hanging = "  " if text.startswith(("- ", "1", "2", "3")) and text[1:2] in ". " else ""
    return textwrap.wrap(
        text,
        max(width, _LABEL_WIDTH + _SMALLEST_TEXT),
        initial_indent=head,
        subsequent_indent=" " * _LABEL_WIDTH + hanging,
        break_on_hyphens=False,
        break_long_words=False,  # paths stay whole, so that they can be copied
    )


def _what(inspection: "Inspection") -> list[Row]:
    rows = [("checkpoint", inspection.source), ("kind", inspection.kind)]
    if inspection.layout is not None:
        rows.append(("layout", inspection.layout))
    if inspection.location not in (None, inspection.source):
        rows.append(("location", str(inspection.location)))
    if inspection.revision is not None:
        rows.append(("revision", inspection.revision))
    if inspection.adapter is not None:
        rows.append(("base", inspection.adapter.base or "not found"))
        settings = inspection.adapter.settings
        rows.append(("adapter", ", ".join(f"{key} = {settings[key]}" for key in settings)))
    if inspection.gguf is not None:
        gguf = inspection.gguf
        rows.append(("GGUF", f"architecture {gguf.architecture}, tokenizer {gguf.tokenizer}"))
        if gguf.name:
            rows.append(("", f"named {gguf.name!r}"))
    return rows


def _model(inspection: "Inspection") -> list[Row]:
    rows = [] if inspection.model is None else _backbone(inspection.model)
    if inspection.weights is not None:
        files = _count(inspection.weights.num_files, "file")
        stored = [
            f"{each.num_values:,} values as {dtype} in {_count(each.num_tensors, 'tensor')}, "
            f"{_bytes(each.num_bytes)}"
            for dtype, each in inspection.weights.by_dtype.items()
        ]
        rows += [("stored" if not index else "", text) for index, text in enumerate(stored)]
        rows.append(("", f"in {files}"))
    if inspection.tokenizer is not None:
        rows.append(("tokenizer", _tokenizer(inspection.tokenizer)))
    return rows


def _backbone(model: "ModelFacts") -> list[Row]:
    ties = "tied to" if model.tied_embeddings else "apart from"
    rows = [
        (
            "model",
            f"{model.model_type} ({model.architecture}), {_count(model.num_layers, 'layer')}, "
            f"hidden size {model.hidden_size}",
        ),
        ("parameters", f"{model.num_parameters:,}"),
        ("embedding", f"{model.embedding_rows} rows, {ties} the output embedding"),
    ]
    if model.context_length is not None:
        rows.append(("context", f"{model.context_length} tokens ({model.context_origin})"))
    rows.append(("rope", "none" if model.rope is None else _settings(model.rope)))
    return rows


def _tokenizer(facts: "TokenizerFacts") -> str:
    text = f"{facts.kind}, {facts.num_tokens} tokens, ids up to {facts.highest_id}"
    if facts.num_beyond_embedding:
        text += f"; {_count(facts.num_beyond_embedding, 'id')} without an embedding row"
    return text


def _thinking(thinking: "ThinkingFacts | None") -> list[Row]:
    if thinking is None:
        return []
    length = thinking.num_thought_tokens
    trained = "trained" if thinking.is_trained else "freshly initialised"
    talk = _count(thinking.num_talk_tokens, "token")
    rows = [
        ("thoughts", "of unknown length" if length is None else f"of {_count(length, 'token')}"),
        ("thinks", _places(thinking)),
        ("training", f"{trained}; {talk} predicted after each thought"),
        ("talk head", _head(thinking)),
    ]
    if thinking.stored_weight_is_share_of_base:
        rows.append(("", "the files' weight is the share of the base; it is inverted"))
    return [*rows, ("start", _delimiter(thinking.start)), ("end", _delimiter(thinking.end))]


def _places(thinking: "ThinkingFacts") -> str:
    rule = read_rule(thinking.thinking)
    unused_gate = thinking.has_gate and rule.where != "gate"
    return rule.describe() + ("; it has a gate, for requests that ask it" if unused_gate else "")


def _head(thinking: "ThinkingFacts") -> str:
    widths = [thinking.head_layers[0][1], *(rows for rows, _ in thinking.head_layers)]
    layers = " -> ".join(str(width) for width in widths)
    biases = ", ".join("bias" if each else "no bias" for each in thinking.head_biases)
    return f"{layers} ({biases}), {'sigmoid' if thinking.head_sigmoid else 'no sigmoid'}"


def _delimiter(delimiter: "DelimiterFacts") -> str:
    if delimiter.token is None:
        return f"no token in the vocabulary; vector: {delimiter.vector}"
    token_id = "" if delimiter.token_id is None else f", id {delimiter.token_id}"
    return f"{delimiter.token}{token_id}; vector: {delimiter.vector}"


def _other(inspection: "Inspection") -> list[Row]:
    pickles, keys = inspection.safety.pickles, inspection.safety.code_keys
    defaults = _settings(inspection.sampling_defaults) or "none of its own"
    return [
        *([] if inspection.model is None else [("sampling", defaults)]),
        ("pickles", f"{', '.join(pickles)} (never opened)" if pickles else "none"),
        ("code", ", ".join(keys) if keys else "none named"),
    ]


def _verdict(inspection: "Inspection") -> list[Row]:
    if inspection.would_load:
        return [("verdict", "would load")]
    problems = [f"{number}. {text}" for number, text in enumerate(inspection.problems, start=1)]
    return [("verdict", "would be refused:"), *(("", problem) for problem in problems)]


def _settings(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
