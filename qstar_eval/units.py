"""Records of one task and one way of thinking, kept in a file as they come."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from qstar_eval.task import Record
from qstar_infer.errors import ConfigError


class UnitFile:
    """A jsonl file with one record a line, in the order in which they were measured.

    Opening it drops a last line that an interruption tore. Holds no records in memory: a sweep has
    gigabytes of them.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            ConfigError: a line that is not the last is no record.
        """
        self._path = path
        if path.exists():
            self._drop_torn_line()
        self.indices = {int(record["index"]) for record in self._read()}
        """Of the units that have their record."""

    def records(self) -> list[Record]:
        """Read the file: one record of each unit, the first written, sorted by index."""
        first: dict[int, Record] = {}
        for record in self._read():
            first.setdefault(int(record["index"]), record)
        return [first[index] for index in sorted(first)]

    def append(self, records: Sequence[Record]) -> None:
        """Write records through to the disk's driver, so that a killed process keeps them."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records]
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
        self.indices |= {int(record["index"]) for record in records}

    def _drop_torn_line(self) -> None:
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
                        f"{self._path}, line {number} is no record ({error}). Delete the file to "
                        "measure its units again, or give another --out."
                    ) from error
                yield record
