"""Small tokenizers of every kind that language models use.

Those with BPE and whole words are trained on a few lines. The trainers of the others do not give
the same vocabulary twice.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizer, PreTrainedTokenizerFast

CORPUS = [
    "the cat sat on the mat, and the hat. Don't you see the cat?",
    "A man said hello to the world; hello world! The world said: naïve café.",
    "  def f(x):\n        return x + 12345\n\n\ttabs and  double  spaces  ",
    "日本の猫は the cat. кошка и пёс",
    "office fine flat 株式会社 12 34 56 7890 hello hello cats hats mats",
]
SPECIAL = ["<unk>", "<s>", "</s>"]
FALLBACK = [f"<0x{byte:02X}>" for byte in range(256)]
METASPACE = "▁"
LETTERS = sorted(set("".join(CORPUS)) - set(" \n\t"))
WORDS = ["the", "cat", "hello", "world", "and", "don", "office", "株式会社", "кошка"]


def wrapped(tokenizer: Tokenizer, **extra: Any) -> PreTrainedTokenizerFast:
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names | extra)


def with_bos(tokenizer: Tokenizer, *, eos: bool = False) -> None:
    """Put `<s>` before each text, as Llama's tokenizers do; `eos` puts `</s>` after it too."""
    tokenizer.post_processor = processors.Sequence(
        [
            *([tokenizer.post_processor] if tokenizer.post_processor else []),
            processors.TemplateProcessing(
                single="<s> $A </s>" if eos else "<s> $A",
                special_tokens=[("<s>", 1), ("</s>", 2)],
            ),
        ]
    )


def byte_level(
    *,
    add_prefix_space: bool = False,
    trim_offsets: bool = True,
    ignore_merges: bool = False,
    normalizer: normalizers.Normalizer | None = None,
    split: str | None = None,
    bos: bool = False,
) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    level = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=split is None)
    tokenizer.pre_tokenizer = level
    if split is not None:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(split), "isolated"), level]
        )
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if bos:
        with_bos(tokenizer)
    return wrapped(tokenizer)


def llama(*, prefix: bool, legacy: bool = True) -> PreTrainedTokenizerFast:
    """SentencePiece BPE with byte fallback: Llama 2, and without a prefix Gemma."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(
        prepend_scheme="first" if prefix else "never", split=True
    )
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=[*SPECIAL, *FALLBACK], show_progress=False
    )
    tokenizer.train_from_iterator([line for line in CORPUS if "日" not in line], trainer)
    trained = _state(tokenizer)["model"]
    tokenizer = Tokenizer(
        models.BPE(
            vocab=trained["vocab"],
            merges=[tuple(merge) for merge in trained["merges"]],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    before = [normalizers.Prepend(METASPACE)] if prefix and legacy else []
    if legacy or not prefix:
        tokenizer.normalizer = normalizers.Sequence([*before, normalizers.Replace(" ", METASPACE)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    strip = [decoders.Strip(" ", 1, 0)] if prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(METASPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    with_bos(tokenizer)
    tokenizer.add_special_tokens(SPECIAL)
    return wrapped(tokenizer)


def unigram(
    *,
    scheme: str = "always",
    normalizer: normalizers.Normalizer | None = None,
    fallback: bool = False,
    eos: bool = False,
) -> PreTrainedTokenizerFast:
    """T5, ALBERT and XLM-R."""
    pieces = [*LETTERS, METASPACE, "\n", "\t"]
    words = ["he", "at", "ello", "12", "34", "日本", *(METASPACE + word for word in WORDS), *WORDS]
    scored = [*((piece, -9.0) for piece in pieces), *((word, -5.0) for word in words)]
    special = [*SPECIAL, *(FALLBACK if fallback else [])]
    vocab = [*((token, 0.0) for token in special), *scored]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=0, byte_fallback=fallback))
    tokenizer.add_special_tokens(SPECIAL)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    metaspace = decoders.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = (
        decoders.Sequence([decoders.ByteFallback(), metaspace]) if fallback else metaspace
    )
    if eos:
        with_bos(tokenizer, eos=True)
    return wrapped(tokenizer)


def word_piece(*, cleanup: bool = True, lowercase: bool = True) -> PreTrainedTokenizerFast:
    """BERT: drops white space and control characters, lower case, no accents."""
    tokens = [*SPECIAL, *WORDS, *LETTERS, *(f"##{each}" for each in [*LETTERS, "at", "llo", "12"])]
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="<unk>"))
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=cleanup)
    with_bos(tokenizer, eos=True)
    return wrapped(tokenizer)


def metaspace_bpe(scheme: str = "always") -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return wrapped(tokenizer)


def word_level() -> PreTrainedTokenizerFast:
    """Whole words, split at white space; no decoder."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordLevelTrainer(special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return wrapped(tokenizer)


