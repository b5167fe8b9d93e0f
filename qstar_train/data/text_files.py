"""Text files are UTF-8, with or without a byte order mark."""

import gzip
from pathlib import Path

from qstar_infer.errors import ConfigError

BYTE_ORDER_MARK = "\ufeff"
"""Some editors put it at the start of a file. It is no text there; anywhere else it is."""

_OTHER_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",  # before UTF-16, whose mark it begins with
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def read_text_file(path: Path) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        ConfigError: the file cannot be read or is not UTF-8.
    """
    try:
        check_encoding(path)
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Give a file in UTF-8.") from error


def check_encoding(path: Path) -> None:
    """Check by its first bytes that a file, gzipped or not, is not in UTF-16 or UTF-32.

    Raises:
        ConfigError: it is.
        OSError, EOFError, zlib.error: it cannot be read.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        head = file.read(8)
    encoding = _encoding_of(head)
    if encoding is not None:
        raise ConfigError(
            f"{path} is in {encoding}; text is read as UTF-8. Convert it, for example with "
            f"`iconv -f {encoding} -t UTF-8`."
        )


def _encoding_of(head: bytes) -> str | None:
    """UTF-16 or UTF-32, by a byte order mark or by zeros; None for anything else.

    Without a mark, every other byte of such a text is zero as far as it is ASCII.
    """
    for mark, encoding in _OTHER_MARKS.items():
        if head.startswith(mark):
            return encoding
    if len(head) < 4 or len(head) % 2:
        return None
    low, high = head[0::2], head[1::2]
    if any(low) == any(high):
        return None
    used = low if any(low) else high
    return "UTF-16" if all(used) else "UTF-32"
