"""Messages that are delivered after the commit, and work that takes longer than a request."""

import sqlalchemy as sa
from alembic import op
from procrastinate.schema import SchemaManager
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

QUEUE = "job_queue"  # The queue's own schema: its tables are a library's, not ours.


def upgrade() -> None:
    """Apply."""
    _outbox()
    _jobs()
    for table in ("outbox_attempt", "job_failure"):
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        )
    _queue()


def downgrade() -> None:
    """Take back."""
    op.execute(f"DROP SCHEMA {QUEUE} CASCADE")
    for table in ("job_failure", "job", "mailbox_message", "outbox_attempt", "outbox_message"):
        op.drop_table(table)


def _outbox() -> None:
    op.create_table(
        "outbox_message",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("recipient", sa.String(length=254), nullable=False),
        sa.Column("subject", sa.String(length=200), server_default="", nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("purpose", sa.String(length=40), nullable=False),
        sa.Column("has_secret", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=True),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("dedupe_key", sa.String(length=200), nullable=True),
        sa.Column("state", sa.String(length=10), server_default="queued", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        _instant("created_at"),
        _instant("due_at"),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("channel IN ('mail', 'sms')", name="message_channel_known"),
        sa.CheckConstraint(
            "state IN ('queued', 'sending', 'sent', 'failed')", name="message_state_known"
        ),
        sa.CheckConstraint(
            "NOT has_secret OR body IS NULL OR state IN ('queued', 'sending')",
            name="secrets_do_not_stay",
        ),
        sa.ForeignKeyConstraint(["member_id"], ["ab_user.id"]),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dedupe_key"),
    )
    op.create_index(
        "outbox_message_due",
        "outbox_message",
        ["due_at"],
        postgresql_where=sa.text("state IN ('queued', 'sending')"),
    )
    op.create_table(
        "outbox_attempt",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        _instant("at"),
        sa.Column("result", sa.String(length=20), nullable=False),
        sa.Column("detail", sa.String(length=300), server_default="", nullable=False),
        sa.CheckConstraint(
            "result IN ('sent', 'unavailable', 'refused', 'off', 'lost')",
            name="attempt_result_known",
        ),
        sa.ForeignKeyConstraint(["message_id"], ["outbox_message.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("outbox_attempt_of", "outbox_attempt", ["message_id", "id"])
    op.create_table(
        "mailbox_message",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("recipient", sa.String(length=254), nullable=False),
        sa.Column("subject", sa.String(length=200), server_default="", nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        _instant("received_at"),
        sa.ForeignKeyConstraint(["message_id"], ["outbox_message.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("message_id"),
    )


def _jobs() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("title", sa.String(length=200), server_default="", nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("ip", sa.String(length=45), server_default="", nullable=False),
        _json("arguments"),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), server_default="0", nullable=False),
        sa.Column("done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.String(length=10), server_default="queued", nullable=False),
        _json("result"),
        sa.Column("error", sa.String(length=500), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        _instant("changed_at"),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'done', 'failed', 'aborted')", name="job_state_known"
        ),
        sa.CheckConstraint("done + failed <= total", name="job_counts_sane"),
        sa.ForeignKeyConstraint(["member_id"], ["ab_user.id"]),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("job_member", "job", ["member_id", "id"])
    op.create_table(
        "job_failure",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("item", sa.BigInteger(), nullable=True),
        sa.Column("number", sa.String(length=120), server_default="", nullable=False),
        sa.Column("subject", sa.String(length=200), server_default="", nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("job_failure_of", "job_failure", ["job_id", "id"])


def _queue() -> None:
    """Install the queue's schema as the pinned library brings it.

    Every function keeps to its own schema, whatever the caller's search path is.
    """
    connection = op.get_bind()
    before = connection.scalar(sa.text("SELECT current_setting('search_path')"))
    op.execute(f"CREATE SCHEMA {QUEUE}")
    op.execute(f"SET LOCAL search_path TO {QUEUE}")
    connection.exec_driver_sql(SchemaManager.get_schema().replace("%", "%%"))
    connection.execute(sa.text("SELECT set_config('search_path', :path, true)"), {"path": before})
    functions = connection.scalars(
        sa.text(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = CAST(:s AS regnamespace)"
        ),
        {"s": QUEUE},
    ).all()
    for signature in functions:
        connection.exec_driver_sql(f"ALTER FUNCTION {signature} SET search_path = {QUEUE}")


def _instant(name: str) -> sa.Column:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
    )


def _json(name: str) -> sa.Column:
    return sa.Column(
        name, postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
    )
