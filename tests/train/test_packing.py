"""Windows of whole documents: one in each, or as many neighbours as fit."""

import json
from itertools import islice
from pathlib import Path

import datasets
import pytest

from qstar_infer.errors import ConfigError
from qstar_train.config import Packing, SourceConfig
from qstar_train.data.windows import WindowStream

from ..parity.toy import byte_tokenizer

CONTENT = ["abc", "", "defgh", "i", "jk", "lmnopq", "r" * 11, "s", "t", "u"]
"""With the end of sequence 4, 0, 6, 2, 3, 7, 12, 2, 2 and 2 tokens."""
WINDOWS: dict[Packing, list[str]] = {
    "document": ["abc|", "defgh|", "i|", "jk|", "lmnopq|", "r" * 11 + "|", "s|", "t|", "u|"],
    "documents": ["abc|defgh|i|", "jk|lmnopq|", "r" * 11 + "|", "s|t|u|"],
}
"""In windows of 12; `|` is the end of sequence."""
both = pytest.mark.parametrize("packing", list(WINDOWS))
streamed_or_not = pytest.mark.parametrize("streaming", [False, True])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def make_stream(
    directory: Path, packing: Packing, *, streaming: bool, window: int = 12, seed: int = 0
) -> WindowStream:
    path = directory / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in CONTENT))
    source = SourceConfig(path=str(path), streaming=streaming)
    return WindowStream([source], byte_tokenizer(), window=window, seed=seed, packing=packing)


def read(stream: WindowStream, count: int, start: int = 0) -> list[str]:
    """The text of some windows."""
    windows = [window.token_ids.tolist() for window in islice(stream.windows(start), count)]
    return [str(byte_tokenizer().decode(ids)).replace("<eos>", "|") for ids in windows]


@both
@streamed_or_not
def test_each_epoch_has_all_documents_whole(
    tmp_path: Path, packing: Packing, streaming: bool
) -> None:
    stream = make_stream(tmp_path, packing, streaming=streaming)
    expected = WINDOWS[packing]
    first = read(stream, len(expected))
    second = read(stream, len(expected), start=len(expected))
    assert sorted(first) == sorted(second) == sorted(expected)
    if streaming:
        assert first == second == expected
    else:
        assert first != second


@both
@streamed_or_not
def test_a_resumed_stream_goes_on(tmp_path: Path, packing: Packing, streaming: bool) -> None:
    stream = make_stream(tmp_path, packing, streaming=streaming)
    assert read(stream, 9, start=7) == read(stream, 16)[7:]


@both
@streamed_or_not
def test_a_document_longer_than_a_window_is_refused_by_number(
    tmp_path: Path, packing: Packing, streaming: bool
) -> None:
    with pytest.raises(ConfigError, match=r"document 6 has 12 tokens.*data\.window = 11"):
        read(make_stream(tmp_path, packing, streaming=streaming, window=11), 1)


def test_packing_changes_the_digest_of_text_that_is_not_streamed(tmp_path: Path) -> None:
    packings: tuple[Packing, ...] = ("stream", "document", "documents")
    digests = [
        make_stream(tmp_path, packing, streaming=False).digests()["data.sources.0"]
        for packing in packings
    ]
    assert len(set(digests)) == 3
