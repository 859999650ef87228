"""What an account owes, and no other bank while it does."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    run(op, (SQL / revision / "receivables.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "receivables_down.sql").read_text(encoding="utf-8"))
