"""A change of what roles grant raises the version that each process's copy stands under."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    run(op, (SQL / revision / "grants.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "down.sql").read_text(encoding="utf-8"))
