"""Verified and allocated figures, deductions, claims and their netting."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for step in ("figures", "claims", "posting_tie"):
        run(op, (SQL / revision / f"{step}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back; the tie of postings is again as 0027 has it."""
    run(op, (SQL / "0027" / "posting_tie.sql").read_text(encoding="utf-8"))
    run(op, (SQL / revision / "down.sql").read_text(encoding="utf-8"))
