"""What a backup says of itself: of which moment it is, what its tables held, and what its files must be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from pipeline.base.errors import PlatformError
from pipeline.store.dumping import TableSum

FORMAT = 1
MANIFEST = "manifest.json"
DATABASES = ("dagster", "application")
"""In the order in which they are dumped (ADR 0020)."""

_CHUNK_BYTES = 1024 * 1024


class BackupError(PlatformError):
    """A backup is not there, not whole, or not for this server."""


@dataclass(frozen=True, slots=True)
class Dumped:
    """One database of a backup.

    Parameters
    ----------
    lsn, taken_at
        The point in time.
    revision
        Of the platform's schema; None of Dagster's.
    tables
        Schema and name → what it held.
    files
        Path below the backup → SHA-256.
    """

    name: str
    server_version: str
    server_major: int
    revision: str | None
    lsn: str
    taken_at: datetime
    tables: Mapping[str, TableSum]
    files: Mapping[str, str]

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(table.rows for table in self.tables.values())

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """As it was written."""
        tables = {name: TableSum(**table) for name, table in told["tables"].items()}
        return cls(**{**told, "taken_at": datetime.fromisoformat(told["taken_at"]), "tables": tables})


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole backup.

    Parameters
    ----------
    app_version
        Version of the platform that made it.
    """

    app_version: str
    databases: Mapping[str, Dumped]

    def write(self, folder: Path) -> None:
        """Write it into a backup."""
        told = {"format": FORMAT, "app_version": self.app_version}
        databases = {key: {**asdict(d), "taken_at": d.taken_at.isoformat()} for key, d in self.databases.items()}
        (folder / MANIFEST).write_text(json.dumps({**told, "databases": databases}, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read that of a backup.

        Raises
        ------
        BackupError
            If it cannot be read.
        """
        try:
            told = json.loads((folder / MANIFEST).read_text())
            if told["format"] != FORMAT:
                raise BackupError(
                    f"{folder / MANIFEST} has format {told['format']!r}, and this version reads {FORMAT}",
                    "Restore it by the version of the platform that made it.",
                )
            databases = {key: Dumped.of(told["databases"][key]) for key in DATABASES}
            return cls(told["app_version"], databases)
        except FileNotFoundError:
            raise BackupError(
                f"{folder} is no whole backup: it has no {MANIFEST}",
                "Name the folder of a backup; one that was interrupted is named .draft… and cannot be restored.",
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BackupError(
                f"{folder / MANIFEST} cannot be read ({type(error).__name__}: {error})", "Take another backup."
            ) from error

    def require_files(self, folder: Path) -> None:
        """Refuse a backup whose files are not what they were.

        Raises
        ------
        BackupError
            Naming the first file.
        """
        for dumped in self.databases.values():
            for name, expected in dumped.files.items():
                path = folder / name
                found = sha256_of(path) if path.is_file() else None
                if found != expected:
                    what = "is missing" if found is None else f"has SHA-256 {found[:12]}…, not {expected[:12]}…"
                    raise BackupError(f"{path} {what}", "This backup is damaged; take another one.")


def sha256_of(path: Path) -> str:
    """Digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()
