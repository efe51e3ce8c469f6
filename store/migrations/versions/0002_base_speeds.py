"""how fast each precision is on a base"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("bases", sa.Column("speeds", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("bases", "speeds")
