"""The setting `tokenizer`: for checkpoints without one, and in place of a checkpoint's own."""

from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from qstar_infer.checkpoint import load_model, source
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import CheckpointError
from qstar_infer.llm import LLM

from .makers.common import DELIMITERS, END_ID, START_ID, make_tokenizer
from .makers.mixer_head import make_mixer_head
from .makers.reference import make_reference

JsonEditor = Callable[..., None]


def test_delimiters_are_added_in_the_order_of_the_code(
    tmp_path: Path, base_tokenizer: Path
) -> None:
    made = make_reference(tmp_path / "stage", max_thoughts=25, has_tokenizer=False)
    with pytest.raises(CheckpointError, match="no tokenizer .*--tokenizer or QSTAR_TOKENIZER"):
        load_model(made.directory)
    for tokenizer in (base_tokenizer, str(base_tokenizer)):
        model = load_model(made.directory, tokenizer=tokenizer)
        assert model.tokenizer.convert_tokens_to_ids(DELIMITERS) == [START_ID, END_ID]
        assert model.delimiter_ids == (START_ID, END_ID)
        assert model.tokenizer.decode([72, START_ID, END_ID], skip_special_tokens=True) == "i"


def test_a_tokenizer_that_has_them_is_used_as_it_is(tmp_path: Path) -> None:
    made = make_reference(tmp_path / "stage", max_thoughts=25, has_tokenizer=False)
    tokenizer = make_tokenizer(with_delimiters=False)
    tokenizer.add_special_tokens({"additional_special_tokens": DELIMITERS[::-1]})
    tokenizer.save_pretrained(tmp_path / "other")
    model = load_model(made.directory, tokenizer=tmp_path / "other")
    assert model.delimiter_ids == (END_ID, START_ID)
    assert len(model.tokenizer) == 259


def test_delimiters_without_rows_are_refused(tmp_path: Path, base_tokenizer: Path) -> None:
    made = make_reference(tmp_path / "x", max_thoughts=25, has_tokenizer=False, num_rows=258)
    with pytest.raises(CheckpointError, match="ids .*but the embedding has only 258 rows"):
        load_model(made.directory, tokenizer=base_tokenizer)


@pytest.mark.parametrize("has_end", [True, False])
def test_ids_of_the_config_that_the_tokenizer_contradicts_are_refused(
    tmp_path: Path, base_tokenizer: Path, edit_json: JsonEditor, has_end: bool
) -> None:
    made = make_mixer_head(tmp_path / "mixer")
    path = made.directory / "config.json"
    if not has_end:
        edit_json(path, end_thought_token=...)
    assert load_model(made.directory, tokenizer=base_tokenizer).num_thought_tokens == 3
    edit_json(path, start_thought_token=START_ID - 1)
    message = r"the id 256 for <\|startthought\|>, but the tokenizer has it as 257"
    with pytest.raises(CheckpointError, match=message):
        load_model(made.directory, tokenizer=base_tokenizer)


def test_ids_of_the_config_are_enough(tmp_path: Path, edit_json: JsonEditor) -> None:
    made = make_mixer_head(tmp_path / "mixer")
    make_tokenizer(with_delimiters=False).save_pretrained(made.directory)
    assert load_model(made.directory).delimiter_ids == (START_ID, END_ID)
    edit_json(made.directory / "config.json", start_thought_token=72)
    with pytest.raises(CheckpointError, match="72 and 258, but the tokenizer has other tokens"):
        load_model(made.directory)


def test_a_checkpoints_own_tokenizer_without_delimiters_is_refused(tmp_path: Path) -> None:
    made = make_reference(tmp_path / "stage", max_thoughts=13, has_tokenizer=False)
    make_tokenizer(with_delimiters=False).save_pretrained(made.directory)
    with pytest.raises(CheckpointError, match=r"lacks <\|startthought\|> .* --tokenizer"):
        load_model(made.directory)
    assert load_model(made.directory, tokenizer=made.directory).num_thought_tokens == 5


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        ("", "tokenizer='' is neither a directory nor a hub id"),
        ("no/such/directory", "is neither a directory nor a hub id"),
        ("nobody/nothing-here", "nobody/nothing-here.*HF_HUB_OFFLINE"),
        ("stage/config.json", "is neither a directory nor a hub id"),
        ("stage", "has no tokenizer"),
        ("code", "has the key 'auto_map'"),
    ],
)
def test_tokenizers_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make_tokenizer(with_delimiters=False).save_pretrained("code")
    Path("code/config.json").write_text('{"auto_map": {}}', encoding="utf-8")
    make_reference(Path("stage"), max_thoughts=13, has_tokenizer=False)
    with pytest.raises(CheckpointError, match=message):
        load_model("stage", tokenizer=tokenizer)


def test_a_tokenizer_from_a_hub_is_fetched_without_weights(
    tmp_path: Path, base_tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def snapshot_download(repository: str, **arguments: Any) -> str:
        asked.update(arguments, repository=repository)
        return str(base_tokenizer)

    monkeypatch.setattr(source, "snapshot_download", snapshot_download)
    made = make_reference(tmp_path / "stage", max_thoughts=25, has_tokenizer=False)
    model = load_model(made.directory, tokenizer="mistralai/Mistral-7B-v0.1")
    assert model.delimiter_ids == (START_ID, END_ID)
    assert asked["repository"] == "mistralai/Mistral-7B-v0.1"
    patterns = asked["allow_patterns"]
    assert not any(fnmatch("model-00001-of-00002.safetensors", pattern) for pattern in patterns)
    for name in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "merges.txt"):
        assert any(fnmatch(name, pattern) for pattern in patterns)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT reads it
@pytest.mark.parametrize("kind", ["plain", "native", "adapted"])
def test_it_replaces_the_tokenizer_of_any_checkpoint(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    make_plain, plain_tokenizer = (
        request.getfixturevalue(name) for name in ("make_plain", "plain_tokenizer")
    )
    directory = make_plain() if kind == "plain" else request.getfixturevalue(kind)
    plain_tokenizer.save_pretrained(tmp_path / "other")
    (tmp_path / "other" / "chat_template.jinja").write_text("{{ 'other' }}", encoding="utf-8")
    model = load_model(directory, tokenizer=tmp_path / "other")
    assert model.tokenizer.chat_template == "{{ 'other' }}"
    assert load_model(directory).tokenizer.chat_template is None


def test_every_way_to_give_it(
    tmp_path: Path, base_tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_reference(tmp_path / "stage", max_thoughts=25, has_tokenizer=False)
    monkeypatch.setenv("QSTAR_TOKENIZER", str(base_tokenizer))
    monkeypatch.setenv("QSTAR_IGNORE_THOUGHT_PARTS", "true")
    args = EngineArgs.from_environment(model=str(made.directory), num_blocks=40)
    assert not LLM.from_engine_args(args).model.can_think
    llm = LLM(made.directory, tokenizer=base_tokenizer, num_blocks=40)
    assert llm.model.num_thought_tokens == 13
