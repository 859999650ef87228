"""One view tells what is wrong with postings, for the check at commit and for verification."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    run(op, (SQL / revision / "posting_tie.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "posting_tie_down.sql").read_text(encoding="utf-8"))
