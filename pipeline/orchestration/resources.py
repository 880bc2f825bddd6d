"""Resources: connections are opened by a run, never at import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from pipeline.base.settings import env_name, load_settings
from pipeline.store.engine import Database, with_tls

Overrides = Mapping[str, Any]
"""Resource key → resource, in place of production's; tests pass their own."""


class DatabaseResource(dg.ConfigurableResource[Database]):
    """The application database."""

    url: str

    @property
    def database(self) -> Database:
        """The database behind the address."""
        settings = load_settings()
        return Database(with_tls(self.url, settings.database_sslmode, settings.database_sslrootcert))


def production_database() -> DatabaseResource:
    """The database that the environment names, read when a run starts."""
    return DatabaseResource(url=dg.EnvVar(env_name("database_url")))
