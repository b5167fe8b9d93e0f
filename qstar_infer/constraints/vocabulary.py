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

    @property
    def twins(self) -> dict[int, int]:
        """For each token that adds the same bytes as an earlier one: that one.

        llguidance knows only the first of them.
        """
        with self._lock:
            return self._twins

    @cached_property
    def _token_bytes(self) -> list[bytes]:
        return self._token_text.token_bytes(self.end_id)

    @cached_property
    def _twins(self) -> dict[int, int]:
        first: dict[bytes, int] = {}
        pairs = ((each, first.setdefault(raw, each)) for each, raw in enumerate(self._token_bytes))
        return {each: twin for each, twin in pairs if each != twin and self._token_bytes[each]}

    @cached_property
    def _tokenizer(self) -> LLTokenizer:
        tokens = [*self._token_bytes, b"<end>"]
        wrapper = TokenizerWrapper(_Tokens(tokens, self.end_id, self._token_text))
        return LLTokenizer(wrapper, n_vocab=len(tokens), eos_token=self.end_id)


class _Tokens:
    """What `TokenizerWrapper` reads."""

    bos_token_id = None

    def __init__(self, tokens: Sequence[bytes], end_id: int, token_text: TokenText) -> None:
        self.tokens = tokens
        self.eos_token_id = end_id
        self.special_token_ids = [end_id]
        self._token_text = token_text

    def __call__(self, text: str) -> list[int]:
        return self._token_text.encode(text, add_special_tokens=False)
