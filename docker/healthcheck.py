"""Exit status 0 if the server in this container is ready, else 1, with the reason on stderr.

The server must listen on the port that `QSTAR_PORT` names. Standard library only: it runs every few
seconds and must start fast.
"""

import os
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 4


def main() -> None:
    """Ask the server, without a proxy that the environment may name."""
    url = f"http://127.0.0.1:{os.environ.get('QSTAR_PORT', '8000')}/health"
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=TIMEOUT_S)
    except OSError as error:  # URLError and HTTPError are OSErrors too
        body = error.read(500).decode() if isinstance(error, urllib.error.HTTPError) else ""
        sys.exit(f"{url}: {error} {body}")


if __name__ == "__main__":
    main()
