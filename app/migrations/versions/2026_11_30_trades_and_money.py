"""Money on the ledger's own path, and the trades of a day delivered against it."""

from alembic import op

from app.migrations import buckets
from app.migrations.buckets import SQL, run

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

BUCKETS = ("available", "reserved", "frozen", "pending_to_trading", "trading", "pending_to_registry",
           "custody", "in_return", "surrendered", "cancelled", "confiscated", "issued",
           "proceeds")  # fmt: skip


def upgrade() -> None:
    """Apply."""
    buckets.add(op, BUCKETS)
    for part in ("money", "trades"):
        run(op, (SQL / revision / f"{part}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "down.sql").read_text(encoding="utf-8"))
    buckets.remove(op, BUCKETS)
