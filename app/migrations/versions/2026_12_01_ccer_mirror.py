"""A mirror of what the CCER registry has frozen for offset, in place of CCER as an instrument."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

STEPS = ("instruments", "mirror", "views", "follow")


def upgrade() -> None:
    """Apply; a database where CCER was issued as an instrument is refused in one sentence."""
    for step in STEPS:
        run(op, (SQL / revision / f"{step}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    run(op, (SQL / revision / "down.sql").read_text(encoding="utf-8"))
