"""API keys: read from settings, kept only as hashes, compared in constant time."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

_SHOWN_CHARS = 8


@dataclass(frozen=True, slots=True, repr=False)
class KeyRing:
    """The keys that a server accepts. It cannot tell them, only recognise them."""

    digests: frozenset[bytes] = frozenset()
    """SHA-256 of each key."""

    @classmethod
    def of(cls, keys: Iterable[str]) -> "KeyRing":
        """
        Raises:
            ValueError: a key is empty, or cannot be sent in a header. The message does not show it.
        """
        return cls(frozenset(sha256(_checked(key)).digest() for key in keys))

    def name_of(self, key: bytes) -> str | None:
        """The first characters of the key's hash, which name its owner; None for an unknown key.

        Takes the same time whichever key matches, and whether one does.
        """
        given = sha256(key).digest()
        matches = [hmac.compare_digest(given, digest) for digest in self.digests]
        return given.hex()[:_SHOWN_CHARS] if any(matches) else None

    def __or__(self, other: "KeyRing") -> "KeyRing":
        return KeyRing(self.digests | other.digests)

    def __len__(self) -> int:
        return len(self.digests)

    def __repr__(self) -> str:
        return f"<{len(self)} hidden>"


def read_key_file(path: Path) -> KeyRing:
    """The keys of a file: one in each line; empty lines and lines that begin with # are skipped.

    Raises:
        ValueError: the file cannot be read, has no key, or a line is not a key.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the key file {path} cannot be read: {error}") from None
    stripped = [line.strip() for line in lines]
    keys = KeyRing.of(line for line in stripped if line and not line.startswith("#"))
    if not keys:
        raise ValueError(f"the key file {path} has no key; write one in each line")
    return keys


def _checked(key: str) -> bytes:
    if not key:
        raise ValueError("an API key is empty")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError("an API key may hold only printable ASCII characters, and no spaces")
    return key.encode("ascii")
