"""Chromium for the tests of the page: the system's own, without any traffic of its own."""

import os
import shutil

import pytest
from playwright.sync_api import Browser, Playwright

ARGUMENTS = (
    "--no-sandbox",  # containers have no user namespaces
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no other host exists
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
)


def executable() -> str:
    """The browser named by QSTAR_CHROMIUM, or the one of the system; without one, a skip."""
    found = os.environ.get("QSTAR_CHROMIUM") or shutil.which("chromium")
    if found is None:
        pytest.skip("needs Chromium: install the package chromium, or set QSTAR_CHROMIUM")
    return found


def launch(playwright: Playwright) -> Browser:
    """A browser without a window."""
    return playwright.chromium.launch(executable_path=executable(), args=list(ARGUMENTS))
