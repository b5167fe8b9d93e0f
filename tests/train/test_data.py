"""Text to windows: exact, deterministic by (seed, index), and closed to special tokens."""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
import torch
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]
from pyarrow import parquet

from qstar_infer.errors import ConfigError
from qstar_train.config import SourceConfig
from qstar_train.data.encoding import MAX_BATCH_CHARACTERS, PlainEncoder
from qstar_train.data.sources import documents, explained, open_source
from qstar_train.data.windows import Window, WindowStream, draw_sources

from ..parity.toy import END_ID, EOS, START_ID, byte_tokenizer

MakeFile = Callable[..., str]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def make_file(tmp_path: Path) -> MakeFile:
    """Writes rows as jsonl and gives the path."""

    def make(*rows: Any, name: str = "a.jsonl", field: str = "text") -> str:
        lines = [row if isinstance(row, dict) else {field: row} for row in rows]
        path = tmp_path / name
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return str(path)

    return make


def texts(count: int) -> list[str]:
    return [f"document {number} " + "xyz" * (number % 7) for number in range(count)]


def make_stream(*sources: SourceConfig, window: int = 8, seed: int = 0) -> WindowStream:
    return WindowStream(
        sources, byte_tokenizer(), window=window, seed=seed, excluded_ids=[START_ID, END_ID]
    )


def take(stream: WindowStream, count: int, start: int = 0) -> list[Window]:
    return list(islice(stream.windows(start), count))


def ids(windows: Iterator[Window] | list[Window]) -> list[tuple[int, ...]]:
    return [tuple(window.token_ids.tolist()) for window in windows]


def joined(documents: list[str]) -> list[int]:
    """What packing must give, written the plain way."""
    tokenizer = byte_tokenizer()
    return [
        token
        for text in documents
        if text
        for token in [*tokenizer(text, add_special_tokens=False).input_ids, EOS]
    ]


def cut(tokens: list[int], window: int) -> list[tuple[int, ...]]:
    return [
        tuple(tokens[start : start + window])
        for start in range(0, len(tokens) - window + 1, window)
    ]


@pytest.mark.parametrize("streaming", [False, True])
def test_windows_are_the_joined_documents_cut(make_file: MakeFile, streaming: bool) -> None:
    content = [*texts(600), "", "last, after an empty one"]  # more than one batch
    source = SourceConfig(path=make_file(*content), streaming=streaming)
    expected = cut(joined(content), 8)
    windows = take(make_stream(source), len(expected))
    assert [window.index for window in windows] == list(range(len(expected)))
    assert all(window.token_ids.dtype == torch.int64 for window in windows)
    assert sorted(ids(windows)) == sorted(expected)
    assert (ids(windows) == expected) == streaming


@pytest.mark.parametrize("streaming", [False, True])
def test_every_epoch_has_every_window(make_file: MakeFile, streaming: bool) -> None:
    source = SourceConfig(path=make_file(*texts(50)), streaming=streaming)
    size = len(joined(texts(50))) // 8
    first, second = np.split(np.array(ids(take(make_stream(source), 2 * size))), 2)
    assert sorted(map(tuple, first)) == sorted(map(tuple, second))
    assert np.array_equal(first, second) == streaming


@pytest.mark.parametrize("start", [1, 5, 33, 150])
def test_a_resumed_stream_goes_on_as_if_never_stopped(make_file: MakeFile, start: int) -> None:
    sources = [
        SourceConfig(path=make_file(*texts(9), name="a.jsonl"), weight=2.0),
        SourceConfig(path=make_file(*texts(11), name="b.jsonl"), streaming=True),
    ]
    whole = take(make_stream(*sources), start + 60)
    resumed = take(make_stream(*sources), 60, start)
    assert [window.index for window in resumed] == list(range(start, start + 60))
    assert [w.source for w in resumed] == [w.source for w in whole[start:]]
    assert ids(resumed) == ids(whole[start:])


def test_a_seed_decides_order_and_sources(make_file: MakeFile) -> None:
    sources = [SourceConfig(path=make_file(*texts(30), name=f"{n}.jsonl")) for n in "ab"]
    one, same, other = (take(make_stream(*sources, seed=seed), 40) for seed in (1, 1, 2))
    assert ids(one) == ids(same)
    assert ids(one) != ids(other)
    assert [w.source for w in one] != [w.source for w in other]


def test_sources_are_drawn_by_weight_in_every_stretch() -> None:
    weights = [1.0, 5.0, 0.5, 3.5]
    whole = draw_sources(weights, 0, 100_000, seed=3)
    np.testing.assert_array_equal(whole[500:700], draw_sources(weights, 500, 700, seed=3))
    for start in (0, 777, 90_000):
        shares = np.bincount(whole[start : start + 1000], minlength=4) / 1000
        # Independent draws would scatter by 0.016.
        np.testing.assert_allclose(shares, np.array(weights) / 10, atol=0.005)


