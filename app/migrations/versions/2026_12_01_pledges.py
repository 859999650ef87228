"""Pledges, as notes or as holds, and what ends them (rules-2026 N110-N114)."""

import re

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

# What this renews, and where it stood before.
RENEWED = (
    ("0031/surrender", "VIEW notice_surrender_line"),
    ("0031/surrender", "FUNCTION assisted_surrenders_keep_within"),
    ("0030/follow", "FUNCTION offsets_follow"),
    ("0032/closure", "FUNCTION account_obstacles"),
    ("0032/classes", "FUNCTION right_of_kind"),
)


def upgrade() -> None:
    """Apply."""
    for step in ("pledges", "renewed"):
        run(op, (SQL / revision / f"{step}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back; what was renewed is as before."""
    for file, what in RENEWED:
        text = (SQL / f"{file}.sql").read_text(encoding="utf-8")
        end = r";\n" if what.startswith("VIEW") else r"\$\$;\n"
        found = re.search(rf"CREATE (?:OR REPLACE )?({what}\b.*?{end})", text, re.S)
        assert found, what
        run(op, f"CREATE OR REPLACE {found[1]}")
    run(op, (SQL / revision / "down.sql").read_text(encoding="utf-8"))
