"""Files of records: one for each example, and no damaged lines."""

import json
from pathlib import Path

import pytest

from qstar_eval.task import RecordFile
from qstar_infer.errors import ConfigError


def test_an_example_counts_once(tmp_path: Path) -> None:
    """Records that two processes had both written weighed twice in every mean."""
    path = tmp_path / "x.jsonl"
    rows = [{"index": 1, "by": "a"}, {"index": 0, "by": "a"}, {"index": 1, "by": "b"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert RecordFile(path).records() == [rows[1], rows[0]]


def test_a_spoilt_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"index": 0}\nnot json\n{"index": 1}\n')
    with pytest.raises(ConfigError, match="line 2 is not a record"):
        RecordFile(path)
