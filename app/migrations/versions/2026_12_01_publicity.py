"""Publications, penalties, the layout of the yearly report, and fees."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

STEPS = ("publicity", "reference")


def upgrade() -> None:
    """Apply."""
    for step in STEPS:
        run(op, (SQL / revision / f"{step}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "down.sql").read_text(encoding="utf-8"))
