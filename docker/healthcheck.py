"""Exit status 0 if the server in this container is ready, else 1, with the reason on stderr.

The server must listen on the port that `QSTAR_PORT` names. Standard library only: it runs every few
seconds and must start fast.
"""

import http.client
import os
import sys

TIMEOUT_S = 4


def main() -> None:
    """Ask the server for its health."""
    port = int(os.environ.get("QSTAR_PORT", "8000"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        response = connection.getresponse()
        if response.status != 200:
            sys.exit(f"/health on port {port}: {response.status} {response.read(500).decode()}")
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"/health on port {port}: {error!r}")


if __name__ == "__main__":
    main()
