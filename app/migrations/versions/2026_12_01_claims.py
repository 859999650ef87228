"""Claims go to successors; what was decided is revoked; refunds, bindings and paid allocation."""

import re

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

STEPS = ("columns", "refunds", "claims", "revocations", "bindings")
# What this renews, and where it stood before.
RENEWED = (
    ("0028/claims", "FUNCTION recall_claims"),
    ("0027/guards", "FUNCTION applications_keep_within"),
    ("0036/obstacles", "FUNCTION account_obstacles"),
    ("0032/succession", "FUNCTION carry_out_successions"),
    ("0039/surrender", "VIEW notice_surrender_line"),
    ("0028/claims", "VIEW line_draw"),
    ("0028/figures", "VIEW true_up"),
    ("0028/claims", "VIEW claimable"),
    ("0030/mirror", "FUNCTION offset_binding_stays"),
    ("0034/pledges", "FUNCTION pledges_keep_within"),
)


def upgrade() -> None:
    """Apply."""
    for step in STEPS:
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
