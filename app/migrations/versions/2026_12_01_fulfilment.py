"""All that counts for a notice counts as fulfilled in time for a carry-over; settled transfers are over."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for name in ("fulfilment.sql", "obstacles.sql"):
        run(op, (SQL / revision / name).read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "down.sql").read_text(encoding="utf-8"))
