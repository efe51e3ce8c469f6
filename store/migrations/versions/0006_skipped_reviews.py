"""rows of the audit sample that a person could not label, and the first rows of a version"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_VERSIONS = """
UPDATE audit_samples SET version = predictions.version
FROM predictions WHERE predictions.id = audit_samples.prediction_id
"""


def upgrade() -> None:
    op.add_column("audit_samples", sa.Column("version", sa.Integer(), nullable=False, server_default="0"))
    op.execute(_VERSIONS)  # 0 stays where the prediction is gone: there is nothing to label
    op.create_index("ix_audit_samples_version", "audit_samples", ["model", "version", "at"], unique=False)
    op.add_column("audit_samples", sa.Column("skipped_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("audit_samples", sa.Column("skipped_by", sa.Text(), nullable=True))
    op.add_column("audit_samples", sa.Column("skip_reason", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("audit_samples", "skip_reason")
    op.drop_column("audit_samples", "skipped_by")
    op.drop_column("audit_samples", "skipped_at")
    op.drop_index("ix_audit_samples_version", table_name="audit_samples")
    op.drop_column("audit_samples", "version")
