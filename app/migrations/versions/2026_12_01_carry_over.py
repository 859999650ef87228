"""Carry-over of older vintages into a newer one: rounds, notices, and what applications brought."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for part in ("rounds", "notices", "applications", "posting_tie", "signed"):
        run(op, (SQL / revision / f"{part}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back; the tie of postings is again as 0028 has it."""
    run(op, (SQL / "0028" / "posting_tie.sql").read_text(encoding="utf-8"))
    run(op, (SQL / revision / "down.sql").read_text(encoding="utf-8"))
