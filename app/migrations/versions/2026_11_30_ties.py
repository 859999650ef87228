"""Postings tied to the events that they carry out, and the routes of each kind."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    run(op, (SQL / revision / "ties.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "ties_down.sql").read_text(encoding="utf-8"))
