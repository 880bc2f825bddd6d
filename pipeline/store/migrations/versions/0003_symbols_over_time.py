"""symbols over time.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Autogenerate sees neither types nor exclusion constraints.
    op.execute('CREATE TYPE symbol_range AS RANGE (subtype = text, collation = "C")')
    days = sa.text("daterange(first_session, last_session, '[]')")
    op.create_table(
        "instrument_symbol",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="Number of the row."),
        sa.Column("symbol", sa.Text(), nullable=False, comment="Symbol at the exchange."),
        sa.Column("instrument_id", sa.Integer(), nullable=False, comment="Instrument that has it on these days."),
        sa.Column(
            "first_session",
            sa.Date(),
            nullable=True,
            comment="First day; empty where the instrument has had it from the start.",
        ),
        sa.Column("last_session", sa.Date(), nullable=True, comment="Last day; empty while the instrument has it."),
        sa.Column(
            "materialization_id", sa.Integer(), nullable=False, comment="Write that made or last changed the row."
        ),
        sa.CheckConstraint("first_session <= last_session", name=op.f("instrument_symbol_order_check")),
        postgresql.ExcludeConstraint(
            (sa.text("symbol_range(symbol, symbol, '[]')"), "="),
            (days, "&&"),
            name=op.f("instrument_symbol_one_holder_excl"),
        ),
        postgresql.ExcludeConstraint(
            (sa.text("int4range(instrument_id, instrument_id, '[]')"), "="),
            (days, "&&"),
            name=op.f("instrument_symbol_one_symbol_excl"),
        ),
        sa.ForeignKeyConstraint(
            ["instrument_id"], ["instrument.id"], name=op.f("instrument_symbol_instrument_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("instrument_symbol_pkey")),
        comment="Symbols of every instrument over time; on one day a symbol names at most one instrument.",
    )
    op.create_index(
        op.f("instrument_symbol_listed_idx"),
        "instrument_symbol",
        ["symbol"],
        unique=True,
        postgresql_where=sa.text("last_session IS NULL"),
    )
    op.create_index(op.f("instrument_symbol_instrument_id_idx"), "instrument_symbol", ["instrument_id"])
    # Whoever is known has had the symbol from the start.
    op.execute(
        "INSERT INTO instrument_symbol (symbol, instrument_id, materialization_id)"
        " SELECT symbol, id, materialization_id FROM instrument ORDER BY id"
    )
    op.drop_constraint(op.f("instrument_symbol_key"), "instrument", type_="unique")
    op.alter_column(
        "instrument",
        "symbol",
        existing_type=sa.TEXT(),
        comment="Symbol at the exchange; the last one where it has had several.",
        existing_comment="Symbol at the exchange.",
        existing_nullable=False,
    )


def downgrade() -> None:
    # Fails where a symbol has named several instruments: the older schema cannot tell them apart.
    op.create_unique_constraint(op.f("instrument_symbol_key"), "instrument", ["symbol"])
    op.alter_column(
        "instrument",
        "symbol",
        existing_type=sa.TEXT(),
        comment="Symbol at the exchange.",
        existing_comment="Symbol at the exchange; the last one where it has had several.",
        existing_nullable=False,
    )
    op.drop_table("instrument_symbol")
    op.execute("DROP TYPE symbol_range")
