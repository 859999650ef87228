"""Registry accounts, their details and switches, and the trading venues."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ColumnElement,
    Computed,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    cast,
    func,
    literal_column,
    text,
)
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column, relationship
from sqlalchemy.sql import coercions, roles
from sqlalchemy.sql.elements import Label

from app.domain.accounts import CLASSES
from app.domain.texts import FOLDS_FROM, FOLDS_TO, folded
from app.models.encrypted import Encrypted
from app.models.instrument import Instrument
from app.models.reference.dated import Dated

# Columns of ASCII letters and digits, stored folded.
CODES = frozenset({"member_no", "uscc", "code"})


def folded_sql(column: str) -> str:
    """Return the expression of a generated column: `texts.folded` in SQL."""
    # In the form PostgreSQL reports it, so that schema and model compare equal.
    return f"translate(NORMALIZE({column}, NFKC), '{FOLDS_FROM}'::text, '{FOLDS_TO}'::text)"


def has_part(
    column: ColumnElement[Any] | InstrumentedAttribute[Any], typed: str
) -> ColumnElement[bool]:
    """Return the condition that a name, code or text contains ``typed``, both folded.

    Uses the column's generated counterpart (``name_folded``) where there is one.
    """
    sought = folded(typed)
    found: Any = coercions.expect(roles.ExpressionElementRole, column)
    found = found.element if isinstance(found, Label) else found
    name = getattr(found, "name", "")
    table = getattr(found, "table", None)
    stored = table.c.get(f"{name}_folded") if table is not None else None
    if stored is not None:
        return stored.contains(sought, autoescape=True)
    if table is not None and name in CODES:
        return found.contains(sought, autoescape=True)
    folds = func.normalize(cast(found, Text), literal_column("NFKC"))
    return func.translate(folds, FOLDS_FROM, FOLDS_TO).contains(sought, autoescape=True)


def of_classes() -> str:
    named = ", ".join(f"'{each}'" for each in CLASSES)
    return f"holder_class IN ({named})"


class Account(Model):
    """A registry account (登记账户): one per subject, real name (登记管理规则 6-9)."""

    __tablename__ = "account"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('registry', 'enterprise', 'province')", name="account_kind_known"
        ),
        CheckConstraint(
            "(kind <> 'registry') = (province IS NOT NULL)", name="account_has_province"
        ),
        CheckConstraint(
            "(closed_at IS NULL) = (closed_as IS NULL) AND closed_as IN ('closed', 'retired')",
            name="account_closed_once",
        ),
        CheckConstraint(of_classes(), name="account_class_known"),
        Index("account_province", "province", "id"),
        Index(
            "account_of_province",
            "province",
            unique=True,
            postgresql_where=text("kind = 'province'"),
        ),
        Index("account_closed", "id", postgresql_where=text("closed_at IS NOT NULL")),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    member_no: Mapped[str] = mapped_column(String(20), unique=True)  # 会员编号
    name: Mapped[str] = mapped_column(String(200))
    name_folded: Mapped[str] = mapped_column(Text, Computed(folded_sql("name")), deferred=True)
    kind: Mapped[str] = mapped_column(String(20), server_default="enterprise")
    uscc: Mapped[str | None] = mapped_column(String(18), unique=True)  # 统一社会信用代码
    province: Mapped[str | None] = mapped_column(String(2))  # GB/T 2260, "42" = 湖北; "66" = 兵团
    is_restricted: Mapped[bool] = mapped_column(
        Boolean, server_default="false"
    )  # 限制: debits refused
    # 划转权限: whether the exchange may start transfers to trading (manual 四-二).
    allows_exchange_transfer: Mapped[bool] = mapped_column(Boolean, server_default="false")
    # Opened in a batch without documents, which the first 账户信息修改 must attach (manual 二-一).
    lacks_documents: Mapped[bool] = mapped_column(Boolean, server_default="false")
    # The application that opened it; no foreign key, or the two rows would wait for each other.
    opening_id: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    # 操作复核: a submission needs the approval of another operator of the enterprise.
    needs_colleague: Mapped[bool] = mapped_column(Boolean, server_default="false")
    opened_on: Mapped[date] = mapped_column(Date, server_default=func.current_date())
    holder_class: Mapped[str] = mapped_column(String(20), server_default="emitter")  # 账户类别
    # 销户, or 停用 of an account opened by mistake; written by `carry_out_closures` alone.
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    closed_as: Mapped[str | None] = mapped_column(String(10))

    # The enterprises that may receive its custody (CustodyLink).
    receivers: Mapped[list[Account]] = relationship(
        secondary="custody_link",
        primaryjoin="Account.id == custody_link.c.account_id",
        secondaryjoin="Account.id == custody_link.c.receiver_id",
        order_by="Account.member_no",
        viewonly=True,
    )

    @classmethod
    def is_open(cls) -> ColumnElement[bool]:
        """Return the condition for enterprises whose account has not ended, which can be chosen."""
        return (cls.kind == "enterprise") & cls.closed_at.is_(None)


class AccountSector(Model):
    """行业: a sector that an enterprise is in from a day on; ``ends_on`` is the first day without."""

    __tablename__ = "account_sector"
    __table_args__ = (
        CheckConstraint("ends_on >= starts_on", name="sector_ends_after_it_begins"),
        Index(
            "account_sector_once",
            "account_id",
            "sector",
            unique=True,
            postgresql_where=text("ends_on IS NULL"),
        ),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    sector: Mapped[str] = mapped_column(String(20))
    starts_on: Mapped[date] = mapped_column(Date)
    ends_on: Mapped[date | None] = mapped_column(Date)


class CustodyLink(Model):
    """关联对方重点排放单位: an enterprise that may receive another's custody (manual 六-一-2)."""

    __tablename__ = "custody_link"
    __table_args__ = (
        CheckConstraint("account_id <> receiver_id", name="links_two"),
        {"extend_existing": True},
    )

    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    receiver_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    application_id: Mapped[int] = mapped_column(BigInteger)  # approved by two officers
    linked_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    account: Mapped[Account] = relationship(foreign_keys=[account_id])
    receiver: Mapped[Account] = relationship(foreign_keys=[receiver_id])


