"""Tokenizers of GGUF files give the ids that llama.cpp gives."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from qstar_infer.checkpoint.gguf.splitting import PRE_TOKENIZERS
from qstar_infer.checkpoint.gguf.tokenizer import load_gguf_tokenizer
from tests.checkpoint.gguf import golden, reference
from tests.checkpoint.gguf.texts import TEXTS
from tests.checkpoint.gguf.toys import write_toy
from tests.checkpoint.gguf.vocabularies import VOCABULARIES, byte_level_vocabulary

_IDS = golden.read(golden.TOKENS)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_ids_are_those_of_llama_cpp(name: str, tmp_path: Path) -> None:
    path = write_toy(tmp_path / "toy.gguf", vocabulary=VOCABULARIES[name])
    tokenizer = load_gguf_tokenizer(path)
    assert [tokenizer(text)["input_ids"] for text in TEXTS] == _IDS[name]


@pytest.mark.parametrize("name", VOCABULARIES)
def test_ids_survive_saving(name: str, tmp_path: Path) -> None:
    path = write_toy(tmp_path / "toy.gguf", vocabulary=VOCABULARIES[name])
    load_gguf_tokenizer(path).save_pretrained(tmp_path / "saved")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert [tokenizer(text)["input_ids"] for text in TEXTS] == _IDS[name]


@pytest.mark.parametrize("name", VOCABULARIES)
def test_text_comes_back(name: str, tmp_path: Path) -> None:
    path = write_toy(tmp_path / "toy.gguf", vocabulary=VOCABULARIES[name])
    tokenizer = load_gguf_tokenizer(path)
    for text in TEXTS[:6]:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == text


@pytest.mark.skipif(not reference.IS_INSTALLED, reason=reference.WHY_NOT)
@pytest.mark.parametrize("pre", PRE_TOKENIZERS)
def test_every_name_of_a_split_is_llama_cpps(pre: str, tmp_path: Path) -> None:
    path = write_toy(tmp_path / "toy.gguf", vocabulary=byte_level_vocabulary(pre))
    tokenizer = load_gguf_tokenizer(path)
    for text in TEXTS:
        assert tokenizer(text)["input_ids"] == reference.token_ids(path, text), text


def test_every_split_is_recorded() -> None:
    named = {vocabulary.get("tokenizer.ggml.pre") for vocabulary in VOCABULARIES.values()}
    recorded = {PRE_TOKENIZERS[pre] for pre in named if pre is not None}
    assert recorded == set(PRE_TOKENIZERS.values())
