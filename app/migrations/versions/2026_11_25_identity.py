"""Certificates, enrolments and signatures."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

SQL = Path(__file__).resolve().parent.parent / "sql"

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    statements = (SQL / "0004_identity.sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))


def downgrade() -> None:
    """Take back."""
    op.execute("DELETE FROM captcha")  # They live for three minutes.
    op.add_column("captcha", sa.Column("answer", sa.String(10), nullable=False))
    op.drop_column("login_session", "certificate_id")
    for table in ("challenge", "signature_event", "signature", "crl", "certificate",
                  "certificate_enrolment"):  # fmt: skip
        op.drop_table(table)
    for function in ("certificate_stays()", "enrolment_stays()"):
        op.execute(f"DROP FUNCTION {function}")
