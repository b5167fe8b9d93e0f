"""The token ids of a source that is tokenised once.

They are in an Arrow file that `datasets` caches and maps into memory. It holds documents; windows
are cut when they are read, so one file serves every length and packing.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qstar_train.config import SourceConfig
from qstar_train.data.encoding import PlainEncoder
from qstar_train.data.sources import explained, missing_text, open_source, progress_bars

BATCH_DOCUMENTS = 256
"""Tokenised at once; less than a gigabyte even at a megabyte per document."""

_VERSION = 1
"""Increase it when the code below changes its result, so that old caches are not used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenisedText:
    """The documents of a source, one after the other."""

    tokens: pa.ChunkedArray
    """int32, mapped into memory."""
    lengths: NDArray[np.int64]
    """`[num_documents]`, tokens in each; 0 for an empty document."""


def tokenised(config: SourceConfig, encoder: PlainEncoder) -> TokenisedText:
    """Tokenise all documents of a source, or find the result of an earlier time.

    Raises:
        ConfigError: see `open_source`; or a document has no text, or encodes to an excluded id.
    """

    def encode(table: pa.Table, rows: list[int]) -> pa.Table:
        column = table.column(config.text_field)
        if column.null_count:
            raise missing_text(config, rows[column.to_pylist().index(None)], None)
        encoded = encoder.encode(column.to_pylist(), where=config.path)
        return pa.table({"ids": pa.array(encoded, type=pa.list_(pa.int32()))})

    dataset = open_source(config)
    key = f"{_VERSION} {dataset._fingerprint} {encoder.fingerprint}"
    with explained(config), progress_bars():
        mapped: Any = dataset.with_format("arrow").map(
            encode,
            with_indices=True,
            batched=True,
            batch_size=BATCH_DOCUMENTS,
            remove_columns=dataset.column_names,
            # `datasets` would hash the function and its tokenizer, whose hash is not stable.
            new_fingerprint=hashlib.sha256(key.encode()).hexdigest()[:32],
            desc=f"Tokenising {config.path}",
        )
    column = mapped.data.column("ids")
    lengths = [np.empty(0, np.int64), *(each.value_lengths().to_numpy() for each in column.chunks)]
    return TokenisedText(
        tokens=pa.chunked_array([chunk.flatten() for chunk in column.chunks], type=pa.int32()),
        lengths=np.concatenate(lengths),
    )
