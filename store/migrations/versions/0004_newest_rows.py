"""indexes for the newest feedback and checks of a version, and the newest rows of the audit sample"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_feedback_version", "feedback", ["model", "version", "origin", "seq"], unique=False)
    op.create_index("ix_checks_version", "checks", ["model", "version", "seq"], unique=False)
    op.drop_index("ix_audit_samples_model", table_name="audit_samples")
    op.create_index("ix_audit_samples_newest", "audit_samples", ["model", "at"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_audit_samples_newest", table_name="audit_samples")
    op.create_index("ix_audit_samples_model", "audit_samples", ["model"], unique=False)
    op.drop_index("ix_checks_version", table_name="checks")
    op.drop_index("ix_feedback_version", table_name="feedback")
