"""The settlement reserve covers a buyer's default; one application at a time about a difference."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    run(op, (SQL / revision / "reserve.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "reserve_down.sql").read_text(encoding="utf-8"))
