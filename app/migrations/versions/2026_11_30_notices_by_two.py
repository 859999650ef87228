"""Notices are issued, changed and withdrawn by approved applications, which their history names."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    run(op, (SQL / revision / "notices.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "notices_down.sql").read_text(encoding="utf-8"))
