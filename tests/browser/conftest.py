"""Debian's Chromium, driven by playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.browser.chromium import ARGUMENTS, VIEWPORT
from tests.lacking import lacking


@pytest.fixture
def page() -> Iterator[Page]:
    """A page that fails the test on a script error or a request to another host.

    Its browser is a test's own: while playwright runs, no fixture could run an event loop, as Dagster does.
    """
    executable = shutil.which("chromium")
    if executable is None:
        lacking("chromium", "chromium is not on the PATH", "On Debian: apt-get install chromium")
    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        opened = browser.new_page(viewport=VIEWPORT)
        opened.on("pageerror", lambda error: problems.append(f"script error: {error}"))
        opened.on("request", lambda request: problems.append(request.url) if _is_foreign(request.url) else None)
        yield opened
        browser.close()
    assert problems == []


def _is_foreign(url: str) -> bool:
    # Chromium's own addresses, such as those of the extension that shows a PDF, reach nobody.
    return url.startswith(("http:", "https:", "ws:", "wss:", "ftp:")) and not url.startswith("http://127.0.0.1")
