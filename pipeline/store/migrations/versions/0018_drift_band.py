"""drift band.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

ROLE = "fintech_api"
"""Of revision 0009, and this as there: the portfolios that a caller may read."""
READABLE = """(SELECT fintech_caller_role()) IN ('operator', 'admin') OR portfolio_id IN (
    SELECT id FROM portfolio WHERE owner_id IS NULL OR owner_id = (SELECT fintech_caller_id()))"""

CALENDAR = "rebalancing IN ('daily', 'monthly', 'quarterly', 'buy_and_hold')"
POLICIES = "rebalancing IN ('daily', 'monthly', 'quarterly', 'buy_and_hold', 'drift_band')"

DIGEST = "SHA-256 of method, address and body."
KEYED_DIGEST = "HMAC-SHA-256 of method, address and body, under a key of the installation."


def upgrade() -> None:
    op.add_column(
        "portfolio",
        sa.Column(
            "drift_band",
            sa.Double(),
            nullable=True,
            comment="By how much a weight may leave its target; empty for every policy but drift_band.",
        ),
    )
    # A wider check: the rows of before, and those that the code of before writes, pass it.
    op.drop_constraint(op.f("portfolio_rebalancing_check"), "portfolio")
    op.create_check_constraint(op.f("portfolio_rebalancing_check"), "portfolio", POLICIES)
    op.create_check_constraint(
        op.f("portfolio_drift_band_check"),
        "portfolio",
        "(rebalancing = 'drift_band') = (drift_band IS NOT NULL) AND drift_band > 0 AND drift_band < 1",
    )
    _create_units()
    _comment_request(DIGEST, KEYED_DIGEST)


def _create_units() -> None:
    op.create_table(
        "portfolio_unit",
        sa.Column("portfolio_id", sa.Integer(), autoincrement=False, nullable=False, comment="Portfolio."),
        sa.Column("session", sa.Date(), autoincrement=False, nullable=False, comment="Exchange session (New York)."),
        sa.Column("instrument_id", sa.Integer(), autoincrement=False, nullable=False, comment="Position."),
        sa.Column(
            "units",
            sa.Double(),
            nullable=False,
            comment="Held from this close on, per unit of the base currency that the portfolio was worth when they"
            " were set.",
        ),
        sa.Column("set_on", sa.Date(), nullable=False, comment="Session at whose close they were set."),
        sa.Column(
            "traded",
            sa.Double(),
            nullable=False,
            comment="Change of the weight by a trade at this close, negative if sold; 0 without one.",
        ),
        sa.Column(
            "materialization_id", sa.Integer(), nullable=False, comment="Write that made or last changed the row."
        ),
        sa.PrimaryKeyConstraint("portfolio_id", "session", "instrument_id", name=op.f("portfolio_unit_pkey")),
        comment="What portfolios with a drift band hold from each trade and from the first session of each month on.",
    )
    op.execute("ALTER TABLE portfolio_unit ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY portfolio_unit_read ON portfolio_unit FOR SELECT TO {ROLE} USING ({READABLE})")


def _comment_request(before: str, after: str) -> None:
    op.alter_column("idempotent_request", "request", comment=after, existing_comment=before)


def downgrade() -> None:
    """Portfolios with a drift band are held to their targets each quarter from then on."""
    _comment_request(KEYED_DIGEST, DIGEST)
    op.drop_table("portfolio_unit")
    op.drop_constraint(op.f("portfolio_drift_band_check"), "portfolio")
    op.drop_constraint(op.f("portfolio_rebalancing_check"), "portfolio")
    op.drop_column("portfolio", "drift_band")
    op.execute("UPDATE portfolio SET rebalancing = 'quarterly' WHERE rebalancing = 'drift_band'")
    op.create_check_constraint(op.f("portfolio_rebalancing_check"), "portfolio", CALENDAR)
