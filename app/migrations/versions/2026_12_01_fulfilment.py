"""Fulfilled in time for a carry-over counts CCER, assistance and commissions, too."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0036"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    run(op, (SQL / revision / "fulfilment.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "down.sql").read_text(encoding="utf-8"))
