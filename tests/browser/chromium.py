"""How Chromium is started: without a sandbox, a graphics card or calls home."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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

STARTS_WITHIN_SECONDS = 60.0


@contextmanager
def running_chromium(executable: str, profile: Path) -> Iterator[Path]:
    """A browser without a window that others may drive, and the folder of its profile."""
    command = [executable, "--headless", "--remote-debugging-port=0", f"--user-data-dir={profile}", *ARGUMENTS]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, "about:blank"], **streams) as process:
        try:
            yield profile
        finally:
            process.terminate()


def devtools_address(profile: Path) -> str:
    """Where a browser with that profile is driven, as soon as it can be.

    Raises
    ------
    TimeoutError
        If it tells no address within `STARTS_WITHIN_SECONDS`.
    """
    told = profile / "DevToolsActivePort"
    deadline = time.monotonic() + STARTS_WITHIN_SECONDS
    while not (told.exists() and len(lines := told.read_text().splitlines()) == 2):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Chromium has not started within {STARTS_WITHIN_SECONDS:.0f} s")
        time.sleep(0.05)
    port, path = lines
    return f"ws://127.0.0.1:{port}{path}"
