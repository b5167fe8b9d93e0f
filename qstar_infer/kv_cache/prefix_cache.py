"""Finds blocks whose keys and values have been computed before, by the text that they hold.

The keys and values of a text's tokens depend only on the tokens up to there. So a block is named by
a hash of its tokens and of the name of the block before it. The hash is cryptographic (SHA-256):
nobody can make a text whose name is that of another text. Texts with different salts share nothing.
"""

from array import array
from collections.abc import Iterable, Sequence, Set
from hashlib import sha256
from itertools import takewhile

BlockKey = bytes


class TextKeys:
    """The keys of the full blocks of one text, which only grows."""

    __slots__ = ("_keys", "_root")

    def __init__(self, salt: str = "") -> None:
        self._root = sha256(salt.encode(errors="surrogatepass")).digest()
        self._keys: list[BlockKey] = []

    def of(self, token_ids: Sequence[int], block_size: int) -> Sequence[BlockKey]:
        """The keys of all full blocks of the text, which begins with that of the last call."""
        keys = self._keys
        for begin in range(len(keys) * block_size, len(token_ids) - block_size + 1, block_size):
            parent = keys[-1] if keys else self._root
            tokens = array("q", token_ids[begin : begin + block_size])
            keys.append(sha256(parent + tokens.tobytes()).digest())
        return keys


class PrefixCache:
    """Which block holds which text. A block has at most one key, and a key one block."""

    def __init__(self) -> None:
        self._block_of: dict[BlockKey, int] = {}
        self._key_of: dict[int, BlockKey] = {}

    def __contains__(self, block: int) -> bool:
        return block in self._key_of

    @property
    def blocks(self) -> Set[int]:
        return self._key_of.keys()

    def find(self, keys: Iterable[BlockKey]) -> list[int]:
        """The blocks of the longest cached beginning of a text with these keys."""
        return [self._block_of[key] for key in takewhile(self._block_of.__contains__, keys)]

    def add(self, block: int, key: BlockKey) -> None:
        """Note what a block holds, unless another block holds the same text already."""
        if key not in self._block_of:
            self._block_of[key] = block
            self._key_of[block] = key

    def forget(self, block: int) -> None:
        """Forget what a block holds, if anything, because it will be overwritten."""
        key = self._key_of.pop(block, None)
        if key is not None:
            del self._block_of[key]

    def check_integrity(self) -> None:
        """Assert that both directions agree."""
        assert self._block_of == {key: block for block, key in self._key_of.items()}