def test_sources_far_into_a_run_are_exact() -> None:
    start = 10**15
    drawn = draw_sources([1.0, 1.0], start, start + 10, seed=0)
    assert drawn.tolist() == draw_sources([1.0, 1.0], start - 3, start + 10, seed=0)[3:].tolist()
    assert set(drawn.tolist()) == {0, 1}


def test_text_cannot_smuggle_special_tokens_in(make_file: MakeFile) -> None:
    text = "a<eos>b<|startthought|>c<|endthought|>"
    source = SourceConfig(path=make_file(text))
    (window,) = take(make_stream(source, window=len(text) + 1), 1)
    tokens = window.token_ids.tolist()
    assert tokens[-1] == EOS
    assert max(tokens[:-1]) < 256
    assert byte_tokenizer().decode(tokens[:-1]) == text


def test_the_given_tokenizer_is_not_changed() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.enable_truncation(3)
    before = tokenizer.backend_tokenizer.to_str()
    encoder = PlainEncoder(tokenizer, [START_ID])
    assert [len(part) for part in encoder.encode(["<eos>", "", "abcdef"], where="x")] == [6, 0, 7]
    assert tokenizer.backend_tokenizer.to_str() == before
    assert not tokenizer.backend_tokenizer.encode_special_tokens
    assert tokenizer("<eos>").input_ids == [EOS]


def test_delimiters_not_marked_special_are_plain_text_too() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["[think]"])
    think = tokenizer.convert_tokens_to_ids("[think]")
    assert isinstance(think, int)
    assert PlainEncoder(tokenizer).encode(["[think]"], where="x")[0].tolist() == [think, EOS]
    assert len(PlainEncoder(tokenizer, [think]).encode(["[think]"], where="x")[0]) == 8


@pytest.mark.parametrize("streaming", [False, True])
def test_an_excluded_token_is_refused(make_file: MakeFile, streaming: bool) -> None:
    path = make_file(*texts(3), "a ~ b")
    tilde = byte_tokenizer()("~").input_ids
    source = SourceConfig(path=path, streaming=streaming)
    with pytest.raises(
        ConfigError, match=rf"a\.jsonl contains text that encodes to token {tilde[0]}"
    ):
        next(
            WindowStream([source], byte_tokenizer(), window=4, seed=0, excluded_ids=tilde).windows()
        )


def test_without_an_end_of_sequence_documents_touch(make_file: MakeFile) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = None
    source = SourceConfig(path=make_file("abc", "def"))
    (window,) = islice(WindowStream([source], tokenizer, window=6, seed=0).windows(), 1)
    assert tokenizer.decode(window.token_ids) == "abcdef"


@pytest.mark.parametrize("streaming", [False, True])
def test_too_little_text(make_file: MakeFile, streaming: bool) -> None:
    source = SourceConfig(path=make_file("abc"), streaming=streaming)
    with pytest.raises(ConfigError, match=r"a\.jsonl has 4 tokens, fewer than one window of 8"):
        next(make_stream(source).windows())


def test_one_very_long_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is encoded in pieces: tokenizers take time with the square of a text's length."""
    path = tmp_path / "book.txt"
    path.write_text("All happy families are alike. \n" * 33_000, encoding="utf-8")
    lengths: list[int] = []
    encode = PlainEncoder._encode_each

    def spy(encoder: PlainEncoder, texts: Iterable[str]) -> Iterator[Any]:
        given = list(texts)
        lengths.extend(map(len, given))
        return encode(encoder, given)

    monkeypatch.setattr(PlainEncoder, "_encode_each", spy)
    windows = take(make_stream(SourceConfig(path=str(path)), window=1000), 1024)
    assert len(set(ids(windows))) > 1
    assert max(lengths) <= MAX_BATCH_CHARACTERS
    assert sum(lengths) < 2 * path.stat().st_size


def test_a_changed_file_is_read_again(make_file: MakeFile) -> None:
    source = SourceConfig(path=make_file("a" * 16))
    before = ids(take(make_stream(source), 1))
    make_file("b" * 16)
    assert ids(take(make_stream(source), 1)) != before


