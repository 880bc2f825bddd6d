"""simulation jobs.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

ROLE = "fintech_api"
"""The role of the API, of revision 0009."""

OVERSEES = "(SELECT fintech_caller_role()) IN ('operator', 'admin')"
MINE = f"""{OVERSEES} OR (SELECT fintech_caller_role()) IN ('viewer', 'analyst')
    AND owner_id IS NOT DISTINCT FROM (SELECT fintech_caller_id())"""
"""Unlike a portfolio, a job without an owner is not everybody's: it is that of a service, or of a local machine."""


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "simulation_job",
        sa.Column("id", sa.Uuid(), nullable=False, comment="Id of the job."),
        sa.Column(
            "owner_id",
            sa.Integer(),
            nullable=True,
            comment="User who asked; empty for the machine's own user and for services.",
        ),
        sa.Column("request", postgresql.JSONB(), nullable=False, comment="What was asked."),
        sa.Column(
            "portfolio_id", sa.Integer(), nullable=True, comment="Portfolio; empty for positions that were given."
        ),
        sa.Column("fit_start", sa.Date(), nullable=False, comment="Session of the first return of the fit window."),
        sa.Column("session", sa.Date(), nullable=False, comment="Last session of the fit window."),
        sa.Column("subject", sa.BigInteger(), nullable=False, comment="Second half of the random numbers' key."),
        sa.Column("fit_returns", sa.LargeBinary(), nullable=False, comment="Returns of the fit window, float64."),
        sa.Column(
            "state",
            sa.Text(),
            server_default="queued",
            nullable=False,
            comment="queued, running, done, failed or cancelled.",
        ),
        sa.Column("paths_done", sa.Integer(), server_default="0", nullable=False, comment="Paths walked."),
        sa.Column("paths_total", sa.Integer(), nullable=False, comment="Paths to walk."),
        sa.Column(
            "created_at",
            moment,
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When it was asked.",
        ),
        sa.Column("started_at", moment, nullable=True, comment="When it was first worked on."),
        sa.Column("heartbeat_at", moment, nullable=True, comment="Last sign of whoever works on it."),
        sa.Column("finished_at", moment, nullable=True, comment="When it ended."),
        sa.Column("attempt", sa.Uuid(), nullable=True, comment="Whoever works on it."),
        sa.Column("code", sa.Text(), nullable=True, comment="Digest of the source that walked the finished parts."),
        sa.Column(
            "losses",
            sa.SmallInteger(),
            server_default="0",
            nullable=False,
            comment="Workers lost since a part was finished.",
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="Why it failed."),
        sa.Column("result", postgresql.JSONB(), nullable=True, comment="The result."),
        sa.Column(
            "terminal_wealth",
            sa.LargeBinary(),
            nullable=True,
            comment="Wealth of each path at the horizon, float64, if asked for.",
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'done', 'failed', 'cancelled')",
            name=op.f("simulation_job_state_check"),
        ),
        sa.ForeignKeyConstraint(["owner_id"], ["app_user.id"], name=op.f("simulation_job_owner_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("simulation_job_pkey")),
        comment="Simulations on request that are computed in the background, until 7 days after their end.",
    )
    op.create_index("simulation_job_state_created_at_idx", "simulation_job", ["state", "created_at"])
    op.create_table(
        "simulation_part",
        sa.Column("job_id", sa.Uuid(), autoincrement=False, nullable=False, comment="Job."),
        sa.Column("first_path", sa.Integer(), autoincrement=False, nullable=False, comment="First path of the part."),
        sa.Column(
            "outcomes",
            sa.LargeBinary(),
            nullable=False,
            comment="Terminal wealth, drawdowns and fan of its paths, float64.",
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["simulation_job.id"], name=op.f("simulation_part_job_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "first_path", name=op.f("simulation_part_pkey")),
        comment="Finished parts of simulations that are not done yet.",
    )
    # Draws do not get shorter by compression, which would only take time.
    op.execute("ALTER TABLE simulation_part ALTER COLUMN outcomes SET STORAGE EXTERNAL")
    op.execute("ALTER TABLE simulation_job ALTER COLUMN terminal_wealth SET STORAGE EXTERNAL")
    op.execute(f"GRANT INSERT, UPDATE, DELETE ON simulation_job, simulation_part TO {ROLE}")
    for table, rows in (("simulation_job", MINE), ("simulation_part", OVERSEES)):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY {table}_own ON {table} FOR ALL TO {ROLE} USING ({rows}) WITH CHECK ({rows})")


def downgrade() -> None:
    op.drop_table("simulation_part")
    op.drop_index("simulation_job_state_created_at_idx", table_name="simulation_job")
    op.drop_table("simulation_job")
