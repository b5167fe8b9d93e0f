"""Long documents are encoded in pieces, and their token ids are those of the whole."""

import random
from collections.abc import Callable, Iterable, Iterator

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from tokenizers.models import Model
from tokenizers.normalizers import Normalizer
from tokenizers.pre_tokenizers import PreTokenizer
from tokenizers.trainers import Trainer
from transformers import PreTrainedTokenizerFast

from qstar_train.data import encoding
from qstar_train.data.encoding import PlainEncoder

LIMIT = 800
PARTS = [
    "don't ",
    "the cat sat",
    " on it, ",
    "x = 3.14\n",
    "\n\n\n",
    "    ",
    "\t",
    "\r\n",
    "é漢",
    "42",
]


def text(length: int, parts: list[str] = PARTS) -> str:
    draw = random.Random(length)
    return "".join(draw.choices(parts, k=length))[:length]


def bpe(
    pre_tokenizer: PreTokenizer | None = None, normalizer: Normalizer | None = None
) -> Callable[[], PreTrainedTokenizerFast]:
    def make() -> PreTrainedTokenizerFast:
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet)
        return trained(models.BPE(), trainer, pre_tokenizer, normalizer)

    return make


def unigram() -> PreTrainedTokenizerFast:
    trainer = trainers.UnigramTrainer(vocab_size=100, unk_token="?", special_tokens=["?"])
    return trained(models.Unigram(), trainer, None, None)


def trained(
    model: Model,
    trainer: Trainer,
    pre_tokenizer: PreTokenizer | None,
    normalizer: Normalizer | None,
) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(model)
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator([text(5000)], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="?")


@pytest.fixture
def lengths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of all texts that are given to the tokenizer."""
    seen: list[int] = []
    batches = encoding._batches

    def watched(documents: Iterable[str]) -> Iterator[list[str]]:
        for batch in batches(documents):
            seen.extend(map(len, batch))
            yield batch

    monkeypatch.setattr(encoding, "_batches", watched)
    return seen


@pytest.mark.parametrize(
    "make",
    [
        bpe(pre_tokenizers.ByteLevel(add_prefix_space=False)),
        bpe(pre_tokenizers.ByteLevel(add_prefix_space=True)),
        bpe(pre_tokenizers.Metaspace()),
        bpe(normalizer=normalizers.Replace(" ", "▁")),
    ],
    ids=["bytes", "bytes, space before", "words", "unsplit"],
)
def test_a_long_document_is_cut_without_a_change(
    make: Callable[[], PreTrainedTokenizerFast],
    lengths: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was encoded at once: 20 MB of it took 4 GB."""
    encoder = PlainEncoder(make())
    documents = [text(length) for length in (0, 5, LIMIT, LIMIT + 1, 9000, 20_000)]
    want = [ids.tolist() for ids in encoder.encode(documents, where="x")]
    monkeypatch.setattr(encoding, "MAX_BATCH_CHARACTERS", LIMIT)
    lengths.clear()
    got = [ids.tolist() for ids in encoder.encode(documents, where="x")]
    assert got == want
    assert max(lengths) <= LIMIT


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (unigram, PARTS),
        (bpe(), ["a", "b"]),
        (bpe(normalizer=normalizers.Prepend("▁")), PARTS),
    ],
    ids=["weighed as a whole", "no place", "a mark at the beginning"],
)
def test_a_document_that_cannot_be_cut_stays_whole(
    make: Callable[[], PreTrainedTokenizerFast],
    parts: list[str],
    lengths: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = PlainEncoder(make())
    document = text(3000, parts)
    want = encoder.encode([document], where="x")[0].tolist()
    monkeypatch.setattr(encoding, "MAX_BATCH_CHARACTERS", LIMIT)
    lengths.clear()
    assert encoder.encode([document], where="x")[0].tolist() == want
    assert lengths[-1] == len(document)
