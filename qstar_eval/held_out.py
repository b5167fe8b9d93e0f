"""The loss of held-out text, with and without thoughts, and on easy and on hard tokens."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qstar_eval.behind import add_right, differences_behind, figures_behind, ids_of
from qstar_eval.bootstrap import Bootstrap, Estimate, Floats
from qstar_eval.scoring import TextScores, score_text
from qstar_eval.shuffling import donors_of
from qstar_eval.task import EvalTarget, Record, Task, digest_of
from qstar_eval.tokens import encode_text, texts_of
from qstar_infer.errors import ConfigError
from qstar_infer.sampling.noise import derive_seed
from qstar_infer.thinking_rule import TokenName

logger = logging.getLogger(__name__)

NUM_GROUPS = 10
"""Groups of tokens by difficulty."""
_FLOATS = ("base_losses", "mixed_losses", "mixing_weights")


class HeldOutTask(Task):
    """An example is the beginning of one document.

    A record holds `document` (its index in the source), `token_ids` and their text, `tokens`. Entry
    p of the lists `base_losses`, `mixed_losses` (nats), `mixing_weights`, `thought_ids` and
    `thoughts` (their text) is about the prediction of token p + 1; the lists are empty for a
    document of one token. `tokens` and `thoughts` show a part of a character as bytes: `<E2>`.
    Where the model does not think, the thought is empty.

    If the set names tokens in `behind`, the record also holds the places p of these tokens,
    `behind`, and `base_right` and `mixed_right`: for each such place, whether the most likely token
    is token p + 1.
    """

    def __init__(
        self,
        name: str,
        documents: Sequence[str],
        *,
        max_tokens: int,
        batch_size: int,
        behind: Sequence[TokenName] = (),
    ) -> None:
        """
        Args:
            documents: those that hold only white space are skipped.
            max_tokens: measured of each document.
            behind: tokens whose next token is measured separately, too.

        Raises:
            ConfigError: no document holds text.
        """
        texts = [(index, text) for index, text in enumerate(documents) if text.strip()]
        if not texts:
            raise ConfigError(f"{name}: no document holds text. Check path, split and text_field.")
        # Batches of similar length, the longest first: a batch too large for memory fails at once.
        self._documents = sorted(texts, key=lambda pair: -len(pair[1]))
        self.name = name
        self.num_examples = len(texts)
        self.digest = digest_of(self._documents)
        self.batch_size = batch_size
        self._max_tokens = max_tokens
        self._behind = tuple(behind)

    def measure(self, target: EvalTarget, indices: Sequence[int]) -> list[Record]:
        """As `Task.measure`.

        Raises:
            CheckpointError: a loss is not finite.
            ConfigError: the vocabulary lacks a token of `behind`, or no other document can give its
                thoughts.
        """
        behind_ids = ids_of(target.model, self._behind)
        records = [self._describe(target, index) for index in indices]
        scored = [record for record in records if len(record["token_ids"]) > 1]
        if scored:
            scores = score_text(
                target.model,
                [record["token_ids"] for record in scored],
                seeds=_seeds(target, scored),
                mode=target.mode,
                thought_ids=self._thoughts_of_donors(target, scored),
                behind_ids=behind_ids,
            )
            for row, record in enumerate(scored):
                if behind_ids:
                    add_right(record, scores, row, behind_ids)
                self._add_scores(record, target, scores, row)
        return records

    def summarise(self, records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Estimate]:
        """Losses and gain in nats per token, and the mean mixing weight, resampled by document.

        Raises:
            ConfigError: no document has a token to predict.
        """
        base, mixed, weights, counts = _sums(records).T
        if not counts.sum() > 0:
            raise ConfigError(f"{self.name}: no document has two tokens. Give longer documents.")
        behind = figures_behind(records, bootstrap)
        if self._behind and not behind:
            logger.warning(
                "%s: no token is behind %s.", self.name, ", ".join(map(str, self._behind))
            )
        return {
            "loss_base": bootstrap.ratio(base, counts),
            "loss_mixed": bootstrap.ratio(mixed, counts),
            "gain": bootstrap.ratio(base - mixed, counts),
            "mixing_weight": bootstrap.ratio(weights, counts),
            **behind,
        }

    def compare(
        self, records: Sequence[Record], others: Sequence[Record], bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        """As `Task.compare`. Empty if the token ids differ, as losses per token then do."""
        if not have_same_tokens(records, others):
            return {}
        base, mixed, _, counts = _sums(records).T
        other_base, other_mixed, _, _ = _sums(others).T
        return {
            "loss_base": bootstrap.ratio(base - other_base, counts),
            "loss_mixed": bootstrap.ratio(mixed - other_mixed, counts),
            "gain": bootstrap.ratio((base - mixed) - (other_base - other_mixed), counts),
            **differences_behind(records, others, bootstrap),
        }

    def _describe(self, target: EvalTarget, index: int) -> Record:
        """The record of a document before its scores."""
        tokenizer = target.model.tokenizer
        document, text = self._documents[index]
        ids = encode_text(tokenizer, text, target.model.delimiter_ids)[: self._max_tokens]
        return {
            "index": index,
            "document": document,
            "token_ids": ids,
            "tokens": texts_of(tokenizer, [[token_id] for token_id in ids]),
            **{name: [] for name in (*_FLOATS, "thought_ids", "thoughts")},
        }

    def _thoughts_of_donors(self, target: EvalTarget, records: Sequence[Record]) -> Tensor | None:
        """`[batch, seq - 1, num_thought_tokens]`, int64; None unless thoughts are shuffled.

        A shorter donor begins again with its first thought.
        """
        if target.mode.kind != "shuffled":
            return None
        order = donors_of(self.num_examples, target.seed)
        donors = [self._donor_of(target, record["index"], order) for record in records]
        rows = [donor["token_ids"] for donor in donors]
        found = score_text(target.model, rows, seeds=_seeds(target, donors), mode=target.mode)
        longest = max(len(record["token_ids"]) for record in records) - 1
        places = [torch.arange(longest) % (len(row) - 1) for row in rows]
        return torch.stack([found.thought_ids[row, at] for row, at in enumerate(places)])

    def _donor_of(self, target: EvalTarget, index: int, donors: Sequence[int]) -> Record:
        """The record, without scores, of the document that gives its thoughts to this one: the next
        one of at least two tokens."""
        donor = donors[index]
        while donor != index:
            record = self._describe(target, donor)
            if len(record["token_ids"]) > 1:
                return record
            donor = donors[donor]
        raise ConfigError(
            f"{self.name}: shuffled thoughts need another document of two tokens. Give more "
            "documents, or leave out shuffled."
        )

    def _add_scores(self, record: Record, target: EvalTarget, scores: TextScores, row: int) -> None:
        length = len(record["token_ids"]) - 1  # without padding
        for name in _FLOATS:
            values = getattr(scores, name)[row, :length].numpy()
            if not np.isfinite(values).all():
                raise target.not_finite(
                    f"document {record['document']} of {self.name} has a loss that is"
                )
            record[name] = _shortest(values)
        is_thinking = scores.is_thinking[row, :length].tolist()
        thoughts = scores.thought_ids[row, :length].tolist()
        record["thought_ids"] = [
            ids if thinks else [] for ids, thinks in zip(thoughts, is_thinking, strict=True)
        ]
        record["thoughts"] = texts_of(target.model.tokenizer, record["thought_ids"])


def _seeds(target: EvalTarget, records: Sequence[Record]) -> Tensor:
    """Of each document's noise: `[batch]`, int64."""
    return torch.tensor([derive_seed(target.seed, record["index"]) for record in records])


