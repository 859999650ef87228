"""A bucket of what holders give back or carry over: recalled (rules-2026 N26, N71)."""

from alembic import op

from app.migrations import buckets

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

BUCKETS = ("available", "reserved", "frozen", "pending_to_trading", "trading",
           "pending_to_registry", "custody", "in_return", "surrendered", "cancelled",
           "confiscated", "issued", "proceeds", "recalled")  # fmt: skip


def upgrade() -> None:
    """Apply."""
    buckets.add(op, BUCKETS)


def downgrade() -> None:
    """Take back."""
    buckets.remove(op, BUCKETS)
