"""Which records may lie in one directory: each task's with its own settings and data."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from qstar_eval.checkpoints import Checkpoint
from qstar_eval.config import EvaluateSettings
from qstar_eval.guard import guard
from qstar_eval.tasks import make_tasks
from qstar_infer.errors import ConfigError

from .toys import TEXTS

CHECKPOINTS = [Checkpoint(label="toy", source="toy", fingerprint="0" * 16)]


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, Any]:
    """Two text sets and a question set, measured in every way."""
    rows = [{"question": f"{n} and {n}?", "answer": str(2 * n)} for n in range(9)]
    write(tmp_path / "sums.jsonl", rows)
    write(tmp_path / "news.jsonl", [{"text": text} for text in TEXTS])
    write(tmp_path / "tales.jsonl", [{"text": text} for text in TEXTS[:2]])
    measures = ["probability", "exact_match", "majority"]
    sums = {"name": "sums", "kind": "gsm8k", "path": str(tmp_path / "sums.jsonl")}
    return {
        "texts": [{"name": name, "path": str(tmp_path / f"{name}.jsonl")} for name in TEXT_SETS],
        "questions": [sums | {"measures": measures}],
    }


TEXT_SETS = ("news", "tales")


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def claim(out: Path, sets: dict[str, Any], **changes: Any) -> None:
    settings = EvaluateSettings.model_validate(sets | changes)
    guard(out, settings, CHECKPOINTS, make_tasks(settings))


def changed(sets: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """With other settings of the question set."""
    return sets | {"questions": [sets["questions"][0] | changes]}


def test_sets_and_measures_are_added_and_left_out_in_any_order(
    sets: dict[str, Any], tmp_path: Path
) -> None:
    """To add one, all the others had to be measured again, for hours."""
    out = tmp_path / "out"
    news, tales = sets["texts"]
    claim(out, changed(sets, measures=["probability"]), texts=[news])
    claim(out, changed(sets, measures=["exact_match", "probability"]), texts=[tales, news])
    claim(out, sets, questions=[])
    kept = json.loads((out / "settings.json").read_text())["tasks"]
    assert set(kept) == {"news", "tales", "sums-probability", "sums-exact_match"}
    with pytest.raises(ConfigError, match=r"'sums-exact_match': max_new_tokens was 384 and is 9"):
        claim(out, changed(sets, max_new_tokens=9))


def test_a_setting_that_a_measure_does_not_read_may_change(
    sets: dict[str, Any], tmp_path: Path
) -> None:
    for measures, refused in [
        (["probability"], []),
        (["exact_match"], ["max_new_tokens"]),
        (["majority"], ["num_samples", "sample_temperature", "max_new_tokens"]),
    ]:
        out = tmp_path / measures[0]
        claim(out, changed(sets, measures=measures))
        for name, value in [("num_samples", 3), ("sample_temperature", 1.5), ("max_new_tokens", 9)]:
            other = changed(sets, measures=measures, **{name: value})
            if name not in refused:
                claim(out, other)
                continue
            with pytest.raises(ConfigError, match=f"'sums-{measures[0]}': {name} was .* and is"):
                claim(out, other)


def test_other_units_are_refused_by_the_setting_that_chose_them(
    sets: dict[str, Any], tmp_path: Path
) -> None:
    """Record i would be of another document: they are in order of length."""
    out = tmp_path / "out"
    news, tales = sets["texts"]
    claim(out, sets)
    with pytest.raises(ConfigError) as caught:
        claim(out, changed(sets, max_questions=7), texts=[news | {"max_documents": 2}, tales])
    assert "'news': max_documents was 200 and is 2;" in str(caught.value)
    assert "'sums-majority': max_questions was None and is 7." in str(caught.value)
    write(Path(news["path"]), [{"text": "Another text."}])
    with pytest.raises(ConfigError, match=r"'news': its content has changed\. Bring .*other name"):
        claim(out, sets)
    claim(out, sets, texts=[news | {"name": "new-news"}, tales])


def test_the_same_units_go_on_however_they_are_found(
    sets: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    news, tales = sets["texts"]
    claim(out, sets)
    monkeypatch.chdir(tmp_path)
    texts = [news | {"path": "news.jsonl", "max_documents": 50}, tales | {"streaming": True}]
    claim(out, changed(sets, path="./sums.jsonl", max_questions=9), texts=texts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 3}, "seed was 0 and is 3"),
        ({"temperature": 0.5}, "temperature was 1.0 and is 0.5"),
        ({"dtype": "float32"}, "dtype was 'auto' and is 'float32'"),
    ],
)
def test_what_shapes_every_record_is_refused_by_name(
    sets: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    claim(tmp_path / "out", sets)
    with pytest.raises(ConfigError, match=f"records of other settings: {message}"):
        claim(tmp_path / "out", sets, **change)


def test_a_device_goes_by_its_kind(
    sets: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same one was refused by its other name."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    claim(tmp_path / "out", sets, device="auto")
    claim(tmp_path / "out", sets, device="cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="device was 'cpu' and is 'cuda'"):
        claim(tmp_path / "out", sets, device="auto")


def test_a_directory_of_an_older_version_is_named(sets: dict[str, Any], tmp_path: Path) -> None:
    old: dict[str, Any] = {"settings": sets, "checkpoints": {}, "data": {}}
    (tmp_path / "settings.json").write_text(json.dumps(old))
    with pytest.raises(ConfigError, match="records of an older version.*Give another"):
        claim(tmp_path, sets)
    (tmp_path / "settings.json").write_text('{"learning_rate": 1}')
    with pytest.raises(ConfigError, match="is not of an evaluation"):
        claim(tmp_path, sets)
