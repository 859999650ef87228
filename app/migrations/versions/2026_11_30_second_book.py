"""The second book: what an independent checker computed of each day."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    run(op, (SQL / revision / "second_book.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "second_book_down.sql").read_text(encoding="utf-8"))
