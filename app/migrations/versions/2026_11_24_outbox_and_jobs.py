"""Messages that are delivered after the commit, and work that takes longer than a request."""

from pathlib import Path

from alembic import op

SQL = Path(__file__).resolve().parent.parent / "sql"

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Take back."""
