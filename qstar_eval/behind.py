"""Figures of the tokens behind markers: places of a text that matter more than others."""

from collections.abc import Collection, Sequence

import numpy as np

from qstar_eval.bootstrap import Bootstrap, Estimate, Floats
from qstar_eval.scoring import TextScores
from qstar_eval.task import Record
from qstar_infer.errors import ConfigError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.thinking_rule import ThinkingRule, TokenName, resolve_rule


def ids_of(model: QuietStarModel, tokens: Sequence[TokenName]) -> frozenset[int]:
    """The ids of marker tokens, which are names or ids.

    Raises:
        ConfigError: the vocabulary lacks one.
    """
    if not tokens:
        return frozenset()
    try:
        places = resolve_rule(
            ThinkingRule(where="behind", tokens=tuple(tokens)),
            id_of=model.tokenizer.get_vocab().get,
            vocab_size=model.vocab_size,
            has_gate=False,
        )
    except ValueError as error:
        raise ConfigError(f"behind: {error}. Name tokens of the vocabulary.") from error
    assert places.behind_ids is not None
    return places.behind_ids


def add_right(record: Record, scores: TextScores, row: int, behind_ids: Collection[int]) -> None:
    """Add `behind`, `base_right` and `mixed_right` to the record of a document.

    Args:
        record: with its `token_ids`.
        row: of the document in `scores`.
    """
    places = [p for p, token_id in enumerate(record["token_ids"][:-1]) if token_id in behind_ids]
    record["behind"] = places
    record["base_right"] = scores.is_base_right[row, places].tolist()
    record["mixed_right"] = scores.is_mixed_right[row, places].tolist()


def figures_behind(records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Estimate]:
    """Losses (nats), gain and accuracies per token behind a marker, resampled by document. Empty if
    the set names no markers, or if no token is behind one."""
    sums = _sums(records)
    return _per_token(sums, sums[:, -1], bootstrap)


def differences_behind(
    records: Sequence[Record], others: Sequence[Record], bootstrap: Bootstrap
) -> dict[str, Estimate]:
    """The figures of `records` minus those of `others`, about the same tokens, paired."""
    sums = _sums(records)
    return _per_token(sums - _sums(others), sums[:, -1], bootstrap)


def _per_token(sums: Floats, counts: Floats, bootstrap: Bootstrap) -> dict[str, Estimate]:
    base, mixed, base_right, mixed_right = sums[:, :-1].T
    if not counts.sum() > 0:
        return {}
    return {
        "loss_base_behind": bootstrap.ratio(base, counts),
        "loss_mixed_behind": bootstrap.ratio(mixed, counts),
        "gain_behind": bootstrap.ratio(base - mixed, counts),
        "accuracy_base_behind": bootstrap.ratio(base_right, counts),
        "accuracy_mixed_behind": bootstrap.ratio(mixed_right, counts),
    }


def _sums(records: Sequence[Record]) -> Floats:
    """Losses and right tokens, base and mixed, and tokens behind a marker: `[documents, 5]`."""
    rows = []
    for record in records:
        places = record.get("behind", [])
        losses = [sum(record[name][p] for p in places) for name in ("base_losses", "mixed_losses")]
        right = [sum(record[name]) if places else 0 for name in ("base_right", "mixed_right")]
        rows.append([*losses, *right, len(places)])
    return np.array(rows, dtype=np.float64)
