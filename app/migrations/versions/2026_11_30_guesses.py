"""Sign-in: counters by member and address that functions alone write, known devices, kept sounds."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    run(op, (SQL / revision / "guesses.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "guesses_down.sql").read_text(encoding="utf-8"))
