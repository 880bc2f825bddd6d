"""``make docs``: write the pages that are made from the code, and record the answers that document the API.

Tests fail while a committed page differs, and while an operation has no recorded answer of the documented form.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipeline.store.embedded import embedded_server
from pipeline.store.engine import Database, with_database
from pipeline.store.migrating import migrate
from tests.docs import answers, api, measures, openapi


def _empty_database(server: str, name: str) -> Database:
    database = Database(with_database(server, name))
    database.ensure_exists()
    migrate(database.url)
    return database


measures.PAGE.write_text(measures.measures_page())
openapi.PAGE.write_text(openapi.openapi_page())
with (
    tempfile.TemporaryDirectory(prefix="fintech-docs-", ignore_cleanup_errors=True) as folder,
    embedded_server(Path(folder) / "pg") as server,
):
    api.PAGE.write_text(api.api_page(_empty_database(server, "docs")))
    answers.write_recorded(_empty_database(server, "answers"))
