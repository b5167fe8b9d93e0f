"""What is measured with: a task has units, and turns each into one record."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Protocol

from qstar_eval.bootstrap import Bootstrap, Estimate
from qstar_eval.scoring import Thinking
from qstar_eval.subject import Subject

Record = dict[str, Any]
"""JSON; every record has its unit's "index"."""


def digest_of(content: Any) -> str:
    """Of anything that JSON can hold: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


class Task(Protocol):
    """Units numbered from 0; measuring one does not depend on which others come with it."""

    name: str
    """Unique in a run; a file name."""
    num_units: int
    digest: str
    """Of what the units are made of, by `digest_of`: a file may change under its name."""
    batch_size: int
    """Most units of one `measure`."""

    def supports(self, thinking: Thinking) -> bool:
        """Whether this way of thinking can be measured; it is left out of the run otherwise."""
        ...

    def measure(self, subject: Subject, indices: Sequence[int]) -> list[Record]:
        """One record for each index, in order."""
        ...

    def summarise(self, records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Estimate]:
        """Named figures of all units' records, sorted by index."""
        ...

    def compare(
        self, records: Sequence[Record], others: Sequence[Record], bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        """Figures of the first minus those of the second, paired by unit; both sorted by index.

        Empty where they cannot be compared.
        """
        ...
