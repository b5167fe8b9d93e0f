"""The loss of held-out text, with and without thoughts."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qstar_eval import scoring
from qstar_eval.bootstrap import Bootstrap, Estimate, Floats
from qstar_eval.byte_text import with_bytes
from qstar_eval.subject import Subject
from qstar_eval.task import Record, digest_of
from qstar_eval.text_ids import encode_text
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.sampling.noise import derive_seed
from qstar_infer.text.token_text import TokenText


class HeldOutTask:
    """A unit is the beginning of one document.

    A record's lists `base_losses`, `mixed_losses` (nats), `mixing_weights`, `thought_ids` and
    `thoughts` (their text) say of entry p what predicts token p + 1 of `token_ids` and `tokens`.
    They are empty where a document is a single token for a checkpoint's tokenizer. In `tokens` and
    `thoughts` a piece of a character is its bytes, `<E2>`.
    """

    def __init__(
        self, name: str, documents: Sequence[str], *, max_tokens: int, batch_size: int
    ) -> None:
        """
        Args:
            documents: each becomes a unit, unless it holds nothing but white space.
            max_tokens: measured of each.

        Raises:
            ConfigError: no document holds text.
        """
        texts = [(index, text) for index, text in enumerate(documents) if text.strip()]
        if not texts:
            raise ConfigError(f"{name}: no document holds text. Check path, split and text_field.")
        # Rows of about the same length go together, the longest first: what does not fit into
        # memory fails at once, and what remains is never slower than it was.
        self._documents = sorted(texts, key=lambda pair: -len(pair[1]))
        self.name = name
        self.num_units = len(texts)
        self.digest = digest_of(self._documents)
        self.batch_size = batch_size
        self._max_tokens = max_tokens

    def supports(self, thinking: scoring.Thinking) -> bool:
        """True: every way can be."""
        del thinking
        return True

    def measure(self, subject: Subject, indices: Sequence[int]) -> list[Record]:
        """As `Task.measure`.

        Raises:
            CheckpointError: a loss is not finite.
        """
        rows = [self._encode(subject.model, index) for index in indices]
        scored = [place for place, row in enumerate(rows) if len(row) > 1]
        measured: list[Record] = [{} for _ in rows]
        if scored:
            scores = scoring.score_text(
                subject.model,
                *_pad([rows[place] for place in scored]),
                seeds=torch.tensor([derive_seed(subject.seed, indices[p]) for p in scored]),
                thinking=subject.thinking,
            )
            for row, place in enumerate(scored):
                measured[place] = _lists(scores, row, length=len(rows[place]) - 1)
        text = TokenText(subject.model.tokenizer)
        return [
            self._record(subject, text, *item) for item in zip(indices, rows, measured, strict=True)
        ]

    def summarise(self, records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Estimate]:
        """Losses and gain for each token (nats), and the mean mixing weight, by document.

        Raises:
            ConfigError: there is no token to predict.
        """
        base, mixed, weights, counts = _sums(records).T
        if not counts.sum() > 0:
            raise ConfigError(f"{self.name}: no document has two tokens. Give longer ones.")
        return {
            "loss_base": bootstrap.ratio(base, counts),
            "loss_mixed": bootstrap.ratio(mixed, counts),
            "gain": bootstrap.ratio(base - mixed, counts),
            "mixing_weight": bootstrap.ratio(weights, counts),
        }

    def compare(
        self, records: Sequence[Record], others: Sequence[Record], bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        """Figures of the first minus those of the second, paired by document.

        Empty where the tokens differ: losses for each token cannot be compared then.
        """
        if not have_same_tokens(records, others):
            return {}
        base, mixed, _, counts = _sums(records).T
        other_base, other_mixed, _, _ = _sums(others).T
        return {
            "loss_base": bootstrap.ratio(base - other_base, counts),
            "loss_mixed": bootstrap.ratio(mixed - other_mixed, counts),
            "gain": bootstrap.ratio((base - mixed) - (other_base - other_mixed), counts),
        }

    def _encode(self, model: QuietStarModel, index: int) -> list[int]:
        """At most `max_tokens` ids. A text cannot spell special tokens."""
        text = self._documents[index][1]
        return encode_text(model.tokenizer, text, model.delimiter_ids)[: self._max_tokens]

    def _record(
        self, subject: Subject, text: TokenText, index: int, ids: list[int], lists: Record
    ) -> Record:
        tokenizer = subject.model.tokenizer
        empty: Record = {name: [] for name in _LISTS}
        record: Record = {"index": index, "document": self._documents[index][0], "token_ids": ids}
        record["tokens"] = [with_bytes(tokenizer, [each], text.of_token(each)) for each in ids]
        record |= empty | lists
        thoughts = record["thought_ids"]
        record["thoughts"] = [with_bytes(tokenizer, each, text.of_piece(each)) for each in thoughts]
        if not all(np.isfinite(record[name]).all() for name in _LISTS[:3]):
            raise CheckpointError(
                f"{subject.label}: document {record['document']} of {self.name} has a loss that is "
                "not finite. Its weights are broken, or its dtype is too narrow: try dtype=float32."
            )
        return record


_LISTS = ("base_losses", "mixed_losses", "mixing_weights", "thought_ids")


def have_same_tokens(records: Sequence[Record], others: Sequence[Record]) -> bool:
    """Whether two lists of records are of the same token sequences."""
    return [record["token_ids"] for record in records] == [record["token_ids"] for record in others]


def _sums(records: Sequence[Record]) -> Floats:
    """Base losses, mixed losses, mixing weights and tokens of each document: `[documents, 4]`."""
    rows = [
        [sum(record[name]) for name in _LISTS[:3]] + [len(record["base_losses"])]
        for record in records
    ]
    return np.array(rows, dtype=np.float64)


def _pad(rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """Ids and attention mask, `[batch, seq]`, int64, padded on the right."""
    input_ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
    attention_mask = torch.zeros_like(input_ids)
    for place, row in enumerate(rows):
        input_ids[place, : len(row)] = torch.tensor(row)
        attention_mask[place, : len(row)] = 1
    return input_ids, attention_mask


def _lists(scores: scoring.TextScores, row: int, *, length: int) -> Record:
    """One row of a batch, without its padding."""
    return {
        "base_losses": _shortest(scores.base_losses[row, :length].numpy()),
        "mixed_losses": _shortest(scores.mixed_losses[row, :length].numpy()),
        "mixing_weights": _shortest(scores.mixing_weights[row, :length].numpy()),
        "thought_ids": scores.thought_ids[row, :length].tolist(),
    }


def _shortest(values: NDArray[np.float32]) -> list[float]:
    """Floats that round to these float32 values, with the fewest digits: half as much JSON."""
    return [float(str(value)) for value in values]
