"""What a GGUF file says about its tokenizer, with llama.cpp's defaults for what it leaves out."""

from dataclasses import dataclass

from qstar_infer.checkpoint.gguf.keys import KeyReader
from qstar_infer.checkpoint.gguf.splitting import DEFAULT_PRE, PRE_TOKENIZERS

NO_VOCABULARY = "none"
"""Value of `tokenizer.ggml.model` in a file of ours whose tokenizer is only in files beside it."""
BYTE_LEVEL, SENTENCEPIECE = "gpt2", "llama"
"""Values of `tokenizer.ggml.model` that can be loaded: byte-level BPE, and BPE by scores."""
CONTROL, USER_DEFINED, UNKNOWN = 3, 4, 2
"""Token types that are matched as a whole in the text."""

_PREFIX = "tokenizer.ggml."
_DEFAULT_IDS = {
    SENTENCEPIECE: {"bos": 1, "eos": 2, "unknown": 0},
    BYTE_LEVEL: {},
}
_UNUSED = {
    "a text is completed as it is": (
        "tokenizer.chat_template",
        "tokenizer.chat_templates",
        "tokenizer.ggml.cls_token_id",
        "tokenizer.ggml.mask_token_id",
        "tokenizer.ggml.seperator_token_id",
        "tokenizer.ggml.prefix_token_id",
        "tokenizer.ggml.suffix_token_id",
        "tokenizer.ggml.middle_token_id",
        "tokenizer.ggml.token_type_count",
    ),
    "the other keys describe the same tokenizer": ("tokenizer.huggingface.json",),
}
_UNUSED_BEGINNINGS = ("tokenizer.chat_template.", "tokenizer.ggml.fim_")
_NEUTRAL = {
    "add_sep_token": False,
    "remove_extra_whitespaces": False,
    "normalizer.lowercase": False,
    "normalizer.strip_accents": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """A tokenizer, as the keys of a file describe it."""

    model: str
    """BYTE_LEVEL or SENTENCEPIECE."""
    pre: str
    """How text is split before merging; a key of PRE_TOKENIZERS. Only for BYTE_LEVEL."""
    tokens: list[str]
    types: list[int]
    """One for each token; empty if the file has none."""
    scores: list[float]
    """One for each token; the higher, the earlier it is merged. Only for SENTENCEPIECE."""
    merges: list[tuple[str, str]]
    """In their order of precedence. Only for BYTE_LEVEL."""
    special_ids: dict[str, int]
    """"bos", "eos", "unknown", "padding" -> id, for those that exist."""
    end_ids: list[int]
    """Ids that end a text: of the end of sequence first, then of a turn and of a message."""
    add_bos: bool
    add_eos: bool
    add_space_prefix: bool
    """Whether text begins with a space that was not written. Only for SENTENCEPIECE."""
    chat_template: str | None


def read_vocabulary(keys: KeyReader, *, num_rows: int, num_vectors: int = 0) -> Vocabulary:
    """The tokenizer of a file.

    Args:
        keys: of the file.
        num_rows: rows of the embedding.
        num_vectors: number of the file's last tokens that stand for thought vectors; left out.

    Raises:
        CheckpointError: a key is missing, or cannot be honoured.
    """
    model = keys.get(f"{_PREFIX}model", str)
    if model not in (BYTE_LEVEL, SENTENCEPIECE):
        keys.refuse(
            f"{_PREFIX}model",
            f"is {model!r}, and only {BYTE_LEVEL!r} and {SENTENCEPIECE!r} can be read",
        )
    tokens = _tokens(keys, num_rows, num_vectors)
    pre = _pre(keys, model)
    splitting = PRE_TOKENIZERS[pre]
    special = _special_ids(keys, model, len(tokens))
    add_bos = keys.get_or(f"{_PREFIX}add_bos_token", model == SENTENCEPIECE or splitting.adds_bos)
    add_eos = keys.get_or(f"{_PREFIX}add_eos_token", False)
    for adds, kind in ((add_bos, "bos"), (add_eos, "eos")):
        if adds and kind not in special:
            keys.report_missing(f"{_PREFIX}{kind}_token_id")
    _sort_out_the_rest(keys)
    return Vocabulary(
        model=model,
        pre=pre,
        tokens=tokens,
        types=_one_for_each(keys, "token_type", int, len(tokens) + num_vectors)[: len(tokens)],
        scores=_scores(keys, model, len(tokens)),
        merges=_merges(keys, model, tokens),
        special_ids=special,
        end_ids=_end_ids(keys, special, len(tokens)),
        add_bos=add_bos,
        add_eos=add_eos,
        add_space_prefix=keys.get_or(f"{_PREFIX}add_space_prefix", True),
        chat_template=keys.get_optional("tokenizer.chat_template", str),
    )


def _tokens(keys: KeyReader, num_rows: int, num_vectors: int) -> list[str]:
    name = f"{_PREFIX}tokens"
    tokens = keys.get_list(name, str)
    if tokens is None:
        keys.report_missing(name)
    tokens = tokens[: len(tokens) - num_vectors]
    if len(set(tokens)) != len(tokens):
        keys.refuse(name, "lists a token twice")
    if len(tokens) > num_rows:
        keys.refuse(name, f"lists {len(tokens)} tokens for an embedding of {num_rows} rows")
    return tokens


def _pre(keys: KeyReader, model: str) -> str:
    pre = keys.get_or(f"{_PREFIX}pre", DEFAULT_PRE)
    if model == SENTENCEPIECE:
        return DEFAULT_PRE  # llama.cpp ignores the key then, too
    if pre not in PRE_TOKENIZERS:
        keys.refuse(
            f"{_PREFIX}pre",
            f"is {pre!r}, a way to split text that cannot be followed exactly; those of "
            f"{', '.join(PRE_TOKENIZERS)} can",
        )
    return pre


def _special_ids(keys: KeyReader, model: str, count: int) -> dict[str, int]:
    ids: dict[str, int] = {}
    for kind in ("bos", "eos", "unknown", "padding"):
        default = _DEFAULT_IDS[model].get(kind)
        token_id = _token_id(keys, f"{kind}_token_id", count, default=default)
        if token_id is not None and token_id < count:
            ids[kind] = token_id
    return ids


def _end_ids(keys: KeyReader, special: dict[str, int], count: int) -> list[int]:
    named = [_token_id(keys, f"{kind}_token_id", count, default=None) for kind in ("eot", "eom")]
    ids = [special.get("eos"), *named]
    return list(dict.fromkeys(each for each in ids if each is not None))


def _token_id(keys: KeyReader, name: str, count: int, *, default: int | None) -> int | None:
    token_id = keys.get_optional(f"{_PREFIX}{name}", int)
    if token_id is not None and not 0 <= token_id < count:
        keys.refuse(f"{_PREFIX}{name}", f"is {token_id}, but there are {count} tokens")
    return default if token_id is None else token_id


def _one_for_each(keys: KeyReader, name: str, kind: type[int], count: int) -> list[int]:
    values = keys.get_list(f"{_PREFIX}{name}", kind) or []
    if values and len(values) != count:
        keys.refuse(f"{_PREFIX}{name}", f"lists {len(values)} values for {count} tokens")
    return values


def _scores(keys: KeyReader, model: str, count: int) -> list[float]:
    name = f"{_PREFIX}scores"
    scores = keys.get_list(name, float)
    if model == BYTE_LEVEL:
        return []
    if scores is None:
        keys.report_missing(name)
    if len(scores) != count:
        keys.refuse(name, f"lists {len(scores)} values for {count} tokens")
    return scores


def _merges(keys: KeyReader, model: str, tokens: list[str]) -> list[tuple[str, str]]:
    name = f"{_PREFIX}merges"
    merges = keys.get_list(name, str)
    if model == SENTENCEPIECE:
        return []
    if merges is None:
        keys.report_missing(name)
    known, pairs = set(tokens), []
    for merge in merges:
        left, _, right = merge.partition(" ")
        if not {left, right, left + right} <= known:
            keys.refuse(name, f"has {merge!r}, which is not a pair of tokens that make a token")
        pairs.append((left, right))
    return pairs


def _sort_out_the_rest(keys: KeyReader) -> None:
    """Keys that change no ids of a text."""
    inventory, held = keys.inventory, keys.header.keys
    for why, names in _UNUSED.items():
        inventory.without_effect |= {name: why for name in names if name in held}
    for name in held:
        if name.startswith(_UNUSED_BEGINNINGS):
            inventory.without_effect[name] = "a text is completed as it is"
    for name, value in _NEUTRAL.items():
        if held.get(f"{_PREFIX}{name}") is value:
            inventory.without_effect[f"{_PREFIX}{name}"] = "its value changes nothing"
