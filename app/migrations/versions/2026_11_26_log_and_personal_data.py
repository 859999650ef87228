"""The chained operation log, dated parameters, and personal data at rest."""

from pathlib import Path

from alembic import op

SQL = Path(__file__).resolve().parent.parent / "sql"

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Take back."""
