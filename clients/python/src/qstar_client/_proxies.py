"""Which requests may go through a proxy of the environment: none to this machine.

httpx reads HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, also for loopback addresses. A proxy
elsewhere would get the prompt and the key of a request to this machine, and could not deliver it.
"""

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from qstar_client._errors import QStarClientError


def is_this_machine(base_url: str) -> bool:
    """Whether the URL names this machine: localhost, a loopback or an unspecified address."""
    host = httpx.URL(base_url).host.rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return address is not None and (address.is_loopback or address.is_unspecified)


@contextmanager
def environment_errors() -> Iterator[None]:
    """Convert what httpx raises when the environment's proxy or certificates cannot be used.

    The messages do not quote the proxy's URL, which may contain a password.
    """
    try:
        yield
    except ImportError as error:
        raise QStarClientError(
            "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names a SOCKS proxy, which needs the package "
            "socksio: run `pip install 'httpx[socks]'`, unset the variable, or list the server's "
            "host in NO_PROXY"
        ) from error
    except (ValueError, httpx.InvalidURL):
        raise QStarClientError(
            "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY is not the URL of a proxy; it must look like "
            "http://host:port"
        ) from None
    except OSError as error:
        raise QStarClientError(
            f"cannot load the certificates that SSL_CERT_FILE or SSL_CERT_DIR names: {error}"
        ) from error


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        # Short forms such as 127.1, which the system resolves too.
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
