"""Announcements (通知公告), and who has read them."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

SQL = Path(__file__).resolve().parent.parent / "sql"

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "announcement",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("title", sa.String(length=100), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("audience", sa.String(length=20), nullable=False),
        sa.Column("province", sa.String(length=2), nullable=True),
        sa.Column("is_pinned", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("written_by", sa.Integer(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_by", sa.Integer(), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_by", sa.Integer(), nullable=True),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("btrim(title) <> '' AND btrim(text) <> ''", name="announcement_says_it"),
        sa.CheckConstraint("char_length(text) <= 5000", name="announcement_length"),
        sa.CheckConstraint(
            "audience IN ('everybody', 'enterprises', 'authorities')", name="audience_known"
        ),
        sa.CheckConstraint(
            "(published_at IS NULL) = (published_by IS NULL)", name="announcement_published"
        ),
        sa.CheckConstraint(
            "(withdrawn_at IS NULL) = (withdrawn_by IS NULL)", name="announcement_withdrawn"
        ),
        sa.CheckConstraint("published_by <> written_by", name="announcement_by_two"),
        sa.ForeignKeyConstraint(["written_by"], ["ab_user.id"]),
        sa.ForeignKeyConstraint(["published_by"], ["ab_user.id"]),
        sa.ForeignKeyConstraint(["withdrawn_by"], ["ab_user.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "announcement_out",
        "announcement",
        ["is_pinned", "published_at", "id"],
        unique=False,
        postgresql_where=sa.text("published_at IS NOT NULL AND withdrawn_at IS NULL"),
    )
    op.create_table(
        "announcement_reading",
        sa.Column("announcement_id", sa.BigInteger(), nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["announcement_id"], ["announcement.id"]),
        sa.ForeignKeyConstraint(["member_id"], ["ab_user.id"]),
        sa.PrimaryKeyConstraint("announcement_id", "member_id"),
    )
    statements = (SQL / "0006_announcements.sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))


def downgrade() -> None:
    """Take back."""
    op.drop_table("announcement_reading")
    op.drop_index("announcement_out", table_name="announcement")
    op.drop_table("announcement")
    op.execute("DROP FUNCTION announcement_stays()")
