"""How Chromium is started: without a sandbox, a graphics card or calls home."""

from playwright.sync_api import ViewportSize

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
VIEWPORT = ViewportSize(width=1440, height=900)
