"""The reporting platform pushes its tables by a machine interface of its own (rules-2026 N03, N04)."""

import re

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

# What this renews, and where it stood before.
RENEWED = (
    ("0028/figures", "VIEW current_figure"),
    ("0029/signed", "FUNCTION acts_are_signed"),
    ("0015/machines", "FUNCTION carry_out_machine_keys"),
)


def upgrade() -> None:
    """Apply."""
    for step in ("clients", "tables", "signed"):
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