def have_same_tokens(records: Sequence[Record], others: Sequence[Record]) -> bool:
    """Whether two lists of records are about the same token sequences."""
    return [record["token_ids"] for record in records] == [record["token_ids"] for record in others]


@dataclass(frozen=True, slots=True, kw_only=True)
class DifficultyGroup:
    """Tokens of similar difficulty. Losses are in nats per token."""

    number: int
    """From 1, the easiest."""
    num_tokens: int
    difficulty_low: float
    """The least and the greatest difficulty among the tokens, nats."""
    difficulty_high: float
    loss_base: Estimate
    loss_mixed: Estimate
    gain: Estimate
    """`loss_base - loss_mixed`, paired."""


def difficulty_groups(
    records: Sequence[Record], reference: Sequence[Record], bootstrap: Bootstrap
) -> tuple[list[DifficultyGroup], bool]:
    """Group tokens by how hard they are to predict without thoughts.

    Args:
        records: of a held-out task, sorted by index.
        reference: records of the same documents. Their `base_losses` are the difficulties, so that
            every checkpoint has the same groups. If their tokens differ, the base losses of
            `records` are taken.

    Returns:
        The groups (fewer if there are fewer tokens than groups), and whether `reference` was used.
        Intervals resample documents; a token's group stays fixed.
    """
    is_referenced = have_same_tokens(records, reference)
    difficulties = _concatenated(reference if is_referenced else records, "base_losses")
    documents = np.repeat(np.arange(len(records)), [len(r["base_losses"]) for r in records])
    base, mixed = (_concatenated(records, name) for name in ("base_losses", "mixed_losses"))
    numbers = group_numbers(difficulties)
    num_documents = int(documents.max()) + 1

    def group(number: int) -> DifficultyGroup:
        is_in = numbers == number
        # Documents without a token of this group are resampled as well.
        base_sums, mixed_sums, counts = (
            np.bincount(documents[is_in], values[is_in], num_documents).astype(np.float64)
            for values in (base, mixed, np.ones_like(base))
        )
        return DifficultyGroup(
            number=number,
            num_tokens=int(is_in.sum()),
            difficulty_low=float(difficulties[is_in].min()),
            difficulty_high=float(difficulties[is_in].max()),
            loss_base=bootstrap.ratio(base_sums, counts),
            loss_mixed=bootstrap.ratio(mixed_sums, counts),
            gain=bootstrap.ratio(base_sums - mixed_sums, counts),
        )

    return [group(number) for number in np.unique(numbers).tolist()], is_referenced


def group_numbers(difficulties: Floats) -> NDArray[np.int64]:
    """The group of each token, from 1. Sizes differ by at most one; ties go by position.

    Args:
        difficulties: `[tokens]`.
    """
    ranks = np.empty(len(difficulties), dtype=np.int64)
    ranks[np.argsort(difficulties, kind="stable")] = np.arange(len(difficulties))
    numbers: NDArray[np.int64] = ranks * NUM_GROUPS // max(len(difficulties), 1) + 1
    return numbers


def _sums(records: Sequence[Record]) -> Floats:
    """Base losses, mixed losses, mixing weights and tokens of each document: `[documents, 4]`."""
    rows = [
        [sum(record[name]) for name in _FLOATS] + [len(record["base_losses"])] for record in records
    ]
    return np.array(rows, dtype=np.float64)


def _shortest(values: NDArray[np.float32]) -> list[float]:
    """Floats that round to these float32 values, with the fewest digits: halves the JSON."""
    return [float(str(value)) for value in values]


def _concatenated(records: Sequence[Record], name: str) -> Floats:
    """One list of every record, end to end: `[tokens]`."""
    return np.concatenate([np.asarray(record[name], dtype=np.float64) for record in records])
