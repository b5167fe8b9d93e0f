"""Hosts: which ones only this machine can reach, and how URLs and Host headers name them."""

import ipaddress
import re
from collections.abc import Iterable

ANY = "*"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
"""How a URL names this machine."""
_NAME = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can connect to a server that listens on `host`.

    Args:
        host: an IP address, without brackets, or a name.
    """
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if address.version == 6 else None
    return (address if mapped is None else mapped).is_loopback


def url_host(host: str) -> str:
    """How a URL names the address that a server listens on.

    IPv6 addresses have brackets. A server that listens on all addresses of this machine is reached
    at the loopback address.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    if address.version == 4:
        return str(address)
    return f"[{str(address).replace('%', '%25')}]"  # RFC 6874: the zone's percent sign


def parse_hosts(texts: Iterable[str]) -> tuple[str, ...]:
    """Each host name once, in lower case.

    Args:
        texts: names; a text may hold several, separated by commas.

    Raises:
        ValueError: a text is no host name.
    """
    each = [part.strip().lower() for text in texts for part in text.split(",")]
    for host in each:
        if host and host != ANY and not _NAME.fullmatch(host):
            raise ValueError(
                f"{host[:100]!r} is not a host name; give a name or an address without scheme and "
                "port, for example models.lan or [fd00::1], or * for all"
            )
    return tuple(dict.fromkeys(host for host in each if host))
