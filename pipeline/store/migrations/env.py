"""Entry point that Alembic runs: the connection comes from `pipeline.store.migrating`."""

from __future__ import annotations

from alembic import context

from pipeline.store.tables import all_tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=all_tables(),
    compare_type=True,
    compare_server_default=False,
)
with context.begin_transaction():
    context.run_migrations()
