"""Every business of the manual: parties, sources, notices, attachments, certificates of record."""

from pathlib import Path

from alembic import op

SQL = Path(__file__).resolve().parent.parent / "sql"

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for name in ("0002_files.sql", "0002_businesses.sql"):
        _run(name)


def downgrade() -> None:
    """Take back."""
    for name in ("0002_businesses_down.sql", "0002_files_down.sql"):
        _run(name)


def _run(name: str) -> None:
    statements = (SQL / name).read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
