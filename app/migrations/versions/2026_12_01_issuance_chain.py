"""The issuance chain: province accounts, what waits there, and the list of who is issued to differently."""

from __future__ import annotations

import re

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

STEPS = ("accounts", "plan", "chain", "guards", "posting_tie")


def upgrade() -> None:
    """Apply."""
    for step in STEPS:
        run(op, (SQL / revision / f"{step}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back; functions and views are again as the earlier migrations have them."""
    run(op, _earlier("0024/posting_tie", r"CREATE OR REPLACE VIEW posting_tie .*;\s*$"))
    run(
        op,
        _earlier("0023/guards", r"CREATE OR REPLACE FUNCTION applications_keep_within\(.*?\$\$;"),
    )
    run(op, _earlier("0001/applications", r"CREATE VIEW notice_surrender_line .*?;"))
    run(op, _earlier("0023/plans", r"CREATE FUNCTION carry_out_plans\(.*?\$\$;"))
    run(op, (SQL / revision / "down.sql").read_text(encoding="utf-8"))


def _earlier(file: str, pattern: str) -> str:
    """Return a statement of an earlier migration, in the form that replaces what there is."""
    found = re.search(pattern, (SQL / f"{file}.sql").read_text(encoding="utf-8"), re.S)
    assert found, f"{file}.sql has no {pattern}"
    return re.sub(r"^CREATE (?!OR REPLACE)", "CREATE OR REPLACE ", found[0])
