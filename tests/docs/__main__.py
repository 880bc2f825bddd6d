"""``make docs``: write the pages that are made from the code; a test fails while a committed one differs."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipeline.store.embedded import embedded_server
from pipeline.store.engine import Database, with_database
from pipeline.store.migrating import migrate
from tests.docs import api, measures, openapi

measures.PAGE.write_text(measures.measures_page())
openapi.PAGE.write_text(openapi.openapi_page())
with (
    tempfile.TemporaryDirectory(prefix="fintech-docs-", ignore_cleanup_errors=True) as folder,
    embedded_server(Path(folder) / "pg") as server,
):
    database = Database(with_database(server, "docs"))
    database.ensure_exists()
    migrate(database.url)
    api.PAGE.write_text(api.api_page(database))
