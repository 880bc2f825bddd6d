"""The pictures of the README, taken of a running ``make up``: ``python -m tests.browser.screenshots``."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from fintech.addresses import dagster_ui_port
from pipeline.base.settings import PROJECT_ROOT, load_settings
from tests.browser.chromium import ARGUMENTS

FOLDER = PROJECT_ROOT / "docs" / "images"
SLICES = ("market_data", "risk", "simulation", "forecast")
SETTLED_MS = 4_000
GRAPH_SIZE = {"width": 2_000, "height": 760}
GRAPH_CENTRE = (1_300, 420)
SETTINGS_FROM_CORNER = (27, 108)
"""Of the graph's own settings, whose button has no name, from the lower right corner."""


def main() -> None:
    """Take both pictures."""
    dagster = f"http://127.0.0.1:{dagster_ui_port(load_settings())}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(viewport=GRAPH_SIZE)
        take_graph(page, dagster, FOLDER / "asset-graph.png")
        page.set_viewport_size({"width": 1400, "height": 900})
        take_asset(page, dagster, FOLDER / "asset-page.png")
        browser.close()


def take_graph(page: Page, dagster: str, file: Path) -> None:
    """Every asset, its group opened, the groups side by side."""
    page.goto(f"{dagster}/asset-groups")
    for name in SLICES:
        page.get_by_text(name, exact=True).last.wait_for()
    page.wait_for_timeout(SETTLED_MS)
    right, down = SETTINGS_FROM_CORNER
    page.mouse.click(GRAPH_SIZE["width"] - right, GRAPH_SIZE["height"] - down)
    page.get_by_text("Change graph to vertical").click()
    page.wait_for_timeout(SETTLED_MS)
    page.keyboard.press("Alt+KeyE")  # expands every group
    page.wait_for_timeout(SETTLED_MS)
    page.get_by_text("Hide navigation").click()
    page.mouse.move(*GRAPH_CENTRE)
    page.keyboard.down("Control")  # the wheel zooms
    page.mouse.wheel(0, 100)
    page.keyboard.up("Control")
    page.wait_for_timeout(SETTLED_MS)
    page.screenshot(path=file)


def take_asset(page: Page, dagster: str, file: Path) -> None:
    """The page of `instrument_risk`, at its figures."""
    page.goto(f"{dagster}/assets/instrument_risk")
    page.locator("img[alt*='mean volatility']").first.scroll_into_view_if_needed()
    page.wait_for_timeout(SETTLED_MS)
    page.screenshot(path=file)


if __name__ == "__main__":
    main()
