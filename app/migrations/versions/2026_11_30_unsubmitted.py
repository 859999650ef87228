"""What has not been submitted, by who created it: counted for the quotas of files and drafts."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index(
        "application_unsubmitted",
        "application",
        ["created_by", "id"],
        postgresql_where=sa.text("status IN ('draft', 'returned')"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index("application_unsubmitted", "application")