class TransferPermissionChange(Model):
    """One change of 划转权限; append-only."""

    __tablename__ = "transfer_permission_change"
    __table_args__ = (
        Index("transfer_permission_change_account", "account_id", "id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    is_allowed: Mapped[bool] = mapped_column(Boolean)
    changed_by: Mapped[int] = mapped_column(ForeignKey("ab_user.id"))
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ip: Mapped[str] = mapped_column(String(45), server_default="")

    account: Mapped[Account] = relationship()


class ColleagueReviewChange(Model):
    """One change of 操作复核; append-only."""

    __tablename__ = "colleague_review_change"
    __table_args__ = (
        Index("colleague_review_change_account", "account_id", "id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    is_on: Mapped[bool] = mapped_column(Boolean)
    changed_by: Mapped[int] = mapped_column(ForeignKey("ab_user.id"))
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ip: Mapped[str] = mapped_column(String(45), server_default="")

    account: Mapped[Account] = relationship()


class Venue(Dated, Model):
    """A trading venue (划转交易端)."""

    __tablename__ = "venue"
    __table_args__ = (Dated.ends_after_it_begins("venue"), {"extend_existing": True})

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    code: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(String(100))

    def __str__(self) -> str:
        """Return the label of a select's option."""
        return f"{self.code} {self.name}"


class VenueInstrument(Dated, Model):
    """The trade code of an instrument at a venue, without which it cannot be transferred there."""

    __tablename__ = "venue_instrument"
    __table_args__ = (
        UniqueConstraint("venue_id", "instrument_id", name="trade_code_once"),
        Dated.ends_after_it_begins("venue_instrument"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    venue_id: Mapped[int] = mapped_column(ForeignKey("venue.id"))
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"))
    trade_code: Mapped[str] = mapped_column(String(20))

    venue: Mapped[Venue] = relationship()
    instrument: Mapped[Instrument] = relationship()


def _secret(name: str) -> Mapped[str | None]:
    return mapped_column(Encrypted(f"account_detail.{name}"))


class AccountDetail(Model):
    """The details of one account; phone, identity and bank numbers are encrypted at rest."""

    __tablename__ = "account_detail"

    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    registered_address: Mapped[str] = mapped_column(String(300), server_default="")
    legal_representative: Mapped[str] = mapped_column(String(100), server_default="")  # 法定代表人
    representative: Mapped[str] = mapped_column(String(100), server_default="")  # 账户代表
    representative_phone: Mapped[str | None] = _secret("representative_phone")
    representative_email: Mapped[str | None] = _secret("representative_email")
    representative_identity_no: Mapped[str | None] = _secret("representative_identity_no")
    bank_name: Mapped[str] = mapped_column(String(200), server_default="")
    bank_account: Mapped[str | None] = _secret("bank_account")
