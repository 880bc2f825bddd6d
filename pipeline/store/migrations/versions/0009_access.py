"""access.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from psycopg.errors import InsufficientPrivilege
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import ProgrammingError

from pipeline.base.errors import DatabaseError

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ROLE = "fintech_api"

RESULTS = (
    "portfolio_risk",
    "portfolio_tail",
    "portfolio_contribution",
    "portfolio_simulation",
    "stress_result",
    "stress_scenario",
)
"""Tables of a portfolio that callers only read; so is limit_event."""

GRANTS = (
    "SELECT ON ALL TABLES IN SCHEMA public",
    "INSERT, UPDATE, DELETE ON portfolio, position, portfolio_limit",
    "INSERT ON data_change, materialization, quarantine_decision, audit_entry",
    "INSERT, UPDATE ON asset_partition, app_user, api_key",
    "INSERT, UPDATE, DELETE ON refresh_token",
    "UPDATE (state) ON quarantine",
)
"""What serving needs. Identity columns need no grant of their sequence."""

FUNCTIONS = (
    # Without a caller both are NULL, and no policy lets anything through.
    """
    CREATE FUNCTION fintech_caller_role() RETURNS text STABLE LANGUAGE sql
    RETURN nullif(current_setting('fintech.role', true), '')
    """,
    """
    CREATE FUNCTION fintech_caller_id() RETURNS integer STABLE LANGUAGE sql
    RETURN nullif(current_setting('fintech.user_id', true), '')::integer
    """,
)

# In a subquery of its own a setting is read once a statement, not once a row.
OVERSEES = "(SELECT fintech_caller_role()) IN ('operator', 'admin')"
READS = f"""{OVERSEES} OR (SELECT fintech_caller_role()) IN ('viewer', 'analyst')
    AND (owner_id IS NULL OR owner_id = (SELECT fintech_caller_id()))"""
WRITES = f"""{OVERSEES} OR (SELECT fintech_caller_role()) = 'analyst' AND owner_id = (SELECT fintech_caller_id())"""

# By a hash of the few portfolios that are one's own or everybody's, which the index on the owner finds; the policy of
# portfolio still holds inside. EXISTS would look each row's portfolio up again.
READABLE = f"""{OVERSEES} OR {{}} IN (
    SELECT id FROM portfolio WHERE owner_id IS NULL OR owner_id = (SELECT fintech_caller_id()))"""


def upgrade() -> None:
    _create_role()
    _create_tables()
    for statement in FUNCTIONS:
        op.execute(statement)
    for grant in GRANTS:
        op.execute(f"GRANT {grant} TO {ROLE}")
    # Tables of later revisions: what serving writes there is granted there.
    op.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {ROLE}")
    _protect_portfolios()
    _close_audit()


def _create_role() -> None:
    """The role of the API; a server's databases share it, and processes that migrate two of them may meet here."""
    connection = op.get_bind()
    user = connection.scalar(sa.text("SELECT current_user"))
    try:
        with connection.begin_nested():
            op.execute(
                f"""
                DO $$
                BEGIN
                    IF to_regrole('{ROLE}') IS NULL THEN
                        BEGIN
                            CREATE ROLE {ROLE} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
                        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
                        END;
                    END IF;
                    IF NOT pg_has_role(current_user, '{ROLE}', 'SET') THEN
                        GRANT {ROLE} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE;
                    END IF;
                END
                $$
                """
            )
    except ProgrammingError as error:
        if not isinstance(error.orig, InsufficientPrivilege):
            raise
        raise DatabaseError(
            f"The database user {user} may neither create nor take on the role {ROLE}, which the API works as",
            f"Have the server's administrator run: CREATE ROLE {ROLE} NOLOGIN;"
            f' GRANT {ROLE} TO "{user}" WITH INHERIT FALSE; then migrate again.',
        ) from error
    passes_by = sa.text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = :role")
    if connection.scalar(passes_by, {"role": ROLE}):
        raise DatabaseError(
            f"The role {ROLE} passes by row-level security, so that callers would see each other's portfolios",
            f"Have the server's administrator run: ALTER ROLE {ROLE} NOSUPERUSER NOBYPASSRLS; then migrate again.",
        )


