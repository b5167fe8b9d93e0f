"""Files of a run: one file of records for each result, and JSON files written atomically."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qstar_eval.task import Record
from qstar_infer.errors import ConfigError


class RecordFile:
    """A jsonl file with one record per line, in the order of measuring.

    Opening it drops an incomplete last line, which an interrupted run leaves. It keeps no records
    in memory, because a sweep has gigabytes of them.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            ConfigError: a line other than the last is not a record.
        """
        self._path = path
        if path.exists():
            self._drop_incomplete_line()
        self.indices = {int(record["index"]) for record in self._read()}
        """Of the examples that have a record."""

    def records(self) -> list[Record]:
        """Read one record per example, the first written, sorted by index."""
        first: dict[int, Record] = {}
        for record in self._read():
            first.setdefault(int(record["index"]), record)
        return [first[index] for index in sorted(first)]

    def append(self, records: Sequence[Record]) -> None:
        """Write records and flush them to the operating system: a killed process keeps them."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records]
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
        self.indices |= {int(record["index"]) for record in records}

    def _drop_incomplete_line(self) -> None:
        with self._path.open("rb+") as file:
            data = file.read()
            file.truncate(data.rfind(b"\n") + 1)

    def _read(self) -> Iterator[Record]:
        if not self._path.exists():
            return
        with self._path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    record = json.loads(line)
                    int(record["index"])
                except (ValueError, KeyError, TypeError) as error:
                    raise ConfigError(
                        f"{self._path}, line {number} is not a record ({error}). Delete the file "
                        "to measure its examples again, or give another --out."
                    ) from error
                yield record


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically: a crash leaves the old file or the new one.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_suffix(".tmp")
    text = json.dumps(value, indent=2, allow_nan=False)
    temporary.write_text(f"{text}\n", encoding="utf-8")
    temporary.replace(path)
