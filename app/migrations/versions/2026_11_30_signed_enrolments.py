"""Who signed for an enrolment."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    run(op, (SQL / revision / "enrolments.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "enrolments_down.sql").read_text(encoding="utf-8"))
