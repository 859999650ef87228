"""The review by a colleague, and who is let in or kept out, change by signed acts alone."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    run(op, (SQL / revision / "switches.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "switches_down.sql").read_text(encoding="utf-8"))
