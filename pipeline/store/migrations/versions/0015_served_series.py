"""served series.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

SERIES = (("prices", "price"), ("instrument_risk", "instrument_risk"), ("strategy_nav",) * 2)
WRITER = "Write that made or last changed the row."


def upgrade() -> None:
    resource = sa.Column(
        "resource",
        sa.Text(),
        autoincrement=False,
        nullable=False,
        comment="What it is a series of, such as prices.",
    )
    op.create_table(
        "served_year",
        resource,
        sa.Column(
            "subject",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="Whose it is: number of an instrument, or a name.",
        ),
        sa.Column("year", sa.SmallInteger(), autoincrement=False, nullable=False, comment="Calendar year of the rows."),
        sa.Column("rows", sa.Integer(), nullable=False, comment="Rows of the year."),
        sa.Column("last_session", sa.Date(), nullable=False, comment="Session of the last of them."),
        sa.Column(
            "basis",
            sa.LargeBinary(),
            nullable=False,
            comment="Digest of what the rows follow from besides their table; may be empty.",
        ),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Digest of the body."),
        sa.Column(
            "body",
            sa.LargeBinary(),
            nullable=False,
            comment="The rows as JSON, oldest first, with commas between them.",
        ),
        sa.Column("materialization_id", sa.Integer(), nullable=False, comment=WRITER),
        sa.PrimaryKeyConstraint("resource", "subject", "year", name=op.f("served_year_pkey")),
        comment="Rows of each calendar year of a series, as the API answers them.",
    )
    # Not compressed: unpacking 1.4 MB takes four times as long as reading it.
    op.execute("ALTER TABLE served_year ALTER body SET STORAGE EXTERNAL")
    op.create_table(
        "outdated_year",
        sa.Column(
            "resource",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="What the series are of, such as prices.",
        ),
        sa.Column(
            "year",
            sa.SmallInteger(),
            autoincrement=False,
            nullable=False,
            comment="Calendar year whose rows have changed; 0 if what they follow from has.",
        ),
        sa.Column("materialization_id", sa.Integer(), nullable=False, comment=WRITER),
        sa.PrimaryKeyConstraint("resource", "year", name=op.f("outdated_year_pkey")),
        comment="Years of served series whose rows have changed since the texts were made.",
    )
    # What is there already is made by the next run of the asset that finds it outdated.
    for name, table in SERIES:
        op.execute(
            f"""
            INSERT INTO outdated_year (resource, year, materialization_id)
            SELECT '{name}', extract(year FROM session), max(materialization_id) FROM {table} GROUP BY 1, 2
            """
        )


def downgrade() -> None:
    for table in ("outdated_year", "served_year"):
        op.drop_table(table)
