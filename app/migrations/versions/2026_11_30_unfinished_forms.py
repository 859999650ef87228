"""What was typed and not saved is encrypted, and knows the page that it was typed on."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    run(op, (SQL / revision / "unfinished.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "unfinished_down.sql").read_text(encoding="utf-8"))
