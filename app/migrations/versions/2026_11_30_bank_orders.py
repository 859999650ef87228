"""Transfers at settlement banks, and what a bank says of them."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for part in ("orders", "bookings", "signed"):
        run(op, (SQL / revision / f"{part}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "down.sql").read_text(encoding="utf-8"))
