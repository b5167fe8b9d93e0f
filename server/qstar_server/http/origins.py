"""Origins of web pages, as browsers send them in the `Origin` header."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

ANY = "*"
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def parse_origins(texts: Iterable[str]) -> tuple[str, ...]:
    """Each origin once, in the form in which browsers send it.

    Args:
        texts: origins; a text may hold several, separated by commas.

    Raises:
        ValueError: a text is no origin.
    """
    each = [part.strip() for text in texts for part in text.split(",")]
    return tuple(dict.fromkeys(_parse(origin) for origin in each if origin))


def _parse(text: str) -> str:
    """Lower case, without a slash at the end and without the scheme's own port.

    `null` is the origin of local files.
    """
    if text in (ANY, "null"):
        return text
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise _no_origin(text) from None
    name = url.hostname or ""
    has_more = url.path not in ("", "/") or url.query or url.fragment or "@" in url.netloc
    if not url.scheme or not _HOST.fullmatch(name) or has_more:
        raise _no_origin(text)
    host = f"[{name}]" if ":" in name else name
    own = port is None or port == _DEFAULT_PORTS.get(url.scheme)
    return f"{url.scheme}://{host}" + ("" if own else f":{port}")


def _no_origin(text: str) -> ValueError:
    return ValueError(
        f"{text!r} is not an origin; give scheme://host or scheme://host:port, for example "
        "http://localhost:3000, or * for all"
    )
