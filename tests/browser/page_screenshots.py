"""Pictures of the analysts' pages for a person to look at: ``python -m tests.browser.page_screenshots URL FOLDER``."""

from __future__ import annotations

import shutil
import sys
from itertools import product
from pathlib import Path
from typing import Literal

from playwright.sync_api import sync_playwright

from tests.browser.chromium import ARGUMENTS

PAGES = {
    "overview": "/",
    "portfolio": "/portfolios/core",
    "tear-sheet": "/portfolios/core/tear-sheet",
    "explanation": "/portfolios/core/explain?measure=var_99_1d",
    "value": "/portfolios/core/value/explain",
    "price": "/instruments/AAPL/prices/explain",
    "instrument": "/instruments/AAPL",
    "quality": "/quality",
    "table": "/tables/portfolio_tail?write=1",
    "failure": "/portfolios/none-such",
}
WIDTHS = (1440, 390)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def main(url: str, folder: Path) -> None:
    """Take each page at both widths in both schemes."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        for width, scheme in product(WIDTHS, SCHEMES):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            for name, path in PAGES.items():
                page.goto(f"{url}{path}")
                page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
