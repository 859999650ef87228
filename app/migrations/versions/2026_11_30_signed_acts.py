"""Where acts are signed none stands without its signature; what was sent or decided stays."""

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for name in ("signed", "kept"):
        run(op, (SQL / revision / f"{name}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back; it refuses where an act or a withdrawal was signed."""
    run(op, (SQL / revision / "down.sql").read_text(encoding="utf-8"))