def test_tokenised_once(make_file: MakeFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cached source serves another window length and seed; not another tokenizer."""
    source = SourceConfig(path=make_file(*texts(20)))
    make_stream(source)
    monkeypatch.setattr(PlainEncoder, "encode", lambda *_, **__: pytest.fail("tokenised again"))
    assert take(make_stream(source, window=5, seed=9), 1)
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(pytest.fail.Exception):
        WindowStream([source], tokenizer, window=5, seed=9)


@pytest.mark.parametrize("streaming", [False, True])
def test_another_text_is_another_digest(make_file: MakeFile, streaming: bool) -> None:
    """A stream had none, so that a resumed run took changed text without a word."""
    sources = [
        SourceConfig(path=make_file(*texts(5), name=name), streaming=streaming)
        for name in ("a.jsonl", "b.jsonl")
    ]
    before = make_stream(*sources).digests()
    assert make_stream(*sources).digests() == before
    assert set(before) == {"data.sources.0", "data.sources.1"}
    make_file(*texts(4), "document 9 " + "xyz" * 4, name="b.jsonl")  # of the same length
    after = make_stream(*sources).digests()
    assert after["data.sources.0"] == before["data.sources.0"]
    assert after["data.sources.1"] != before["data.sources.1"]


def test_a_stream_of_the_hub_has_no_digest() -> None:
    assert make_stream(SourceConfig(path="owner/absent", streaming=True)).digests() == {}


# Sources


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.json", '[{"text": "a"}, {"text": "b"}]', ["a", "b"]),
        ("a.jsonl", '{"text": "a", "n": 1}\n{"n": 2, "text": "b"}\n', ["a", "b"]),
        ("a.txt", "one\ndocument\n", ["one\ndocument\n"]),
    ],
)
def test_local_kinds(
    tmp_path: Path, name: str, content: str, expected: list[str], streaming: bool
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with gzip.open(tmp_path / f"{name}.gz", "wt", encoding="utf-8") as file:
        file.write(content)
    for path in (name, f"{name}.gz"):
        source = SourceConfig(path=str(tmp_path / path), streaming=streaming)
        assert list(documents(source)) == expected


@pytest.mark.parametrize("streaming", [False, True])
def test_parquet_and_other_fields(tmp_path: Path, streaming: bool) -> None:
    path = str(tmp_path / "a.parquet")
    datasets.Dataset.from_dict({"body": ["x", "y", "z"], "n": [1, 2, 3]}).to_parquet(path)
    source = SourceConfig(path=path, text_field="body", max_documents=2, streaming=streaming)
    assert list(documents(source)) == ["x", "y"]
    assert open_source(source).column_names == ["body"]


@pytest.mark.parametrize("streaming", [False, True])
def test_names_that_look_like_patterns(tmp_path: Path, streaming: bool) -> None:
    """`datasets` found no file of that name, and asked to "pass features"."""
    directory = tmp_path / "[ab]"
    directory.mkdir()
    for name in ("a[1].txt", "b*.txt"):
        (directory / name).write_text(name, encoding="utf-8")
    for path, expected in (
        (directory / "a[1].txt", ["a[1].txt"]),
        (directory, ["a[1].txt", "b*.txt"]),
        (tmp_path / "*" / "b*", ["b*.txt"]),
    ):
        assert list(documents(SourceConfig(path=str(path), streaming=streaming))) == expected


@pytest.mark.parametrize("streaming", [False, True])
def test_parquet_without_rows(tmp_path: Path, streaming: bool) -> None:
    """Such a file, alone or among others, ended in "BatchSize must be greater than 0, got 0"."""
    for name, rows in (("a", []), ("b", ["x"])):
        table = pa.table({"text": pa.array(rows, pa.string())})
        parquet.write_table(table, tmp_path / f"{name}.parquet")
    alone = SourceConfig(path=str(tmp_path / "a.parquet"), streaming=streaming)
    with pytest.raises(ConfigError, match=r"a\.parquet holds no documents"):
        list(documents(alone))
    assert list(documents(SourceConfig(path=str(tmp_path), streaming=streaming))) == ["x"]


@pytest.mark.parametrize("streaming", [False, True])
def test_files_that_differ_beside_their_text(
    make_file: MakeFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    """A field more, or of another type, in one of the files: "column names don't match"."""
    make_file({"text": "a"}, name="1.jsonl")
    make_file({"text": "b", "n": 1}, {"text": "c", "n": 2}, name="2.jsonl")
    make_file(name="3.jsonl")
    make_file({"n": "x", "text": "d"}, name="4.jsonl")
    source = SourceConfig(path=str(tmp_path / "*.jsonl"), streaming=streaming)
    assert list(documents(source)) == ["a", "b", "c", "d"]
    assert list(documents(source.model_copy(update={"max_documents": 2}))) == ["a", "b"]
    before = ids(take(make_stream(source, window=2), 4))
    assert sorted(before) == cut(joined(["a", "b", "c", "d"]), 2)
    with monkeypatch.context() as patch:
        if not streaming:
            patch.setattr(PlainEncoder, "encode", lambda *_, **__: pytest.fail("tokenised again"))
        assert ids(take(make_stream(source, window=2), 4)) == before
    make_file({"text": "e"}, name="1.jsonl")
    assert list(documents(source)) == ["e", "b", "c", "d"]
    assert ids(take(make_stream(source, window=2), 4)) != before
    make_file({"body": "a"}, name="4.jsonl")
    with pytest.raises(ConfigError, match=r"4\.jsonl has no field 'text'; .* can be one of body"):
        list(documents(source))


def test_a_part_of_files_that_differ_is_refused(make_file: MakeFile, tmp_path: Path) -> None:
    make_file({"text": "a"}, name="1.jsonl")
    make_file({"text": "b", "n": 1}, name="2.jsonl")
    with pytest.raises(ConfigError, match="column names don't match"):
        open_source(SourceConfig(path=str(tmp_path / "*.jsonl"), split="train[:1]"))


def test_directory_and_glob_in_order_of_names(make_file: MakeFile, tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl"):
        make_file(name, name=name)
    (tmp_path / "README.md").write_text("not text to train on", encoding="utf-8")
    for path in (tmp_path, tmp_path / "*.jsonl"):
        assert list(documents(SourceConfig(path=str(path)))) == ["a.jsonl", "b.jsonl"]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([], {}, "holds no documents"),
        (["a"], {"text_field": "body"}, "no field 'body'; text_field can be one of text"),
        ([{"text": 3}], {}, "text of document 0 is 3, not text"),
        (["a", None], {}, "text of document 1 is None, not text"),
        (["a"], {"split": "test"}, r"cannot be read: .*test"),
        (["a"], {"config": "en"}, "config = 'en' is for the hub"),
        (["a"], {"revision": "v1"}, "revision = 'v1' is for the hub"),
    ],
)
def test_what_is_wrong_with_a_source(
    make_file: MakeFile,
    rows: list[Any],
    settings: dict[str, Any],
    message: str,
    streaming: bool,
) -> None:
    source = SourceConfig(path=make_file(*rows), streaming=streaming, **settings)
    with pytest.raises(ConfigError, match=message):
        next(make_stream(source, window=1).windows())
    with pytest.raises(ConfigError, match=message):
        list(documents(source))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"text\na\n", r"a\.csv has an unknown suffix"),
        ("a.parquet.gz", b"", "has an unknown suffix"),
        ("a.jsonl", b'{"text": "a"}\n{oops\n', "cannot be read: JSON parse error"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\\ud800"}\n', "surrogate pair"),
        ("a.txt", b"\xffa", "cannot be read: 'utf-8' codec can't decode"),
        ("a.parquet", b"not parquet", "cannot be read"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_files_that_cannot_be_read(
    tmp_path: Path, name: str, content: bytes, message: str, streaming: bool
) -> None:
    (tmp_path / name).write_bytes(content)
    source = SourceConfig(path=str(tmp_path / name), streaming=streaming)
    with pytest.raises(ConfigError, match=message):
        list(documents(source))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.txt.gz"])
def test_a_damaged_gzip_file_is_named(tmp_path: Path, name: str, streaming: bool) -> None:
    """One that was cut off ended in an EOFError, one with other bytes in it in a zlib.error."""
    rows = "".join(json.dumps({"text": f"document {number}"}) + "\n" for number in range(2000))
    whole = gzip.compress(rows.encode())
    source = SourceConfig(path=str(tmp_path / name), streaming=streaming)
    for content, message in (
        (whole[: len(whole) // 2], "Compressed file ended before"),
        (whole[:200] + b"\xff" * 60 + whole[260:], "Error -3 while decompressing"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match=rf"{name} cannot be read: {message}"):
            list(documents(source))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent.jsonl", r"absent\.jsonl does not exist\. Give"),
        ("./absent", "./absent does not exist"),
        ("absent-*", "holds no file that ends in"),
        ("owner/absent", "is not a local file and cannot be read from the hub"),
    ],
)
def test_paths_that_lead_nowhere(path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_source(SourceConfig(path=path))


def test_a_hub_that_cannot_be_reached_is_named() -> None:
    """Its client raises errors of httpx2. Those of httpx were caught, which `train` lacks."""
    with (
        pytest.raises(ConfigError, match=r"cannot be read from the hub: .*refused"),
        explained(SourceConfig(path="owner/name")),
    ):
        httpx.get("http://127.0.0.1:1", trust_env=False)  # nothing listens there


def test_a_directory_of_several_kinds(make_file: MakeFile, tmp_path: Path) -> None:
    make_file("a")
    (tmp_path / "a.txt").write_text("a", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"several kinds \(\.jsonl, \.txt\)"):
        open_source(SourceConfig(path=str(tmp_path)))


def test_nothing_is_printed(make_file: MakeFile, capfd: pytest.CaptureFixture[str]) -> None:
    take(make_stream(SourceConfig(path=make_file(*texts(30)))), 3)
    assert capfd.readouterr() == ("", "")
    assert not datasets.utils.are_progress_bars_disabled()
