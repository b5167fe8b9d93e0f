"""Which web pages may use the API from a browser (CORS)."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from qstar_server.http.errors import ApiError
from qstar_server.http.middleware import REQUEST_ID_HEADER


class AllowedPagesMiddleware(CORSMiddleware):
    """Starlette's middleware with the settings of this API, and with its error envelope."""

    def __init__(self, app: ASGIApp, *, allow_origins: Sequence[str]) -> None:
        """
        Args:
            allow_origins: see `ServerConfig.allow_origins`.
        """
        super().__init__(
            app,
            allow_origins=allow_origins,
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=("*",),
            expose_headers=(REQUEST_ID_HEADER, "retry-after", "x-should-retry"),
            # A page of the web may use a server in the local network only if the operator allows
            # the page, which is the case here.
            allow_private_network=True,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a preflight: a 400 for a page, method or network that is not allowed."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        headers = {
            name: value
            for name, value in response.headers.items()
            if name not in ("content-type", "content-length")
        }
        message = bytes(response.body).decode()
        return ApiError(response.status_code, f"{message}.", headers=headers).response()