def _create_tables() -> None:
    identity = sa.Identity(always=True)
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "app_user",
        sa.Column("id", sa.Integer(), identity, nullable=False, comment="Number of the user."),
        sa.Column("email", sa.Text(), nullable=False, comment="Address that the user logs in with, in lower case."),
        sa.Column("name", sa.Text(), nullable=False, comment="Name as others see it."),
        sa.Column("password_hash", sa.Text(), nullable=False, comment="argon2id, with its parameters and salt."),
        sa.Column(
            "role", sa.Text(), nullable=False, comment="What the user may do: viewer, analyst, operator or admin."
        ),
        sa.Column(
            "is_active",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="Whether the user may log in.",
        ),
        sa.Column("created_at", moment, server_default=sa.text("now()"), nullable=False, comment="When it was made."),
        sa.CheckConstraint("role IN ('viewer', 'analyst', 'operator', 'admin')", name=op.f("app_user_role_check")),
        sa.CheckConstraint("email = lower(email)", name=op.f("app_user_email_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("app_user_pkey")),
        sa.UniqueConstraint("email", name=op.f("app_user_email_key")),
        comment="Users.",
    )
    op.create_table(
        "refresh_token",
        sa.Column("id", sa.Integer(), identity, nullable=False, comment="Number of the token."),
        sa.Column("user_id", sa.Integer(), nullable=False, comment="Who logged in."),
        sa.Column("family", sa.Text(), nullable=False, comment="Login that the token belongs to."),
        sa.Column("sha256", sa.LargeBinary(), nullable=False, comment="Digest of the token."),
        sa.Column("created_at", moment, server_default=sa.text("now()"), nullable=False, comment="When it was issued."),
        sa.Column("expires_at", moment, nullable=False, comment="Until when it can be used."),
        sa.Column("used_at", moment, nullable=True, comment="When the next one was bought with it; empty until then."),
        sa.Column("revoked_at", moment, nullable=True, comment="When the login was ended; empty if it was not."),
        sa.ForeignKeyConstraint(
            ["user_id"], ["app_user.id"], name=op.f("refresh_token_user_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("refresh_token_pkey")),
        sa.UniqueConstraint("sha256", name=op.f("refresh_token_sha256_key")),
        comment="Refresh tokens of logins.",
    )
    op.create_index("refresh_token_family_idx", "refresh_token", ["family"])
    op.create_index("refresh_token_user_id_idx", "refresh_token", ["user_id"])
    op.create_table(
        "api_key",
        sa.Column("id", sa.Integer(), identity, nullable=False, comment="Number of the key."),
        sa.Column("user_id", sa.Integer(), nullable=False, comment="Whose it is."),
        sa.Column("name", sa.Text(), nullable=False, comment="What it is for."),
        sa.Column("prefix", sa.Text(), nullable=False, comment="Part of the key that may be shown."),
        sa.Column("sha256", sa.LargeBinary(), nullable=False, comment="Digest of the whole key."),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False, comment="What it may do, if its user may."),
        sa.Column("created_at", moment, server_default=sa.text("now()"), nullable=False, comment="When it was made."),
        sa.Column("expires_at", moment, nullable=True, comment="Until when it can be used; empty for no end."),
        sa.Column(
            "last_used_at", moment, nullable=True, comment="When it was last used, to the minute; empty if never."
        ),
        sa.Column("revoked_at", moment, nullable=True, comment="When it was revoked; empty if it was not."),
        sa.ForeignKeyConstraint(["user_id"], ["app_user.id"], name=op.f("api_key_user_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("api_key_pkey")),
        sa.UniqueConstraint("prefix", name=op.f("api_key_prefix_key")),
        comment="API keys of users.",
    )
    op.create_index("api_key_user_id_idx", "api_key", ["user_id"])
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.Integer(), identity, nullable=False, comment="Number of the entry."),
        sa.Column("at", moment, server_default=sa.text("clock_timestamp()"), nullable=False, comment="When."),
        sa.Column(
            "actor",
            sa.Text(),
            nullable=False,
            comment="Who, such as an address, local, a service or the command line.",
        ),
        sa.Column("user_id", sa.Integer(), nullable=True, comment="Number of the user, if it was one."),
        sa.Column("action", sa.Text(), nullable=False, comment="What, such as portfolio.create or login.failed."),
        sa.Column("subject", sa.Text(), nullable=False, comment="On what, such as portfolio:7."),
        sa.Column("request_id", sa.Text(), nullable=True, comment="Finds the request in the log; empty without one."),
        sa.Column(
            "client", sa.Text(), nullable=True, comment="Address that it came from; empty on the machine itself."
        ),
        sa.Column("detail", postgresql.JSONB(), nullable=False, comment="What was set; never a secret."),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_entry_pkey")),
        comment="Each write and each login; rows are only added.",
    )
    op.create_index("audit_entry_action_subject_at_idx", "audit_entry", ["action", "subject", "at"])
    op.add_column(
        "portfolio",
        sa.Column(
            "owner_id", sa.Integer(), nullable=True, comment="User whom it belongs to; empty if it is everybody's."
        ),
    )
    op.create_foreign_key(op.f("portfolio_owner_id_fkey"), "portfolio", "app_user", ["owner_id"], ["id"])
    op.create_index(op.f("portfolio_owner_id_idx"), "portfolio", ["owner_id"])


def _protect_portfolios() -> None:
    """Row-level security for the role of the API. The owner of the tables, as whom the pipeline works, passes by it."""
    _protect("portfolio", READS, WRITES)
    readable = READABLE.format("portfolio_id")
    writable = f"EXISTS (SELECT FROM portfolio WHERE portfolio.id = portfolio_id AND ({WRITES}))"
    _protect("position", readable, writable)
    _protect("portfolio_limit", readable, OVERSEES)
    for table in (*RESULTS, "limit_event"):
        _protect(table, readable)
    _protect("var_backtest", f"subject_kind <> 'portfolio' OR {READABLE.format('subject_id')}")


def _protect(table: str, readable: str, writable: str | None = None) -> None:
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY {table}_read ON {table} FOR SELECT TO {ROLE} USING ({readable})")
    if writable is not None:
        for action in ("INSERT", "UPDATE", "DELETE"):
            clause = "WITH CHECK" if action == "INSERT" else "USING"
            name = f"{table}_{action.lower()}"
            op.execute(f"CREATE POLICY {name} ON {table} FOR {action} TO {ROLE} {clause} ({writable})")


def _close_audit() -> None:
    op.execute(
        """
        CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is refused: rows of % are only added', TG_OP, TG_TABLE_NAME
                USING ERRCODE = 'insufficient_privilege';
        END
        $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER refuse_audit_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()
        """
    )


def downgrade() -> None:
    """The role stays: other databases of the server may have it."""
    for table in ("position", "portfolio_limit", *RESULTS, "limit_event", "var_backtest", "portfolio"):
        actions = ("read", "insert", "update", "delete")
        for action in actions:
            op.execute(f"DROP POLICY IF EXISTS {table}_{action} ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    op.drop_index(op.f("portfolio_owner_id_idx"), table_name="portfolio")
    op.drop_column("portfolio", "owner_id")
    for table in ("audit_entry", "api_key", "refresh_token", "app_user"):
        op.drop_table(table)
    for function in ("refuse_audit_change", "fintech_caller_id", "fintech_caller_role"):
        op.execute(f"DROP FUNCTION {function}()")
    op.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM {ROLE}")
    op.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {ROLE}")
