"""Programs of Debian's packages, unpacked into the cache where they are not installed; nothing is installed."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

from pipeline.base.settings import PROJECT_ROOT
from tests.lacking import lacking

CACHE = PROJECT_ROOT / ".cache" / "lint-deploy"
"""Where `make lint-deploy` unpacks, too."""


def program(name: str, package: str) -> str:
    """The path of a program; where there is none and none can be unpacked the test fails, unless it may be missing."""
    unpacked = CACHE / package / "usr" / "bin" / name
    found = shutil.which(name)
    if found is not None:
        return found
    if not unpacked.exists():
        _unpack(package)
    if not unpacked.exists():
        lacking(name, f"{name} is not on the PATH", f"On Debian: apt-get install {package}")
    return str(unpacked)


def _unpack(package: str) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return
    folder = CACHE / package
    folder.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "usr").exists():
            return
        for command in (["apt-get", "update", "-qq"], ["apt-get", "download", "-qq", package]):
            subprocess.run(command, cwd=folder, capture_output=True, check=False)
        for archive in folder.glob("*.deb"):
            _extract(archive, folder)


def _extract(archive: Path, folder: Path) -> None:
    subprocess.run(["dpkg-deb", "-x", archive, folder], capture_output=True, check=False)
    archive.unlink()
