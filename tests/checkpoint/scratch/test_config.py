"""Errors in the config of a model from scratch say what is wrong, and with which value."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from qstar_infer.checkpoint.scratch.config import parse_scratch_config, read_scratch_config
from qstar_infer.errors import ConfigError

from .values import TOKENS, values


def test_a_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(values(seed=..., llama__initializer_range=...)))
    config = read_scratch_config(path)
    assert config.vocabulary.tokens == tuple(TOKENS)
    assert config.vocabulary.chat_template is None
    assert (config.llama.hidden_size, config.llama.num_layers) == (32, 2)
    assert (config.seed, config.llama.tied, config.llama.initializer_range) == (0, False, 0.02)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no vocabulary": ({"vocabulary": ...}, "vocabulary is missing"),
    "unknown section": ({"gpt2": {}}, "gpt2 is no setting"),
    "unknown key": ({"llama__hidden": 3}, "llama.hidden is no setting"),
    "a number for a token": (
        {"vocabulary__tokens": ["<eos>", 5]},
        r"vocabulary.tokens.1 = 5 must be text; put it in quotation marks",
    ),
    "null for a token": ({"vocabulary__tokens": [None]}, "vocabulary.tokens.0 = None must be text"),
    "an empty token": ({"vocabulary__tokens": [""]}, "vocabulary.tokens.0 = ''"),
    "one string of tokens": ({"vocabulary__tokens": "abc"}, "vocabulary.tokens = 'abc'"),
    "a token twice": ({"vocabulary__tokens": [*TOKENS, "5"]}, "tokens has '5' more than once"),
    "no end": ({"vocabulary__eos_token": "<end>"}, "eos_token = '<end>' is not among the tokens"),
    "no unknown": ({"vocabulary__unk_token": "-"}, "unk_token = '-' is not among the tokens"),
    "one token for both": ({"vocabulary__unk_token": "<eos>"}, "are both '<eos>'"),
    "a truth for a number": ({"llama__num_layers": True}, "llama.num_layers = True"),
    "text for a number": ({"llama__num_layers": "2"}, "llama.num_layers = '2'"),
    "no layers": ({"llama__num_layers": 0}, "llama.num_layers = 0: should be greater"),
    "negative seed": ({"seed": -1}, "seed = -1"),
    "no spread": ({"llama__initializer_range": 0}, "llama.initializer_range = 0"),
    "not a number": ({"llama__initializer_range": float("nan")}, "initializer_range = nan"),
    "heads that do not fit": ({"llama__num_heads": 5}, r"no multiple of 2 \* num_heads = 10"),
    "odd heads": ({"llama__num_heads": 32}, r"hidden_size = 32 is no multiple of 2 \* num_heads"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_refused_by_name(name: str) -> None:
    changes, message = WRONG[name]
    with pytest.raises(ConfigError, match=message) as caught:
        parse_scratch_config(values(**changes), where="model.yaml")
    assert str(caught.value).startswith("model.yaml describes no model: ")


def test_all_problems_are_named_at_once() -> None:
    wrong = values(llama__hidden_size=0, vocabulary__pattern=...)
    with pytest.raises(ConfigError, match=r"vocabulary.pattern is missing; llama.hidden_size = 0"):
        parse_scratch_config(wrong, where="model.yaml")


@pytest.mark.parametrize("content", [None, 3, "text", ["vocabulary"]])
def test_what_is_no_mapping_is_refused(content: Any) -> None:
    with pytest.raises(ConfigError, match="must hold `key: value` lines"):
        parse_scratch_config(content, where="model.yaml")


@pytest.mark.parametrize("content", [b"a: [1", b"a: 2026-13-45", b"\xff\xfe\xfd", b"[" * 10_000])
def test_what_is_no_yaml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"model\.yaml (is not YAML|cannot be read)"):
        read_scratch_config(path)
    with pytest.raises(ConfigError, match=r"absent\.yaml cannot be read"):
        read_scratch_config(tmp_path / "absent.yaml")
