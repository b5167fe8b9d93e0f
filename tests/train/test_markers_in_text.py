"""A run says so when its text has no token that it should think behind."""

import json
import logging
import random
from pathlib import Path

import pytest

from qstar_train.config import Packing, SourceConfig
from qstar_train.data.windows import WindowStream
from qstar_train.trainer.train import train

from ..parity.toy import EOS, byte_tokenizer
from .trainer_toys import config_of, write_config


def write_texts(path: Path, texts: list[str]) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("packing", ["stream", "document"])
def test_ids_with_another_behind_them_are_those_of_the_windows(
    tmp_path: Path, packing: Packing
) -> None:
    """Every window of an epoch is read, one source after the other."""
    for seed in range(12):
        draw = random.Random(seed)
        texts = [
            "".join(draw.choices("abcdefgh", k=draw.randint(0, 9)))
            for _ in range(draw.randint(2, 9))
        ]
        path = write_texts(tmp_path / f"{seed}.jsonl", [*texts, "abcdefgh"])
        sources = [SourceConfig(path=path)]
        stream = WindowStream(
            sources,
            byte_tokenizer(),
            window=10 if packing == "document" else 8,
            seed=1,
            packing=packing,
        )
        windows = stream.windows()
        num_tokens = sum(map(len, texts)) + 8 + len([text for text in texts if text]) + 1
        count = len([t for t in texts if t]) + 1 if packing == "document" else num_tokens // 8
        expected = {
            int(token) for _ in range(count) for token in next(windows).token_ids[:-1].tolist()
        }
        every = list(range(EOS + 1))
        assert stream.ids_followed(every) == expected
        assert (EOS in expected) == (packing == "stream" and EOS in expected)


def test_a_stream_is_not_known_before_it_is_read(tmp_path: Path) -> None:
    path = write_texts(tmp_path / "a.jsonl", ["abcdefghij"] * 3)
    stream = WindowStream(
        [SourceConfig(path=path, streaming=True)], byte_tokenizer(), window=8, seed=0
    )
    assert stream.ids_followed([0]) is None


def test_a_marker_that_does_not_occur_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One of several in a file; all of them in a stream, whose first step has none."""
    config = write_config(tmp_path)
    path = write_texts(tmp_path / "sums.jsonl", ["1+1?2", "2+3?5"] * 8)
    for behind, streaming, expected in (
        (["?", "#"], False, "no window of the text has '#' with another"),
        (["#"], True, "No window of the first step has a token of objective.places.behind = ['#']"),
        (["?"], True, None),
    ):
        caplog.clear()
        name = f"run-{streaming}-{len(caplog.records)}-{behind[0] == '#'}"
        changes = {
            "output": str(tmp_path / name),
            "data": {
                "sources": [{"path": path, "streaming": streaming}],
                "window": 16,
                "packing": "document",
            },
            "objective": {"num_talk_tokens": 1, "places": {"behind": behind, "elsewhere": 1}},
            "num_thought_tokens": 1,
            "steps": 1,
        }
        with caplog.at_level(logging.WARNING):
            train(config_of(config, **changes))
        found = [record.getMessage() for record in caplog.records if "places" in record.message]
        assert len(found) == (expected is not None)
        assert expected is None or expected in found[0]
