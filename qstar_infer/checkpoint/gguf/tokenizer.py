"""Builds the tokenizer inside a GGUF file, by the rules that llama.cpp follows."""

from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from qstar_infer.checkpoint.gguf.file import read_gguf
from qstar_infer.checkpoint.gguf.splitting import PRE_TOKENIZERS, PreTokenizer
from qstar_infer.checkpoint.gguf.vocabulary import (
    BYTE_LEVEL,
    CONTROL,
    UNKNOWN,
    USER_DEFINED,
    Vocabulary,
)
from qstar_infer.checkpoint.reading import third_party
from qstar_infer.errors import CheckpointError

_SPACE = "\u2581"
"""How sentencepiece writes a space."""
_ROLES = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}


def load_gguf_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer inside a GGUF file. Other files in its directory are ignored.

    Raises:
        CheckpointError: the file is damaged, or its tokenizer cannot be followed exactly.
    """
    vocabulary = read_gguf(path).vocabulary
    if vocabulary is None:
        raise CheckpointError(
            f"{path} has no vocabulary: its tokenizer is in the files that were written beside it. "
            "Give the directory that holds them all."
        )
    return build_tokenizer(vocabulary, path)


def build_tokenizer(vocabulary: Vocabulary, path: Path) -> PreTrainedTokenizerBase:
    """A tokenizer that gives the ids that llama.cpp gives.

    Args:
        vocabulary: of the file.
        path: the file, for messages.

    Raises:
        CheckpointError: the tokens and merges do not belong together.
    """
    with third_party(f"The tokenizer in {path}", "Fetch its files again."):
        by_bytes = vocabulary.model == BYTE_LEVEL
        tokenizer = _byte_level(vocabulary) if by_bytes else _sentencepiece(vocabulary)
        _add_whole_tokens(tokenizer, vocabulary)
        tokenizer.post_processor = _frame(vocabulary)
        roles = {
            role: vocabulary.tokens[vocabulary.special_ids[kind]]
            for kind, role in _ROLES.items()
            if kind in vocabulary.special_ids
        }
        return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=tokenizer,
            chat_template=vocabulary.chat_template,
            clean_up_tokenization_spaces=False,
            **roles,
        )


def splitter(splitting: PreTokenizer) -> pre_tokenizers.PreTokenizer:
    """Splits text in one of the ways of llama.cpp, and writes it as bytes."""
    splits = [pre_tokenizers.Split(Regex(each), "isolated") for each in splitting.patterns]
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([*splits, as_bytes])


def _byte_level(vocabulary: Vocabulary) -> Tokenizer:
    splitting = PRE_TOKENIZERS[vocabulary.pre]
    model = BPE(
        vocab=_ids(vocabulary),
        merges=vocabulary.merges,
        ignore_merges=splitting.ignores_merges,
    )
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = splitter(splitting)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentencepiece(vocabulary: Vocabulary) -> Tokenizer:
    unknown = vocabulary.special_ids.get("unknown")
    model = BPE(
        vocab=_ids(vocabulary),
        merges=_merges_by_score(vocabulary),
        unk_token=None if unknown is None else vocabulary.tokens[unknown],
        fuse_unk=True,
        byte_fallback=True,
    )
    tokenizer = Tokenizer(model)
    as_signs = normalizers.Replace(" ", _SPACE)
    steps = [normalizers.Prepend(_SPACE)] if vocabulary.add_space_prefix else []
    tokenizer.normalizer = normalizers.Sequence([*steps, as_signs])
    strip = [decoders.Strip(" ", 1, 0)] if vocabulary.add_space_prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    return tokenizer


def _ids(vocabulary: Vocabulary) -> dict[str, int]:
    return {token: token_id for token_id, token in enumerate(vocabulary.tokens)}


def _merges_by_score(vocabulary: Vocabulary) -> list[tuple[str, str]]:
    """Every pair of tokens that makes a token; the one whose token has the best score first."""
    ids, found = _ids(vocabulary), []
    for token_id, token in enumerate(vocabulary.tokens):
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in ids and right in ids:
                found.append((-vocabulary.scores[token_id], ids[left], ids[right], left, right))
    return [(left, right) for *_, left, right in sorted(found)]


def _add_whole_tokens(tokenizer: Tokenizer, vocabulary: Vocabulary) -> None:
    """Tokens that are found in the text before anything else, the longest first."""
    pairs = list(zip(vocabulary.tokens, vocabulary.types, strict=False))
    hidden = [token for token, kind in pairs if kind in (CONTROL, UNKNOWN)]
    shown = [token for token, kind in pairs if kind == USER_DEFINED]
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in hidden]
    )
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in shown])


def _frame(vocabulary: Vocabulary) -> TemplateProcessing:
    """What is put around a text: BOS, EOS, both or neither."""
    ends = (("bos", vocabulary.add_bos), ("eos", vocabulary.add_eos))
    ids = {kind: vocabulary.special_ids[kind] for kind, adds in ends if adds}
    names = {kind: vocabulary.tokens[token_id] for kind, token_id in ids.items()}
    before, after = ([f"{names[kind]}:0"] if kind in names else [] for kind in ("bos", "eos"))
    return TemplateProcessing(
        single=[*before, "$A:0", *after],
        special_tokens=[(names[kind], ids[kind]) for kind in names],
    )
