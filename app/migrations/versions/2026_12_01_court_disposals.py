"""What a court froze, surrendered with its consent or sold for it (rules-2026 N103, N105)."""

import re

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

# What this renews, and where it stood before.
RENEWED = (
    ("0034/renewed", "VIEW notice_surrender_line"),
    ("0034/renewed", "FUNCTION assisted_surrenders_keep_within"),
    ("0034/renewed", "FUNCTION offsets_follow"),
    ("0034/renewed", "FUNCTION right_of_kind"),
    ("0024/court_orders", "FUNCTION serve_court_orders"),
    ("0024/court_orders", "VIEW court_order_fault"),
    ("0024/court_orders", "FUNCTION note_court_assignment"),
    ("0024/court_orders", "FUNCTION carry_out_court_measures"),
)


def upgrade() -> None:
    """Apply."""
    for step in ("surrender", "sales"):
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
