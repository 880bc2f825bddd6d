"""Entry point that Alembic runs: the connection comes from `pipeline.store.migrating`."""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import text

from pipeline.store.tables import all_tables

connection = context.config.attributes["connection"]


def is_compared(_object: Any, name: str | None, kind: str, _is_reflected: bool, _counterpart: Any) -> bool:
    """All but ranges of a table, which come and go with its rows (`pipeline.store.ranges`)."""
    return kind != "table" or not connection.scalar(
        text("SELECT relispartition FROM pg_class WHERE oid = to_regclass(quote_ident(:name))"), {"name": name}
    )


context.configure(
    connection=connection,
    target_metadata=all_tables(),
    compare_type=True,
    compare_server_default=False,
    include_object=is_compared,
)
with context.begin_transaction():
    context.run_migrations()
