"""announced changes.

Revision ID: 0025
Revises: 0024
"""

from __future__ import annotations

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

NUMBERED = ("materialization", "data_change")


def upgrade() -> None:
    # Of equal announcements in one transaction Postgres sends one, when it commits.
    op.execute(
        """
        CREATE FUNCTION announce_data_version() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('fintech_data_version', '');
            RETURN NULL;
        END
        $$
        """
    )
    for table in NUMBERED:
        op.execute(
            f"""
            CREATE TRIGGER announce_data_version AFTER INSERT ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION announce_data_version()
            """
        )


def downgrade() -> None:
    for table in NUMBERED:
        op.execute(f"DROP TRIGGER announce_data_version ON {table}")
    op.execute("DROP FUNCTION announce_data_version()")
