"""The life of accounts: rights of classes, successions, bankruptcies, and consents within groups.

Written by the database's functions (sql/0032), but for consents.
"""

from __future__ import annotations

from datetime import date, datetime

from flask_appbuilder import Model
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.domain.accounts import RIGHTS
from app.models.account import Account, of_classes


class ClassRule(Model):
    """What a class of accounts may do from a day on; the newest version begun holds; append-only."""

    __tablename__ = "class_rule"
    __table_args__ = (
        CheckConstraint(f"rights <@ '{{{','.join(RIGHTS)}}}'::text[]", name="class_rule_rights"),
        CheckConstraint(
            of_classes(),
            name="class_rule_class",
        ),
        Index("class_rule_of", "holder_class", "id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    holder_class: Mapped[str] = mapped_column(String(20))
    rights: Mapped[list[str]] = mapped_column(ARRAY(Text))
    starts_on: Mapped[date] = mapped_column(Date)
    document_no: Mapped[str] = mapped_column(String(100))
    application_id: Mapped[int | None] = mapped_column(ForeignKey("application.id"), unique=True)
    approved_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class NoticeSuccession(Model):
    """A notice that went to a successor, or was made of a part of ``of_notice_id``; append-only.

    ``owed`` are the tonnes that the successor owes by it.
    """

    __tablename__ = "notice_succession"
    __table_args__ = (
        UniqueConstraint("application_id", "notice_id", name="notice_succession_once"),
        CheckConstraint(
            "from_account_id <> to_account_id AND owed > 0", name="notice_succession_moves"
        ),
        Index("notice_succession_of", "notice_id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    application_id: Mapped[int] = mapped_column(ForeignKey("application.id"))
    notice_id: Mapped[int] = mapped_column(ForeignKey("notice.id"))
    of_notice_id: Mapped[int] = mapped_column(ForeignKey("notice.id"))
    from_account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    to_account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    owed: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Bankruptcy(Model):
    """An insolvent enterprise, and the member that its administrator is; append-only."""

    __tablename__ = "bankruptcy"

    application_id: Mapped[int] = mapped_column(ForeignKey("application.id"), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), unique=True)
    administrator: Mapped[str] = mapped_column(String(100))
    member_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"))
    starts_on: Mapped[date] = mapped_column(Date)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class GroupConsent(Model):
    """One change of 集团查看授权: whether the head may read a company; append-only."""

    __tablename__ = "group_consent"
    __table_args__ = (
        CheckConstraint("account_id <> head_id", name="consents_to_another"),
        Index("group_consent_of", "account_id", "id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    head_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    is_given: Mapped[bool] = mapped_column(Boolean)
    changed_by: Mapped[int] = mapped_column(ForeignKey("ab_user.id"))
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ip: Mapped[str] = mapped_column(String(45), server_default="")

    account: Mapped[Account] = relationship(foreign_keys=[account_id])
    head: Mapped[Account] = relationship(foreign_keys=[head_id])
