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
def running_chromium(executable: str, profile: Path) -> Iterator[str]:
    """Address at which a browser without a window is driven, as soon as it can be; it keeps itself in a new folder.

    Raises
    ------
    RuntimeError
        If it ends, or tells no address within `STARTS_WITHIN_SECONDS`.
    """
    command = [executable, "--headless", "--remote-debugging-port=0", f"--user-data-dir={profile}", *ARGUMENTS]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    told = profile / "DevToolsActivePort"
    with subprocess.Popen([*command, "about:blank"], **streams) as process:
        try:
            deadline = time.monotonic() + STARTS_WITHIN_SECONDS
            while not (told.exists() and len(lines := told.read_text().splitlines()) == 2):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"Chromium has not started (exit code {process.poll()})")
                time.sleep(0.05)
            port, path = lines
            yield f"ws://127.0.0.1:{port}{path}"
        finally:
            process.terminate()
