"""Large holdings, differences with banks, and the indexes of the lists of trades."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for part in ("large_holdings", "lists"):
        run(op, (SQL / revision / f"{part}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "down.sql").read_text(encoding="utf-8"))
