"""The life of accounts: classes, succession, bankruptcy, closure, and what a group's head may read."""

import re

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

STEPS = ("closure", "classes", "succession", "bankruptcy", "group_view")


def upgrade() -> None:
    """Apply."""
    for step in STEPS:
        run(op, (SQL / revision / f"{step}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back; a notice's history is checked as before."""
    run(op, (SQL / revision / "down.sql").read_text(encoding="utf-8"))
    text = (SQL / "0023" / "notices.sql").read_text(encoding="utf-8")
    found = re.search(r"CREATE OR REPLACE FUNCTION notice_follows_history\(.*?\$\$;", text, re.S)
    assert found
    run(op, found[0])
