"""A member's own systems sign in with keys that the member issues under its certificate."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    run(op, (SQL / revision / "credentials.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "credentials_down.sql").read_text(encoding="utf-8"))
