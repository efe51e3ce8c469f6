"""bases have a state, a card, a profile and a story"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


# As those of `events` (0001), which keeps the function that PostgreSQL calls.
_APPEND_ONLY = {
    "sqlite": [
        f"CREATE TRIGGER base_events_no_{action} BEFORE {action} ON base_events "
        "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END"
        for action in ("update", "delete")
    ],
    "postgresql": [
        "CREATE TRIGGER base_events_append_only BEFORE UPDATE OR DELETE ON base_events "
        "FOR EACH ROW EXECUTE FUNCTION events_append_only()",
    ],
}


def upgrade() -> None:
    op.add_column("bases", sa.Column("state", sa.String(length=16), nullable=False, server_default="approved"))
    op.add_column("bases", sa.Column("card", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("bases", sa.Column("profile", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("bases", sa.Column("parent", sa.Text(), nullable=True))
    events = op.create_table(
        "base_events",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("base", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["base"], ["bases.name"], name=op.f("fk_base_events_base_bases")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_base_events")),
    )
    op.create_index("ix_base_events_base_seq", "base_events", ["base", "seq"], unique=False)
    known: Any = sa.select(
        sa.column("name"),
        sa.literal("approved"),
        sa.literal("it was in use before bases had states"),
        sa.literal("driftgate db upgrade"),
        sa.literal(datetime.now(UTC), sa.DateTime(timezone=True)),
    ).select_from(sa.table("bases"))
    op.execute(events.insert().from_select(["base", "kind", "message", "by", "at"], known))
    for statement in _APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    op.drop_index("ix_base_events_base_seq", table_name="base_events")
    op.drop_table("base_events")
    for column in ("parent", "profile", "card", "state"):
        op.drop_column("bases", column)
