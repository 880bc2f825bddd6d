"""prices in ranges.

Revision ID: 0024
Revises: 0023
"""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The rows stay where they are: the table in use becomes the only range of a new one, which has its name. Nothing is
    # read: the range reaches from the lowest number to the highest, and no number is missing.
    op.execute("ALTER TABLE price RENAME TO price_1")
    op.execute("ALTER INDEX price_pkey RENAME TO price_1_pkey")
    op.execute(
        "CREATE TABLE price (LIKE price_1 INCLUDING ALL EXCLUDING INDEXES, CONSTRAINT price_pkey"
        " PRIMARY KEY (instrument_id, session)) PARTITION BY RANGE (instrument_id)"
    )
    _hand_over("price_1", "price")
    op.execute("ALTER TABLE price ATTACH PARTITION price_1 FOR VALUES FROM (MINVALUE) TO (MAXVALUE)")
    op.execute("COMMENT ON TABLE price_1 IS NULL")


def downgrade() -> None:
    """Ranges that were filled since are put together again."""
    op.execute(
        "CREATE TABLE price_0 (LIKE price INCLUDING ALL EXCLUDING INDEXES); INSERT INTO price_0 SELECT * FROM price"
    )
    _hand_over("price", "price_0")
    op.execute("DROP TABLE price")
    op.execute("ALTER TABLE price_0 RENAME TO price")
    op.execute("ALTER TABLE price ADD CONSTRAINT price_pkey PRIMARY KEY (instrument_id, session)")


def _hand_over(before: str, after: str) -> None:
    """Give a table the owner, the comment and the rights of another."""
    op.execute(
        f"""
        DO $$
        DECLARE
            known pg_class := (SELECT c FROM pg_class AS c WHERE oid = '{before}'::regclass);
            given record;
        BEGIN
            EXECUTE format('ALTER TABLE {after} OWNER TO %I', pg_get_userbyid(known.relowner));
            EXECUTE format('COMMENT ON TABLE {after} IS %L', obj_description(known.oid, 'pg_class'));
            -- Default privileges have given it some of its own, which go first.
            FOR given IN
                SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS name
                FROM pg_class, aclexplode(relacl) WHERE oid = '{after}'::regclass
            LOOP
                EXECUTE format('REVOKE ALL ON {after} FROM %s', given.name);
            END LOOP;
            FOR given IN
                SELECT privilege_type AS privilege, is_grantable AS may_pass_on,
                    CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS name
                FROM aclexplode(coalesce(known.relacl, acldefault('r', known.relowner)))
            LOOP
                EXECUTE format('GRANT %s ON {after} TO %s%s', given.privilege, given.name,
                    CASE WHEN given.may_pass_on THEN ' WITH GRANT OPTION' ELSE '' END);
            END LOOP;
        END $$
        """
    )
