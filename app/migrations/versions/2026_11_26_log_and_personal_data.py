"""The chained operation log, dated parameters, personal data at rest, and an enterprise's operators."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

from app.models.ledger import TransactionId

SQL = Path(__file__).resolve().parent.parent / "sql"

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "operation_log",
        sa.Column("certificate", sa.String(length=64), server_default="", nullable=False),
    )
    # A log names whom and what it is about; it does not depend on them, nor hold them while it writes.
    for column in ("account_id", "member_id"):
        op.drop_constraint(f"operation_log_{column}_fkey", "operation_log")
    for table in ("operation_log", "login_record"):
        op.add_column(
            table,
            sa.Column(
                "recorded_xid",
                TransactionId(),
                server_default=sa.text("pg_current_xact_id()"),
                nullable=False,
            ),
        )
        op.create_index(f"{table}_recorded", table, ["recorded_xid"], unique=False)
    op.create_table(
        "log_block",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("from_xid", TransactionId(), nullable=False),
        sa.Column("to_xid", TransactionId(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column(
            "sealed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "log_seal",
        sa.Column("log", sa.String(length=20), nullable=False),
        sa.Column("row_id", sa.BigInteger(), nullable=False),
        sa.Column("block_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log", "row_id"),
    )
    op.create_index("log_seal_block", "log_seal", ["block_id"], unique=False)
    op.create_table(
        "parameter",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("value", sa.String(length=100), nullable=False),
        sa.Column("effective_from", sa.Date(), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("set_by", sa.Integer(), nullable=True),
        sa.Column(
            "set_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["set_by"],
            ["ab_user.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "parameter_in_force", "parameter", ["name", "effective_from", "id"], unique=False
    )
    # Asked with every page: who else can sign in for the enterprise.
    op.create_index("ab_user_account", "ab_user", ["account_id"], unique=False)
    for name in ("0005_log.sql", "0005_operators.sql"):
        _run(name)


def downgrade() -> None:
    """Take back."""
    _run("0005_operators_down.sql")
    for function in (
        "seal_log()",
        "log_root(bytea, bigint, xid8, xid8)",
        "log_digest(operation_log)",
        "log_digest(login_record)",
    ):
        op.execute(f"DROP FUNCTION {function}")
    op.drop_index("ab_user_account", table_name="ab_user")
    op.drop_index("parameter_in_force", table_name="parameter")
    op.drop_table("parameter")
    op.drop_index("log_seal_block", table_name="log_seal")
    op.drop_table("log_seal")
    op.drop_table("log_block")
    for table in ("login_record", "operation_log"):
        op.drop_index(f"{table}_recorded", table_name=table)
        op.drop_column(table, "recorded_xid")
    op.create_foreign_key(None, "operation_log", "account", ["account_id"], ["id"])
    op.create_foreign_key(None, "operation_log", "ab_user", ["member_id"], ["id"])
    op.drop_column("operation_log", "certificate")


def _run(name: str) -> None:
    statements = (SQL / name).read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
