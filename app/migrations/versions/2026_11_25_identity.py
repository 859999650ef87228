"""Certificates, enrolments and signatures."""

from pathlib import Path

from alembic import op

SQL = Path(__file__).resolve().parent.parent / "sql"

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Take back."""
