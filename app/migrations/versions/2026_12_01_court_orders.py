"""Court orders: freezes in a queue by the time of service, and what they hold."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for part in ("court_orders", "posting_tie"):
        run(op, (SQL / revision / f"{part}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "down.sql").read_text(encoding="utf-8"))
