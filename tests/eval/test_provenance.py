"""The directory of a run: one process at a time, and no records of other settings or data."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from qstar_eval import provenance
from qstar_eval.checkpoints import Checkpoint
from qstar_eval.config import EvalConfig
from qstar_eval.provenance import check_provenance, locked
from qstar_eval.runner import make_tasks
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
    config = EvalConfig.model_validate(sets | changes)
    check_provenance(out, config, checkpoints=CHECKPOINTS, tasks=make_tasks(config))


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


def test_an_answer_set_goes_on_with_other_batches_but_not_with_other_fields(
    sets: dict[str, Any], tmp_path: Path
) -> None:
    write(tmp_path / "own.jsonl", [{"prompt": "1+1=", "answer": "2", "also": "3"}])
    own = {"name": "own", "path": str(tmp_path / "own.jsonl")}
    claim(tmp_path / "out", sets | {"answers": [own]})
    claim(tmp_path / "out", sets | {"answers": [own | {"batch_size": 2}]})
    with pytest.raises(ConfigError, match="'own-answer': answer_field was 'answer' and is 'also'"):
        claim(tmp_path / "out", sets | {"answers": [own | {"answer_field": "also"}]})


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


def test_other_examples_are_refused_by_the_setting_that_chose_them(
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
    with pytest.raises(ConfigError, match=r"'news': its content has changed\. .*another name"):
        claim(out, sets)
    claim(out, sets, texts=[news | {"name": "new-news"}, tales])


def test_the_same_examples_continue_however_they_are_found(
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
        ({"thinking": "everywhere"}, "thinking was None and is 'everywhere'"),
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
    with pytest.raises(ConfigError, match="not from an evaluation, or from an older version"):
        claim(tmp_path, sets)
    (tmp_path / "settings.json").write_text('{"learning_rate": 1}')
    with pytest.raises(ConfigError, match="not from an evaluation"):
        claim(tmp_path, sets)


HOLD = """
import sys, time
from pathlib import Path
from qstar_eval.provenance import locked
with locked(Path(sys.argv[1])):
    print("claimed", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    """Two on one directory wrote every record twice, or crashed on each other's files."""
    out = tmp_path / "new" / "out"
    command = [sys.executable, "-c", HOLD, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        with pytest.raises(ConfigError, match="another evaluation is running in it"), locked(out):
            pytest.fail("claimed twice")
        process.send_signal(signal.SIGKILL)
    (out / "settings.tmp").write_text("{")
    with locked(out):
        pass
    with locked(out):
        pass


def test_a_foreign_directory_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not from an evaluation"), locked(tmp_path):
        pytest.fail("claimed")
    with pytest.raises(ConfigError, match="is a file"), locked(tmp_path / "thesis.txt"):
        pytest.fail("claimed")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_without_locks_a_run_goes_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "fcntl", None)
    with locked(tmp_path), locked(tmp_path):
        pass
