"""The first schema: tables, triggers and functions, by subject, and the queue's own schema."""

import re

import sqlalchemy as sa
from alembic import op
from procrastinate.schema import SchemaManager

from app.migrations.buckets import SQL, run

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FILES = [
    SQL / revision / f"{name}.sql"
    for name in ("members", "post_movements", "ledger", "identity", "applications",
                 "application_guards", "records")
]  # fmt: skip
# Those of its day, in the order of their numbers; a later migration adds to them.
BUCKETS = (
    "available", "reserved", "frozen", "pending_to_trading", "trading", "pending_to_registry",
    "custody", "in_return", "surrendered", "cancelled", "confiscated", "issued",
)  # fmt: skip
QUEUE = "job_queue"  # The queue's own schema: its tables are a library's, not ours.


def upgrade() -> None:
    """Apply."""
    for file in FILES:
        run(op, file.read_text(encoding="utf-8"), BUCKETS)
    _queue()


def downgrade() -> None:
    """Take back."""
    op.execute(f"DROP SCHEMA {QUEUE} CASCADE")
    statements = "".join(file.read_text(encoding="utf-8") for file in FILES)
    for kind in ("VIEW", "TABLE", "FUNCTION"):
        for name in re.findall(rf"^CREATE (?:OR REPLACE )?{kind} (\w+)", statements, re.MULTILINE):
            op.execute(f"DROP {kind} IF EXISTS {name} CASCADE")


def _queue() -> None:
    """Install the queue's schema as the pinned library brings it.

    Every function keeps to its own schema, whatever the caller's search path is.
    """
    connection = op.get_bind()
    before = connection.scalar(sa.text("SELECT current_setting('search_path')"))
    op.execute(f"CREATE SCHEMA {QUEUE}")
    op.execute(f"SET LOCAL search_path TO {QUEUE}")
    run(op, SchemaManager.get_schema())
    connection.execute(sa.text("SELECT set_config('search_path', :path, true)"), {"path": before})
    functions = connection.scalars(
        sa.text(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = CAST(:s AS regnamespace)"
        ),
        {"s": QUEUE},
    ).all()
    for signature in functions:
        run(op, f"ALTER FUNCTION {signature} SET search_path = {QUEUE}")
