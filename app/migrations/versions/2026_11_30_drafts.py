"""Drafts that their applicant deletes, the form that changed them last, and what was typed so far."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    run(op, (SQL / revision / "drafts.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "drafts_down.sql").read_text(encoding="utf-8"))
