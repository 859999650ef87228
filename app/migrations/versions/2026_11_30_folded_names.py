"""Names as they are searched: width, spaces, case, radicals and 〇/○ make no difference."""

import sqlalchemy as sa
from alembic import op

from app.models.folding import folded_sql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "account",
        sa.Column("name_folded", sa.Text(), sa.Computed(folded_sql("name"), persisted=True)),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_column("account", "name_folded")
