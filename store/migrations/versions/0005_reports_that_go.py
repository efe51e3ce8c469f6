"""reports of checks are deleted when they are old"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("checks", sa.Column("report_deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("checks", sa.Column("report_retired", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("checks", "report_retired")
    op.drop_column("checks", "report_deleted_at")
