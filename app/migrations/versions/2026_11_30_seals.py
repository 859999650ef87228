"""The registry's seal on attestations, which the signing process puts on."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute("ALTER TABLE attestation ADD COLUMN seal bytea")
    _guard("seal, ")


def downgrade() -> None:
    """Take back."""
    _guard("")
    op.execute("ALTER TABLE attestation DROP COLUMN seal")


def _guard(more: str) -> None:
    """Name the columns that never change: every one but the time at which it lapses."""
    op.execute("DROP TRIGGER append_only ON attestation")
    op.execute(
        "CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE OR UPDATE OF "
        f"{more}id, number, code, kind, account_id, application_id, notice_id, content, issued_at,"
        " issued_by ON attestation FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
    )
