"""transactions.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ROLE = "fintech_api"
"""The role of the API, of revision 0009."""

OVERSEES = "(SELECT fintech_caller_role()) IN ('operator', 'admin')"
READABLE = f"""{OVERSEES} OR portfolio_id IN (
    SELECT id FROM portfolio WHERE owner_id IS NULL OR owner_id = (SELECT fintech_caller_id()))"""
WRITABLE = f"""EXISTS (SELECT FROM portfolio WHERE portfolio.id = portfolio_id AND ({OVERSEES}
    OR (SELECT fintech_caller_role()) = 'analyst' AND owner_id = (SELECT fintech_caller_id())))"""
"""As of the positions: whoever may change a portfolio keeps its book."""


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.add_column(
        "portfolio",
        sa.Column(
            "benchmark_id",
            sa.Integer(),
            nullable=True,
            comment="Instrument that it is measured against; empty for the market index.",
        ),
    )
    op.add_column(
        "portfolio",
        sa.Column(
            "positions_at",
            moment,
            nullable=True,
            comment="When its positions were last stated; empty if it was when the portfolio was made.",
        ),
    )
    op.add_column(
        "portfolio",
        sa.Column(
            "keeps_book",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether its positions follow from its transactions.",
        ),
    )
    op.create_foreign_key(op.f("portfolio_benchmark_id_fkey"), "portfolio", "instrument", ["benchmark_id"], ["id"])
    _create_transactions(moment)


def _create_transactions(moment: sa.DateTime) -> None:
    op.create_table(
        "portfolio_transaction",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="Number of the transaction."),
        sa.Column("portfolio_id", sa.Integer(), nullable=False, comment="Portfolio."),
        sa.Column("kind", sa.Text(), nullable=False, comment="buy, sell, deposit or withdrawal."),
        sa.Column("trade_date", sa.Date(), nullable=False, comment="Day on which it was made."),
        sa.Column("instrument_id", sa.Integer(), nullable=True, comment="What was traded; empty for cash."),
        sa.Column(
            "quantity", sa.Double(), nullable=True, comment="Units traded, as units were on that day; empty for cash."
        ),
        sa.Column(
            "price", sa.Double(), nullable=True, comment="Paid for one unit, without the fee; empty takes the close."
        ),
        sa.Column(
            "fee",
            sa.Double(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Paid beside it, in the currency of what was traded; of cash in the base currency.",
        ),
        sa.Column(
            "amount",
            sa.Double(),
            nullable=True,
            comment="Cash paid in or taken out, in the base currency; empty for trades.",
        ),
        sa.Column(
            "is_short",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether a sale may leave less than nothing.",
        ),
        sa.Column(
            "recorded_at", moment, server_default=sa.text("now()"), nullable=False, comment="When it was recorded."
        ),
        sa.CheckConstraint(
            "kind IN ('buy', 'sell', 'deposit', 'withdrawal')", name=op.f("portfolio_transaction_kind_check")
        ),
        sa.CheckConstraint(
            "CASE WHEN kind IN ('buy', 'sell') THEN num_nulls(instrument_id, quantity) = 0 AND amount IS NULL"
            " ELSE num_nonnulls(instrument_id, quantity, price) = 0 AND amount IS NOT NULL END",
            name=op.f("portfolio_transaction_parts_check"),
        ),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolio.id"], name=op.f("portfolio_transaction_portfolio_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["instrument_id"], ["instrument.id"], name=op.f("portfolio_transaction_instrument_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("portfolio_transaction_pkey")),
        comment="What was bought, sold, paid in and taken out, of portfolios that keep a book.",
    )
    op.create_index(
        op.f("portfolio_transaction_portfolio_id_trade_date_idx"),
        "portfolio_transaction",
        ["portfolio_id", "trade_date"],
    )
    op.execute(
        """
        CREATE TRIGGER note_data_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON portfolio_transaction
        FOR EACH STATEMENT EXECUTE FUNCTION note_data_change()
        """
    )
    op.execute(f"GRANT INSERT, DELETE ON portfolio_transaction TO {ROLE}")
    op.execute("ALTER TABLE portfolio_transaction ENABLE ROW LEVEL SECURITY")
    for action, clause in (
        ("SELECT", f"USING ({READABLE})"),
        ("INSERT", f"WITH CHECK ({WRITABLE})"),
        ("DELETE", f"USING ({WRITABLE})"),
    ):
        name = "read" if action == "SELECT" else action.lower()
        op.execute(
            f"CREATE POLICY portfolio_transaction_{name} ON portfolio_transaction FOR {action} TO {ROLE} {clause}"
        )


def downgrade() -> None:
    op.drop_table("portfolio_transaction")
    op.drop_constraint(op.f("portfolio_benchmark_id_fkey"), "portfolio")
    for column in ("keeps_book", "positions_at", "benchmark_id"):
        op.drop_column("portfolio", column)
