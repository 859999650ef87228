"""Plans of years and sectors; notices of account, year and sector; the sectors of an account."""

import re

from alembic import op

from app.migrations.buckets import SQL, run

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

STEPS = ("plans", "sectors", "notices", "use", "guards", "large_holdings", "seed", "calendar")


def upgrade() -> None:
    """Apply."""
    for step in STEPS:
        run(op, (SQL / revision / f"{step}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back; functions are again as the earlier migrations have them."""
    run(op, (SQL / revision / "down.sql").read_text(encoding="utf-8"))
    run(op, _earlier("0001/application_guards", "applications_keep_within"))
    run(op, _earlier("0020/large_holdings", "find_large_holdings"))
    for name in ("notice_terms", "carry_out_notices", "notice_follows_history"):
        run(op, _earlier("0013/notices", name))
    run(op, _TRIGGERS)


def _earlier(file: str, function: str) -> str:
    """Return a function's text in an earlier migration."""
    text = (SQL / f"{file}.sql").read_text(encoding="utf-8")
    found = re.search(rf"CREATE FUNCTION {function}\(.*?\$\$;", text, re.S)
    assert found, f"{file}.sql has no function {function}"
    return found[0].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)


_TRIGGERS = """
CREATE CONSTRAINT TRIGGER notice_follows_history
  AFTER INSERT OR UPDATE OF account_id, year, obligation, deadline, offset_percent, withdrawn_at
  ON notice DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION notice_follows_history();
CREATE CONSTRAINT TRIGGER notice_follows_history AFTER INSERT OR DELETE
  ON notice_instrument DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION notice_follows_history();
"""
