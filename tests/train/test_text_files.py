"""A byte order mark at the start of a file is no text, and UTF-16 is refused by name."""

import codecs
import gzip
import json
from itertools import islice
from pathlib import Path

import datasets
import pytest

from qstar_eval.config import QuestionSetConfig
from qstar_eval.questions import read_questions
from qstar_infer.errors import ConfigError
from qstar_train.config import SourceConfig
from qstar_train.data.sources import documents
from qstar_train.data.text_files import read_text_file
from qstar_train.data.windows import WindowStream

from ..parity.toy import byte_tokenizer

MARK = codecs.BOM_UTF8
INNER = "in the \ufeff middle"
"""The mark's character elsewhere in a text is a zero-width space."""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def rows(*texts: str) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


FILES = {
    ".txt": INNER.encode(),
    ".jsonl": rows(INNER, "\ufeffstart of a field"),
    ".json": json.dumps([{"text": INNER}, {"text": "two"}]).encode(),
}


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("suffix", FILES)
def test_a_marked_file_has_the_text_of_the_same_file_without(
    tmp_path: Path, suffix: str, zipped: bool, streaming: bool
) -> None:
    """Each of two files has a mark, so a reader that knows the first file only is found out."""
    found = []
    for mark in (MARK, b""):
        directory = tmp_path / ("marked" if mark else "plain")
        directory.mkdir()
        for name in ("a", "b"):
            content = mark + FILES[suffix]
            path = directory / (name + suffix + (".gz" if zipped else ""))
            path.write_bytes(gzip.compress(content) if zipped else content)
        source = SourceConfig(path=str(directory), streaming=streaming)
        found.append(list(documents(source)))
    assert found[0] == found[1]
    assert found[0][0] == INNER


def test_the_first_token_of_a_marked_file_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(MARK + b"eight ch")
    source = SourceConfig(path=str(tmp_path / "a.txt"), streaming=True)
    stream = WindowStream([source], byte_tokenizer(), window=8, seed=0)
    (window,) = islice(stream.windows(0), 1)
    assert byte_tokenizer().decode(window.token_ids) == "eight ch"


def test_questions_may_have_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_bytes(MARK + b'{"question": "How many?", "answer": "2"}\n')
    (question,) = read_questions(QuestionSetConfig(name="q", kind="gsm8k", path=str(path)))
    assert question.question == "How many?"


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("suffix", FILES)
@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("utf-32", "UTF-32"),
        ("utf-32-le", "UTF-32"),
        ("utf-32-be", "UTF-32"),
    ],
)
def test_other_encodings_are_refused_by_name(
    tmp_path: Path, suffix: str, zipped: bool, encoding: str, name: str
) -> None:
    """Without a mark, such a text is valid UTF-8, with a zero between all characters."""
    content = FILES[suffix].decode().encode(encoding)
    path = tmp_path / ("a" + suffix + (".gz" if zipped else ""))
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(ConfigError, match=f"a{suffix}.* is in {name}; text is read as UTF-8"):
        list(documents(SourceConfig(path=str(path))))


def test_questions_in_utf_16_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_bytes('{"question": "How many?", "answer": "2"}\n'.encode("utf-16"))
    with pytest.raises(ConfigError, match=r"q\.jsonl is in UTF-16"):
        read_questions(QuestionSetConfig(name="q", kind="gsm8k", path=str(path)))


@pytest.mark.parametrize(
    "content", [b"", b"a", b"\x00", b"\x00\x00\x00\x00", b"a\x00b", b"ab\x00c"]
)
def test_short_files_and_single_zeros_are_text(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert read_text_file(tmp_path / "a") == content.decode()
