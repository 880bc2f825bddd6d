"""Debian's Chromium, driven by playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.browser.chromium import VIEWPORT, running_chromium
from tests.lacking import lacking


@pytest.fixture(scope="session")
def devtools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a browser that all tests of a worker use: to start one takes as long as most of them."""
    executable = shutil.which("chromium")
    if executable is None:
        lacking("chromium", "chromium is not on the PATH", "On Debian: apt-get install chromium")
    with running_chromium(executable, tmp_path_factory.mktemp("chromium")) as address:
        yield address


@pytest.fixture
def page(devtools: str) -> Iterator[Page]:
    """A page that fails the test on a script error or a request to another host; it shares nothing with others.

    Playwright is a test's own: while it runs, no fixture could run an event loop, as Dagster does.
    """
    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(devtools)
        context = browser.new_context(viewport=VIEWPORT)
        opened = context.new_page()
        opened.on("pageerror", lambda error: problems.append(f"script error: {error}"))
        opened.on("request", lambda request: problems.append(request.url) if _is_foreign(request.url) else None)
        yield opened
        context.close()
        browser.close()
    assert problems == []


def _is_foreign(url: str) -> bool:
    # Chromium's own addresses, such as those of the extension that shows a PDF, reach nobody.
    return url.startswith(("http:", "https:", "ws:", "wss:", "ftp:")) and not url.startswith("http://127.0.0.1")
