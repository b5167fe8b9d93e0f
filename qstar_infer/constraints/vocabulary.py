"""A model's vocabulary for llguidance: the bytes that each token adds to a text."""

from collections.abc import Sequence
from functools import cached_property
from threading import Lock

from llguidance import LLTokenizer, TokenizerWrapper

from qstar_infer.text.token_text import TokenText


class GrammarVocabulary:
    """Thread-safe. Made when it is first needed: there may be 250,000 tokens.

    llguidance ends a text with a token of its own, `end_id`, behind the model's: a model may have
    several tokens that end a text, or none.
    """

    def __init__(self, token_text: TokenText, *, vocab_size: int) -> None:
        self.end_id = vocab_size
        self._token_text = token_text
        self._lock = Lock()

    @property
    def tokenizer(self) -> LLTokenizer:
        with self._lock:
            return self._tokenizer

    @cached_property
    def _tokenizer(self) -> LLTokenizer:
        tokens = [*self._token_text.token_bytes(self.end_id), b"<end>"]
        return LLTokenizer(
            TokenizerWrapper(_Tokens(tokens, self.end_id)),
            n_vocab=len(tokens),
            eos_token=self.end_id,
        )


class _Tokens:
    """What `TokenizerWrapper` reads."""

    bos_token_id = None

    def __init__(self, tokens: Sequence[bytes], end_id: int) -> None:
        self.tokens = tokens
        self.eos_token_id = end_id
        self.special_token_ids = [end_id]
        self._ids = {raw: token_id for token_id, raw in enumerate(tokens[:end_id]) if raw}
        self._longest = max(map(len, self._ids), default=0)

    def __call__(self, text: bytes) -> list[int]:
        """Tokens with exactly the bytes of a text, as far as there are such tokens."""
        token_ids: list[int] = []
        begin = 0
        while begin < len(text):
            ends = range(min(len(text), begin + self._longest), begin, -1)
            end = next((end for end in ends if text[begin:end] in self._ids), None)
            if end is None:
                break
            token_ids.append(self._ids[text[begin:end]])
            begin = end
        return token_ids
