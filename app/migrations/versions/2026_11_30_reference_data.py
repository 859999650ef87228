"""Reference data: sectors, categories and cities; venues and trade codes become dated."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

SQL = Path(__file__).resolve().parent.parent / "sql"

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

DATED_ALREADY = ("venue", "venue_instrument")


def _dates() -> list[sa.Column]:
    return [
        sa.Column("valid_from", sa.Date(), server_default="2021-02-01", nullable=False),
        sa.Column("disabled_from", sa.Date(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
    ]


def _key() -> sa.Column:
    return sa.Column("id", sa.Integer(), sa.Identity(), primary_key=True, nullable=False)


def _table(name: str, *parts: sa.Column | sa.Constraint) -> None:
    dates = sa.CheckConstraint("disabled_from >= valid_from", name=f"{name}_dates")
    op.create_table(name, _key(), *parts, *_dates(), dates)


def upgrade() -> None:
    """Apply."""
    _table(
        "sector",
        sa.Column("code", sa.String(20), nullable=False, unique=True),
        sa.Column("name", sa.String(40), nullable=False, unique=True),
        sa.Column("name_en", sa.String(80), server_default="", nullable=False),
    )
    _table(
        "category",
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("code", sa.String(30), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("name_en", sa.String(80), server_default="", nullable=False),
        sa.UniqueConstraint("kind", "code", name="category_code"),
        sa.UniqueConstraint("kind", "name", name="category_name"),
    )
    _table(
        "city",
        sa.Column("province", sa.String(2), nullable=False),
        sa.Column("code", sa.String(6), nullable=False, unique=True),
        sa.Column("name", sa.String(40), nullable=False),
        sa.UniqueConstraint("province", "name", name="city_name"),
        sa.CheckConstraint("code ~ '^[0-9]{6}$'", name="city_code_digits"),
        sa.CheckConstraint("left(code, 2) = province", name="city_code_of_province"),
    )
    op.create_table(
        "reference_version",
        sa.Column("is_only", sa.Boolean(), server_default="true", nullable=False, primary_key=True),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.CheckConstraint("is_only", name="one_version"),
    )
    for table in DATED_ALREADY:
        for column in _dates():
            op.add_column(table, column)
        op.create_check_constraint(f"{table}_dates", table, "disabled_from >= valid_from")
    op.drop_constraint("venue_instrument_pkey", "venue_instrument")
    op.add_column("venue_instrument", _key())
    op.create_primary_key("venue_instrument_pkey", "venue_instrument", ["id"])
    op.create_unique_constraint(
        "trade_code_once", "venue_instrument", ["venue_id", "instrument_id"]
    )
    statements = (SQL / "0002_reference.sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))


def downgrade() -> None:
    """Take back."""
    for table in DATED_ALREADY:
        op.execute(f"DROP TRIGGER reference_stays ON {table}")
    op.drop_constraint("venue_instrument_pkey", "venue_instrument")
    op.drop_constraint("trade_code_once", "venue_instrument")
    op.drop_column("venue_instrument", "id")
    op.create_primary_key(
        "venue_instrument_pkey", "venue_instrument", ["venue_id", "instrument_id"]
    )
    for table in DATED_ALREADY:
        op.drop_constraint(f"{table}_dates", table)
        for column in ("valid_from", "disabled_from", "version"):
            op.drop_column(table, column)
    for table in ("sector", "category", "city", "reference_version"):
        op.drop_table(table)
    op.execute("DROP FUNCTION reference_stays()")
    op.execute("DROP FUNCTION raise_reference_version()")
