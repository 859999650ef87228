"""How late a notice was fulfilled, and surrenders by another enterprise (rules-2026 N53, N61)."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    run(op, (SQL / revision / "surrender.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "surrender_down.sql").read_text(encoding="utf-8"))
