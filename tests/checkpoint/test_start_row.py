"""Fresh thought vectors never start from the row of an unknown token."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from qstar_infer.checkpoint import init_model, load_model, save_model
from qstar_infer.checkpoint.start_row import start_row, token_row
from qstar_infer.errors import CheckpointError, ConfigError

Backbone = Callable[..., PreTrainedModel]
WORDS = ["the", "a"]


def fast(backend: Tokenizer, **names: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def words(*tokens: str, unk_token: str = "<unk>", **names: str) -> PreTrainedTokenizerFast:
    """A token for each of these words and runs of punctuation; its backend knows `<unk>`."""
    vocab = {token: index for index, token in enumerate([unk_token, *WORDS, *tokens])}
    backend = Tokenizer(models.WordLevel(vocab, unk_token=unk_token))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return fast(backend, **names)


def wordpiece(*tokens: str) -> PreTrainedTokenizerFast:
    vocab = {token: index for index, token in enumerate(["[UNK]", *WORDS, *tokens])}
    backend = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return fast(backend, unk_token="[UNK]")


def unigram(*tokens: str, byte_fallback: bool = False) -> PreTrainedTokenizerFast:
    pieces = [("<unk>", 0.0), ("▁", -3.0), *((token, -1.0) for token in tokens)]
    if byte_fallback:
        pieces += [(f"<0x{byte:02X}>", -9.0) for byte in range(256)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=byte_fallback))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    return fast(backend)


def sentencepiece_bpe(*tokens: str, byte_fallback: bool = False) -> PreTrainedTokenizerFast:
    """As converted Llama tokenizers: a space is put in front of every text."""
    listed = ["<unk>", "<s>", "▁", *tokens]
    if byte_fallback:
        listed += [f"<0x{byte:02X}>" for byte in range(256)]
    vocab = {token: index for index, token in enumerate(listed)}
    backend = Tokenizer(
        models.BPE(vocab, [], unk_token="<unk>", fuse_unk=True, byte_fallback=byte_fallback)
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(Regex(" "), "▁")]
    )
    return fast(backend, unk_token="<unk>", bos_token="<s>")


def starting_with_bos() -> PreTrainedTokenizerFast:
    """Its normaliser puts the token in front of every text, without a template."""
    tokenizer = words("---", "<s>", bos_token="<s>")
    tokenizer.backend_tokenizer.normalizer = normalizers.Prepend("<s> ")
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def byte_level() -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({token: index for index, token in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    return fast(backend)


KNOWN = {
    "whole": (words("---", "-"), "---"),
    "wordpiece": (wordpiece("-"), "-"),
    "unigram": (unigram("-", "▁---"), "▁---"),
    "unigram with a bare prefix": (unigram("---"), "---"),
    "unigram by bytes": (unigram(byte_fallback=True), "<0x2D>"),
    "sentencepiece": (sentencepiece_bpe("-"), "-"),
    "sentencepiece by bytes": (sentencepiece_bpe(byte_fallback=True), "<0x2D>"),
    "prefix space in bytes": (byte_level(), "-"),
    "begin of sequence": (starting_with_bos(), "---"),
}
UNKNOWN = {
    "two dashes": (words("--", "."), "--", "--"),
    "one dash": (words("-"), "-", "-"),
    "a dash of print": (words("\u2014", "."), "\u2014", "\u2014"),
    "dots": (words("...", "."), "...", "..."),
    "a full stop": (words("."), ".", "."),
    "dots of full stops": (wordpiece("."), "...", "."),
    "sentencepiece": (sentencepiece_bpe("."), "...", "."),
    "unigram": (unigram("."), "...", "."),
}
"""For tokenizers that do not know `---`: the text that is used, and its first token."""


def rows_of(backbone: PreTrainedModel) -> Tensor:
    return backbone.get_input_embeddings().get_parameter("weight").detach()


@pytest.mark.parametrize("name", KNOWN)
def test_the_row_is_that_of_the_dashes(toy_backbone: Backbone, name: str) -> None:
    """A space in front is no part of the text, and its token came first."""
    tokenizer, token = KNOWN[name]
    backbone = toy_backbone()
    row, note = start_row(backbone, tokenizer)
    assert torch.equal(row, rows_of(backbone)[tokenizer.get_vocab()[token]])
    assert note is None


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_tokenizer_without_dashes_gives_the_next_mark_and_says_so(
    toy_backbone: Backbone, name: str
) -> None:
    tokenizer, text, token = UNKNOWN[name]
    backbone = toy_backbone()
    row, note = start_row(backbone, tokenizer)
    assert torch.equal(row, rows_of(backbone)[tokenizer.get_vocab()[token]])
    assert note is not None
    assert f"it is that of {text!r}: the tokenizer does not know '---'" in note
    assert "--start-token" in note


@pytest.mark.parametrize("names", [{}, {"unk_token": "<unk>"}])
def test_a_tokenizer_without_marks_gives_the_mean_of_its_words(
    toy_backbone: Backbone, names: dict[str, str]
) -> None:
    backbone = toy_backbone()
    row, note = start_row(backbone, words(**names))
    # The mean of two float32 numbers is exact up to the rounding of their sum.
    assert torch.allclose(row, rows_of(backbone)[[1, 2]].mean(dim=0), rtol=2**-23, atol=0)
    assert note is not None
    assert "the mean of all tokens" in note


def test_a_token_without_a_row_of_the_embedding_is_no_start(toy_backbone: Backbone) -> None:
    """A tokenizer may have more tokens than the embedding has rows."""
    backbone = toy_backbone(vocab_size=4)
    row, note = start_row(backbone, words("-", "---"))
    assert torch.equal(row, rows_of(backbone)[3])
    assert note is not None
    assert "it is that of '-'" in note
    row, _ = start_row(backbone, words("x", "---"))
    # The mean of three float32 numbers, up to the rounding of their sum.
    assert torch.allclose(row, rows_of(backbone)[1:].mean(dim=0), rtol=0, atol=2**-23)


def test_a_tokenizer_of_special_tokens_only_is_refused(toy_backbone: Backbone) -> None:
    backend = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    with pytest.raises(CheckpointError, match="no tokens but special ones"):
        start_row(toy_backbone(), fast(backend))


def test_an_architecture_that_scales_its_embedding_scales_the_start(toy_backbone: Backbone) -> None:
    backbone = toy_backbone("gemma")
    row, _ = start_row(backbone, words("---"))
    assert torch.equal(row, backbone.get_input_embeddings()(torch.tensor([3]))[0].detach())
    assert not torch.equal(row, rows_of(backbone)[3])


def test_what_was_used_is_logged_and_stays_with_the_checkpoint(
    tmp_path: Path, toy_backbone: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    toy_backbone().save_pretrained(tmp_path / "plain")
    words("-", unk_token="<unk>").save_pretrained(tmp_path / "plain")
    with caplog.at_level(logging.WARNING):
        model = init_model(tmp_path / "plain", device="cpu")
    assert "it is that of '-'" in caplog.text
    save_model(model, tmp_path / "saved")
    (note,) = json.loads((tmp_path / "saved" / "quiet_star.json").read_text())["notes"]
    assert note in caplog.text
    parts = load_model(tmp_path / "saved", device="cpu").thinking_parts
    assert torch.equal(parts.start_thought.data, rows_of(model.backbone)[3])
    assert torch.equal(parts.end_thought.data, rows_of(model.backbone)[3])


# --- named tokens -------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path, toy_backbone: Backbone) -> Path:
    """A model whose tokenizer does not know `---`. Ids: `<unk>` 0, the 1, a 2, > 3, = 4."""
    toy_backbone().save_pretrained(tmp_path / "plain")
    words(">", "=").save_pretrained(tmp_path / "plain")
    return tmp_path / "plain"


def test_vectors_start_as_the_named_tokens(saved: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        model = init_model(saved, start_token=">", end_token="=", device="cpu")
    assert "vector" not in caplog.text
    rows, parts = rows_of(model.backbone), model.thinking_parts
    assert torch.equal(parts.start_thought.data, rows[3])
    assert torch.equal(parts.end_thought.data, rows[4])
    assert model.config is not None
    assert model.config.notes == [
        "The start vector starts as the embedding of '>'.",
        "The end vector starts as the embedding of '='.",
    ]


def test_a_vector_without_a_named_token_starts_as_before(saved: Path) -> None:
    model = init_model(saved, end_token="=", device="cpu")
    without = init_model(saved, device="cpu").thinking_parts
    assert torch.equal(model.thinking_parts.start_thought, without.start_thought)
    assert torch.equal(model.thinking_parts.end_thought.data, rows_of(model.backbone)[4])


def test_a_named_token_of_a_scaled_embedding_is_scaled(
    tmp_path: Path, toy_backbone: Backbone
) -> None:
    toy_backbone("gemma").save_pretrained(tmp_path / "plain")
    words(">").save_pretrained(tmp_path / "plain")
    model = init_model(tmp_path / "plain", start_token=">", device="cpu")
    wanted = model.backbone.get_input_embeddings()(torch.tensor([3]))[0].detach()
    assert torch.equal(model.thinking_parts.start_thought.data, wanted)
    assert not torch.equal(wanted, rows_of(model.backbone)[3])


@pytest.mark.parametrize("name", ["start_token", "end_token"])
def test_an_unknown_token_is_refused_by_name(saved: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} = '->': the vocabulary has no such token"):
        init_model(
            saved,
            device="cpu",
            start_token="->" if name == "start_token" else None,
            end_token="->" if name == "end_token" else None,
        )


def test_a_named_token_without_a_row_is_refused(toy_backbone: Backbone) -> None:
    with pytest.raises(ConfigError, match="its id is 4, and the embedding has only 4 rows"):
        token_row(toy_backbone(vocab_size=4), words(">", "="), "=", setting="end_token")
