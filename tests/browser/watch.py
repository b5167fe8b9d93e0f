"""Remembers what a page did that no page of ours may do."""

import re
from collections.abc import Sequence

from playwright.sync_api import BrowserContext, ConsoleMessage, Request

ALLOWED_SCHEMES = ("data:", "blob:")


class Watch:
    """Console errors, uncaught exceptions and requests to other hosts, in every page of a context.

    Chromium reports what a Content-Security-Policy stopped as a console error.

    Attributes:
        expected: patterns of console errors that a test provokes, such as that of a 401.
        expected_hosts: begins of other addresses that a test itself asks for.
    """

    def __init__(self, context: BrowserContext, url: str) -> None:
        """
        Args:
            context: where the pages will be opened.
            url: base URL of the only server that they may ask.
        """
        self.expected: list[str] = []
        self.expected_hosts: list[str] = []
        self._url = url
        self._errors: list[str] = []
        self._foreign: list[str] = []
        context.on("console", self._on_console)
        context.on("weberror", lambda found: self._errors.append(str(found.error)))
        context.on("request", self._on_request)

    @property
    def errors(self) -> Sequence[str]:
        """What was reported and not expected, in order."""
        return [each for each in self._errors if not self._is_expected(each)]

    def assert_clean(self) -> None:
        """Fails with all that was seen."""
        assert not self._foreign, "requests to other hosts"
        assert not self.errors, "errors in the console"

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._errors.append(f"{message.type}: {message.text}")

    def _on_request(self, request: Request) -> None:
        allowed = (f"{self._url}/", *ALLOWED_SCHEMES, *self.expected_hosts)
        if not request.url.startswith(allowed):
            self._foreign.append(request.url)

    def _is_expected(self, text: str) -> bool:
        return any(re.search(pattern, text) for pattern in self.expected)