def word_ends() -> PreTrainedTokenizerFast:
    """CLIP: `</w>` marks the end of a word."""
    merges = [("t", "h"), ("th", "e</w>"), ("c", "a"), ("ca", "t</w>"), ("h", "e")]
    tokens = [
        *SPECIAL,
        *LETTERS,
        *(f"{letter}</w>" for letter in LETTERS),
        *(f"{left}{right}" for left, right in merges),
    ]
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", end_of_word_suffix="</w>")
    )
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    return wrapped(tokenizer)


def characters(normalizer: normalizers.Normalizer | None = None) -> PreTrainedTokenizerFast:
    """One token for each character, and nothing between them."""
    letters = sorted(set("".join(CORPUS)))
    vocab = {letter: index for index, letter in enumerate([*SPECIAL, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token="<unk>"))
    tokenizer.decoder = decoders.Fuse()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    return wrapped(tokenizer)


def with_added(make: Callable[[], PreTrainedTokenizerFast]) -> PreTrainedTokenizerFast:
    """Added tokens that take white space, that stand alone, and that are normalised."""
    tokenizer = make()
    tokenizer.add_tokens(
        [
            AddedToken("<|left|>", lstrip=True, special=True),
            AddedToken("<|right|>", rstrip=True, special=True),
            AddedToken("word", single_word=True),
            AddedToken("Café", normalized=True),
            AddedToken("猫は", normalized=False),
            AddedToken("two words"),
        ]
    )
    return tokenizer


class SlowTokenizer(PreTrainedTokenizer):
    """Pure Python, as SentencePiece's own tokenizers: no offsets; decoding strips both ends."""

    def __init__(self, **kwargs: Any) -> None:
        pieces = ["the", "cat", METASPACE, f"{METASPACE}the", f"{METASPACE}cat", *"abcdehnt.,!"]
        self._vocab = {piece: index for index, piece in enumerate([*SPECIAL, *pieces, *FALLBACK])}
        self._pieces = {index: piece for piece, index in self._vocab.items()}
        super().__init__(bos_token="<s>", eos_token="</s>", unk_token="<unk>", **kwargs)

    @property
    def vocab_size(self) -> int:
        return len(self._vocab)

    def get_vocab(self) -> dict[str, int]:
        return self._vocab | self.added_tokens_encoder

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        text = METASPACE + text.replace(" ", METASPACE)
        pieces: list[str] = []
        while text:
            sizes = [size for size in range(1, 5) if text[:size] in self._vocab]
            size = max(sizes, default=1)
            piece = text[:size]
            pieces += [piece] if sizes else [f"<0x{byte:02X}>" for byte in piece.encode()]
            text = text[size:]
        return pieces

    def _convert_token_to_id(self, token: str) -> int:
        return self._vocab.get(token, 0)

    def _convert_id_to_token(self, index: int) -> str:
        return str(self._pieces[index])

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        data = b"".join(
            bytes.fromhex(token[3:5]) if token in FALLBACK else token.encode() for token in tokens
        )
        text = data.decode(errors="qstar-replace-bytes")
        return text.replace(METASPACE, " ").strip()

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        assert token_ids_1 is None
        return [1, *token_ids_0]


LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

KINDS: dict[str, Callable[[], Any]] = {
    "gpt2": byte_level,
    "gpt2-prefix-space": lambda: byte_level(add_prefix_space=True),
    "llama3": lambda: byte_level(ignore_merges=True, split=LLAMA3_SPLIT, bos=True),
    "qwen2-nfc": lambda: byte_level(trim_offsets=False, normalizer=normalizers.NFC()),
    "byte-level-nfkc": lambda: byte_level(normalizer=normalizers.NFKC()),
    "byte-level-no-split": lambda: byte_level(split=r"[^\n]+\n?"),
    "byte-level-digits": lambda: byte_level(split=r"\d"),
    "byte-level-added": lambda: with_added(byte_level),
    "llama2": lambda: llama(prefix=True),
    "llama2-not-legacy": lambda: llama(prefix=True, legacy=False),
    "gemma": lambda: llama(prefix=False),
    "llama2-added": lambda: with_added(lambda: llama(prefix=True)),
    "unigram-always": unigram,
    "unigram-first": lambda: unigram(scheme="first"),
    "unigram-never": lambda: unigram(scheme="never"),
    "t5": lambda: unigram(normalizer=normalizers.Nmt(), eos=True),
    "unigram-nfkc-fallback": lambda: unigram(normalizer=normalizers.NFKC(), fallback=True),
    "albert": lambda: unigram(
        normalizer=normalizers.Sequence(
            [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
        )
    ),
    "bert": word_piece,
    "bert-cased": lambda: word_piece(lowercase=False),
    "bert-no-cleanup": lambda: word_piece(cleanup=False),
    "metaspace-bpe": metaspace_bpe,
    "metaspace-bpe-never": lambda: metaspace_bpe("never"),
    "word-level": word_level,
    "clip": word_ends,
    "characters": characters,
    "characters-nfc": lambda: characters(normalizers.NFC()),
    "slow": SlowTokenizer,
}


@cache
def tokenizer_of(kind: str) -> Any:
    return KINDS[kind]()


def _state(tokenizer: Tokenizer) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(tokenizer.to_str())
    return state
