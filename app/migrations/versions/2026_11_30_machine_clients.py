"""Machine clients sign in with keys that two officers register, and ask for transfers by numbers of their own."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    run(op, (SQL / revision / "machines.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "machines_down.sql").read_text(encoding="utf-8"))
