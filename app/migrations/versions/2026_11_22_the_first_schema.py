"""The first schema: accounts, ledger, applications, members, calendar, and the ledger's triggers."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app.models.ledger import TransactionId

SQL = Path(__file__).resolve().parent.parent / "sql"

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "ab_group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("label", sa.String(length=150), nullable=True),
        sa.Column("description", sa.String(length=512), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "ab_permission",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "ab_register_user",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("first_name", sa.String(length=64), nullable=False),
        sa.Column("last_name", sa.String(length=64), nullable=False),
        sa.Column("username", sa.String(length=128), nullable=False),
        sa.Column("password", sa.String(length=256), nullable=True),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("registration_date", sa.DateTime(), nullable=True),
        sa.Column("registration_hash", sa.String(length=256), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
        sa.UniqueConstraint("username"),
    )
    op.create_table(
        "ab_role",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "ab_view_menu",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=250), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("member_no", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=20), server_default="enterprise", nullable=False),
        sa.Column("uscc", sa.String(length=18), nullable=True),
        sa.Column("province", sa.String(length=2), nullable=True),
        sa.Column("sector", sa.String(length=20), nullable=True),
        sa.Column("is_restricted", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("allows_exchange_transfer", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("opened_on", sa.Date(), server_default=sa.text("CURRENT_DATE"), nullable=False),
        sa.CheckConstraint(
            "(kind = 'enterprise') = (province IS NOT NULL)", name="enterprise_has_province"
        ),
        sa.CheckConstraint("kind IN ('registry', 'enterprise')", name="account_kind_known"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("member_no"),
        sa.UniqueConstraint("uscc"),
    )
    op.create_index("account_province", "account", ["province", "id"], unique=False)
    op.create_table(
        "business_clock",
        sa.Column("id", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("ahead", sa.Interval(), nullable=False),
        sa.CheckConstraint("id = 1", name="one_clock"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "captcha",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.String(length=10), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "entry",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("instrument_id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("movement_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("delta", sa.BigInteger(), nullable=False),
        sa.Column("after", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "instrument_id", "seq"),
    )
    op.create_table(
        "instrument",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("vintage", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.String(length=20), server_default="allowance", nullable=False),
        sa.CheckConstraint("kind IN ('allowance', 'offset')", name="instrument_kind_known"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("code"),
    )
    op.create_table(
        "login_failure",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("key", sa.String(length=150), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("login_failure_key", "login_failure", ["key", "at"], unique=False)
    op.create_table(
        "movement",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("posting_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("instrument_id", sa.Integer(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("from_account", sa.Integer(), nullable=False),
        sa.Column("from_bucket", sa.SmallInteger(), nullable=False),
        sa.Column("to_account", sa.Integer(), nullable=False),
        sa.Column("to_bucket", sa.SmallInteger(), nullable=False),
        sa.Column(
            "recorded_xid",
            TransactionId(),
            server_default=sa.text("pg_current_xact_id()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "from_account <> to_account OR from_bucket <> to_bucket", name="goes_somewhere"
        ),
        sa.CheckConstraint(
            "from_bucket BETWEEN 1 AND 12 AND to_bucket BETWEEN 1 AND 12", name="bucket_known"
        ),
        sa.CheckConstraint("quantity > 0", name="quantity_positive"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("movement_posting", "movement", ["posting_id"], unique=False)
    op.create_index("movement_recorded", "movement", ["recorded_xid"], unique=False)
    op.create_table(
        "posting",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("business", sa.String(length=40), nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("request_key", sa.String(length=120), nullable=False),
        sa.Column("document", sa.String(length=60), server_default="", nullable=False),
        sa.Column("application_id", sa.BigInteger(), nullable=True),
        sa.Column("reverses_id", sa.BigInteger(), nullable=True),
        sa.Column("member_id", sa.Integer(), nullable=True),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("request_key"),
        sa.UniqueConstraint("reverses_id"),
    )
    op.create_index(
        "posting_application",
        "posting",
        ["application_id"],
        unique=False,
        postgresql_where=sa.text("application_id IS NOT NULL"),
    )
    op.create_table(
        "sealed_block",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("from_xid", TransactionId(), nullable=False),
        sa.Column("to_xid", TransactionId(), nullable=False),
        sa.Column("movements", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column(
            "sealed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "venue",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("code"),
    )
    op.create_table(
        "ab_group_role",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("role_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["group_id"], ["ab_group.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["role_id"], ["ab_role.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("group_id", "role_id"),
    )
    op.create_index("idx_group_id", "ab_group_role", ["group_id"], unique=False)
    op.create_index("idx_group_role_id", "ab_group_role", ["role_id"], unique=False)
    op.create_table(
        "ab_permission_view",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("permission_id", sa.Integer(), nullable=False),
        sa.Column("view_menu_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["permission_id"],
            ["ab_permission.id"],
        ),
        sa.ForeignKeyConstraint(
            ["view_menu_id"],
            ["ab_view_menu.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("permission_id", "view_menu_id"),
    )
    op.create_index("idx_permission_id", "ab_permission_view", ["permission_id"], unique=False)
    op.create_index("idx_view_menu_id", "ab_permission_view", ["view_menu_id"], unique=False)
    op.create_table(
        "ab_user",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("first_name", sa.String(length=64), nullable=False),
        sa.Column("last_name", sa.String(length=64), nullable=False),
        sa.Column("username", sa.String(length=128), nullable=False),
        sa.Column("password", sa.String(length=256), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=True),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("last_login", sa.DateTime(), nullable=True),
        sa.Column("login_count", sa.Integer(), nullable=True),
        sa.Column("fail_login_count", sa.Integer(), nullable=True),
        sa.Column("created_on", sa.DateTime(), nullable=True),
        sa.Column("changed_on", sa.DateTime(), nullable=True),
        sa.Column("created_by_fk", sa.Integer(), nullable=True),
        sa.Column("changed_by_fk", sa.Integer(), nullable=True),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("province", sa.String(length=2), nullable=True),
        sa.Column("must_change_password", sa.Boolean(), server_default="false", nullable=False),
        sa.Column(
            "password_changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["changed_by_fk"],
            ["ab_user.id"],
        ),
        sa.ForeignKeyConstraint(
            ["created_by_fk"],
            ["ab_user.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
        sa.UniqueConstraint("username"),
    )
    op.create_table(
        "holding",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("instrument_id", sa.Integer(), nullable=False),
        sa.Column("available", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("frozen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("pending_to_trading", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("trading", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("pending_to_registry", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("custody", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("in_return", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("surrendered", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cancelled", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("confiscated", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("issued", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "moved_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("'-infinity'"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "available >= 0 AND reserved >= 0 AND frozen >= 0 AND pending_to_trading >= 0 AND trading >= 0 AND pending_to_registry >= 0 AND custody >= 0 AND in_return >= 0 AND surrendered >= 0 AND cancelled >= 0 AND confiscated >= 0",
            name="never_negative",
        ),
        sa.CheckConstraint(
            "issued = 0 OR (issued < 0 AND account_id = 1)", name="only_the_issuance_account_issues"
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["instrument_id"],
            ["instrument.id"],
        ),
        sa.PrimaryKeyConstraint("account_id", "instrument_id"),
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "venue_instrument",
        sa.Column("venue_id", sa.Integer(), nullable=False),
        sa.Column("instrument_id", sa.Integer(), nullable=False),
        sa.Column("trade_code", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(
            ["instrument_id"],
            ["instrument.id"],
        ),
        sa.ForeignKeyConstraint(
            ["venue_id"],
            ["venue.id"],
        ),
        sa.PrimaryKeyConstraint("venue_id", "instrument_id"),
    )
    op.create_table(
        "ab_api_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("key_hash", sa.String(length=256), nullable=False),
        sa.Column("lookup_hash", sa.String(length=256), nullable=True),
        sa.Column("key_prefix", sa.String(length=16), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_on", sa.DateTime(), nullable=True),
        sa.Column("expires_on", sa.DateTime(), nullable=True),
        sa.Column("revoked_on", sa.DateTime(), nullable=True),
        sa.Column("last_used_on", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["ab_user.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("lookup_hash"),
        sa.UniqueConstraint("uuid"),
    )
    op.create_index("idx_api_key_lookup_hash", "ab_api_key", ["lookup_hash"], unique=True)
    op.create_index("idx_api_key_prefix", "ab_api_key", ["key_prefix"], unique=False)
    op.create_index("idx_api_key_user_id", "ab_api_key", ["user_id"], unique=False)
    op.create_table(
        "ab_permission_view_role",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("permission_view_id", sa.Integer(), nullable=True),
        sa.Column("role_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["permission_view_id"], ["ab_permission_view.id"], ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["role_id"], ["ab_role.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("permission_view_id", "role_id"),
    )
    op.create_index(
        "idx_permission_view_id", "ab_permission_view_role", ["permission_view_id"], unique=False
    )
    op.create_index("idx_role_id", "ab_permission_view_role", ["role_id"], unique=False)
    op.create_table(
        "ab_user_group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["group_id"], ["ab_group.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["ab_user.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("user_id", "group_id"),
    )
    op.create_index("idx_user_group_id", "ab_user_group", ["group_id"], unique=False)
    op.create_index("idx_user_id", "ab_user_group", ["user_id"], unique=False)
    op.create_table(
        "ab_user_role",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("role_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["role_id"], ["ab_role.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["ab_user.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("user_id", "role_id"),
    )
    op.create_table(
        "application",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("number", sa.String(length=30), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=20), server_default="draft", nullable=False),
        sa.Column("step", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reason", sa.String(length=500), server_default="", nullable=False),
        sa.Column("refusal", sa.String(length=500), server_default="", nullable=False),
        sa.Column("request_key", sa.String(length=80), nullable=False),
        sa.Column("created_by", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("submitted_by", sa.Integer(), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settles_on", sa.Date(), nullable=True),
        sa.Column("posting_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(status IN ('draft', 'refused')) OR (submitted_at IS NOT NULL)",
            name="submitted_has_a_time",
        ),
        sa.CheckConstraint(
            "status <> 'pending_settlement' OR (settles_on IS NOT NULL AND posting_id IS NOT NULL)",
            name="pending_settlement_has_a_day",
        ),
        sa.CheckConstraint("status <> 'refused' OR refusal <> ''", name="refused_says_why"),
        sa.CheckConstraint(
            "status IN ('draft', 'in_review', 'pending_settlement', 'approved', 'returned', 'withdrawn', 'refused')",
            name="status_known",
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["created_by"],
            ["ab_user.id"],
        ),
        sa.ForeignKeyConstraint(
            ["submitted_by"],
            ["ab_user.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("number"),
        sa.UniqueConstraint("request_key"),
    )
    op.create_index(
        "application_in_review",
        "application",
        ["kind", "step", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'in_review'"),
    )
    op.create_index(
        "application_of_account", "application", ["kind", "account_id", "id"], unique=False
    )
    op.create_index("application_of_kind", "application", ["kind", "id"], unique=False)
    op.create_index(
        "application_pending",
        "application",
        ["settles_on"],
        unique=False,
        postgresql_where=sa.text("status = 'pending_settlement'"),
    )
    op.create_table(
        "login_record",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("member_no", sa.String(length=128), nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=True),
        sa.Column("is_success", sa.Boolean(), nullable=False),
        sa.Column("outcome", sa.String(length=30), nullable=False),
        sa.Column("ip", sa.String(length=45), server_default="", nullable=False),
        sa.Column("user_agent", sa.String(length=300), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id"],
            ["ab_user.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("login_record_member", "login_record", ["member_id", "id"], unique=False)
    op.create_table(
        "login_session",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_reason", sa.String(length=20), server_default="", nullable=False),
        sa.Column("ip", sa.String(length=45), server_default="", nullable=False),
        sa.Column("user_agent", sa.String(length=300), server_default="", nullable=False),
        sa.Column("method", sa.String(length=20), server_default="password", nullable=False),
        sa.Column("previous_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("previous_ip", sa.String(length=45), server_default="", nullable=False),
        sa.Column("failures_since", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id"],
            ["ab_user.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index("login_session_member", "login_session", ["member_id", "id"], unique=False)
    op.create_table(
        "operation_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("member_id", sa.Integer(), nullable=True),
        sa.Column("member_no", sa.String(length=128), server_default="", nullable=False),
        sa.Column("ip", sa.String(length=45), server_default="", nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.String(length=120), server_default="", nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("result", sa.String(length=20), server_default="done", nullable=False),
        sa.Column(
            "detail", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["member_id"],
            ["ab_user.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("operation_log_member", "operation_log", ["member_id", "id"], unique=False)
    op.create_table(
        "password_record",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=False),
        sa.Column("password", sa.String(length=256), nullable=False),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["member_id"],
            ["ab_user.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("password_record_member", "password_record", ["member_id", "id"], unique=False)
    op.create_table(
        "preference",
        sa.Column("member_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id"],
            ["ab_user.id"],
        ),
        sa.PrimaryKeyConstraint("member_id", "name"),
    )
    op.create_table(
        "settlement_run",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("posting_id", sa.BigInteger(), nullable=True),
        sa.Column("to_trading_holdings", sa.Integer(), nullable=False),
        sa.Column("to_trading_quantity", sa.BigInteger(), nullable=False),
        sa.Column("to_registry_holdings", sa.Integer(), nullable=False),
        sa.Column("to_registry_quantity", sa.BigInteger(), nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["member_id"],
            ["ab_user.id"],
        ),
        sa.PrimaryKeyConstraint("day"),
    )
    op.create_table(
        "trading_day",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("is_trading", sa.Boolean(), nullable=False),
        sa.Column("note", sa.String(length=100), server_default="", nullable=False),
        sa.Column("changed_by", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["changed_by"],
            ["ab_user.id"],
        ),
        sa.PrimaryKeyConstraint("day"),
    )
    op.create_table(
        "transfer_permission_change",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("is_allowed", sa.Boolean(), nullable=False),
        sa.Column("changed_by", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ip", sa.String(length=45), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["changed_by"],
            ["ab_user.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "transfer_permission_change_account",
        "transfer_permission_change",
        ["account_id", "id"],
        unique=False,
    )
    op.create_table(
        "application_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("application_id", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("step", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=True),
        sa.Column("member_name", sa.String(length=200), server_default="", nullable=False),
        sa.Column("ip", sa.String(length=45), server_default="", nullable=False),
        sa.Column("comment", sa.String(length=500), server_default="", nullable=False),
        sa.CheckConstraint(
            "action IN ('save', 'submit', 'approve', 'send_back', 'withdraw', 'refuse')",
            name="action_known",
        ),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["application.id"],
        ),
        sa.ForeignKeyConstraint(
            ["member_id"],
            ["ab_user.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "application_event_of", "application_event", ["application_id", "id"], unique=False
    )
    op.create_table(
        "application_line",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("application_id", sa.BigInteger(), nullable=False),
        sa.Column("instrument_id", sa.Integer(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("venue_id", sa.Integer(), nullable=True),
        sa.CheckConstraint("quantity BETWEEN 1 AND 1000000000000", name="line_quantity_sane"),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["application.id"],
        ),
        sa.ForeignKeyConstraint(
            ["instrument_id"],
            ["instrument.id"],
        ),
        sa.ForeignKeyConstraint(
            ["venue_id"],
            ["venue.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "application_line_once",
        "application_line",
        ["application_id", "instrument_id"],
        unique=True,
    )
    for name in ("0001_ledger.sql", "0001_roles.sql"):
        statements = (SQL / name).read_text(encoding="utf-8")
        op.get_bind().exec_driver_sql(statements.replace("%", "%%"))


def downgrade() -> None:
    """Take back."""
    op.execute("DROP FUNCTION movement_digest(movement, posting) CASCADE")
    op.drop_index("application_line_once", table_name="application_line")
    op.drop_table("application_line")
    op.drop_index("application_event_of", table_name="application_event")
    op.drop_table("application_event")
    op.drop_index("transfer_permission_change_account", table_name="transfer_permission_change")
    op.drop_table("transfer_permission_change")
    op.drop_table("trading_day")
    op.drop_table("settlement_run")
    op.drop_table("preference")
    op.drop_index("password_record_member", table_name="password_record")
    op.drop_table("password_record")
    op.drop_index("operation_log_member", table_name="operation_log")
    op.drop_table("operation_log")
    op.drop_index("login_session_member", table_name="login_session")
    op.drop_table("login_session")
    op.drop_index("login_record_member", table_name="login_record")
    op.drop_table("login_record")
    op.drop_index(
        "application_pending",
        table_name="application",
        postgresql_where=sa.text("status = 'pending_settlement'"),
    )
    op.drop_index("application_of_kind", table_name="application")
    op.drop_index("application_of_account", table_name="application")
    op.drop_index(
        "application_in_review",
        table_name="application",
        postgresql_where=sa.text("status = 'in_review'"),
    )
    op.drop_table("application")
    op.drop_table("ab_user_role")
    op.drop_index("idx_user_id", table_name="ab_user_group")
    op.drop_index("idx_user_group_id", table_name="ab_user_group")
    op.drop_table("ab_user_group")
    op.drop_index("idx_role_id", table_name="ab_permission_view_role")
    op.drop_index("idx_permission_view_id", table_name="ab_permission_view_role")
    op.drop_table("ab_permission_view_role")
    op.drop_index("idx_api_key_user_id", table_name="ab_api_key")
    op.drop_index("idx_api_key_prefix", table_name="ab_api_key")
    op.drop_index("idx_api_key_lookup_hash", table_name="ab_api_key")
    op.drop_table("ab_api_key")
    op.drop_table("venue_instrument")
    op.drop_table("holding")
    op.drop_table("ab_user")
    op.drop_index("idx_view_menu_id", table_name="ab_permission_view")
    op.drop_index("idx_permission_id", table_name="ab_permission_view")
    op.drop_table("ab_permission_view")
    op.drop_index("idx_group_role_id", table_name="ab_group_role")
    op.drop_index("idx_group_id", table_name="ab_group_role")
    op.drop_table("ab_group_role")
    op.drop_table("venue")
    op.drop_table("sealed_block")
    op.drop_index(
        "posting_application",
        table_name="posting",
        postgresql_where=sa.text("application_id IS NOT NULL"),
    )
    op.drop_table("posting")
    op.drop_index("movement_recorded", table_name="movement")
    op.drop_index("movement_posting", table_name="movement")
    op.drop_table("movement")
    op.drop_index("login_failure_key", table_name="login_failure")
    op.drop_table("login_failure")
    op.drop_table("instrument")
    op.drop_table("entry")
    op.drop_table("captcha")
    op.drop_table("business_clock")
    op.drop_index("account_province", table_name="account")
    op.drop_table("account")
    op.drop_table("ab_view_menu")
    op.drop_table("ab_role")
    op.drop_table("ab_register_user")
    op.drop_table("ab_permission")
    op.drop_table("ab_group")
    for function in (
        "post_movements()",
        "reverse_exactly()",
        "append_only()",
        "holding_is_derived()",
        "final_states_stay()",
        "submitted_lines_stay()",
        "seal_movements()",
        "block_root(bytea, xid8, xid8)",
        "check_membership()",
    ):
        op.execute(f"DROP FUNCTION IF EXISTS {function} CASCADE")
