"""Files: the attachments (附件) of applications, and the tables that were imported."""

from __future__ import annotations

from datetime import datetime

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

LARGEST = 10 * 1024 * 1024  # bytes


class Attachment(Model):
    """One file; until its application is saved it belongs to the form's request key.

    The content never changes, and the row can be deleted only while the application is a draft or
    returned: privileges and the trigger submitted_attachments_stay enforce it.
    """

    __tablename__ = "attachment"
    __table_args__ = (
        CheckConstraint(f"size BETWEEN 1 AND {LARGEST}", name="attachment_size_sane"),
        CheckConstraint("octet_length(content) = size", name="attachment_is_whole"),
        CheckConstraint(
            "application_id IS NOT NULL OR request_key <> ''", name="attachment_belongs_somewhere"
        ),
        Index("attachment_of", "application_id", "id"),
        Index(
            "attachment_waiting",
            "request_key",
            "id",
            postgresql_where=text("application_id IS NULL"),
        ),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    application_id: Mapped[int | None] = mapped_column(ForeignKey("application.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    request_key: Mapped[str] = mapped_column(String(80), server_default="")
    category: Mapped[str] = mapped_column(String(40), server_default="")
    name: Mapped[str] = mapped_column(String(200))  # of the upload
    media_type: Mapped[str] = mapped_column(String(100))  # detected from the content
    size: Mapped[int] = mapped_column(Integer)  # bytes
    sha256: Mapped[str] = mapped_column(String(64))
    content: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    uploaded_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    uploaded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class ImportFile(Model):
    """An imported file, or a table that the reporting platform's machine pushed; append-only.

    ``attempt`` counts imports of the same content, allowed once all drafts of the last are withdrawn, or
    the pushed table was sent back.
    """

    __tablename__ = "import_file"
    __table_args__ = (
        CheckConstraint("rows > 0", name="import_file_has_rows"),
        CheckConstraint(
            "client_id IS NULL OR (kind = 'figures' AND imported_by IS NULL)",
            name="import_file_by_machine",
        ),
        UniqueConstraint("kind", "sha256", "attempt", name="import_file_once"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))  # what was imported: allocation, notice ...
    name: Mapped[str] = mapped_column(String(200))
    sha256: Mapped[str] = mapped_column(String(64))
    rows: Mapped[int] = mapped_column(Integer)
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    imported_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    client_id: Mapped[int | None] = mapped_column(ForeignKey("machine_client.id"))
    imported_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
