"""The ledger's tables: holdings, postings, movements, entries and sealed blocks.

The application's role may insert postings and movements and read the rest; a trigger on
``movement`` derives holdings and entries (app/migrations, docs/adr/0002).
"""

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
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import UserDefinedType

from app.domain.moves import ISSUANCE_ACCOUNT_ID, Bucket
from app.models.account import Account
from app.models.instrument import Instrument

_NEVER_BELOW_ZERO = " AND ".join(
    f"{bucket.column} >= 0" for bucket in Bucket if bucket is not Bucket.ISSUED
)


class TransactionId(UserDefinedType[int]):
    """PostgreSQL's xid8: the 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self) -> str:
        return "XID8"


def _bucket() -> Mapped[int]:
    return mapped_column(BigInteger, server_default="0")


class Holding(Model):
    """The balances of an account and instrument, in tonnes, one column a bucket.

    Written by the trigger on ``movement`` only.
    """

    __tablename__ = "holding"
    __table_args__ = (
        CheckConstraint(_NEVER_BELOW_ZERO, name="never_negative"),
        CheckConstraint(
            f"issued = 0 OR (issued < 0 AND account_id = {ISSUANCE_ACCOUNT_ID})",
            name="only_the_issuance_account_issues",
        ),
        {"extend_existing": True, "postgresql_with": {"fillfactor": 70}},
    )

    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"), primary_key=True)
    available: Mapped[int] = _bucket()  # 登记可用量
    reserved: Mapped[int] = _bucket()  # held by applications under review
    frozen: Mapped[int] = _bucket()  # frozen by an authority; 登记冻结量 = reserved + frozen
    pending_to_trading: Mapped[int] = _bucket()  # 登记待划转量 = 待转交易量
    trading: Mapped[int] = _bucket()  # 交易持有量
    pending_to_registry: Mapped[int] = _bucket()  # 交易待划转量
    custody: Mapped[int] = _bucket()
    in_return: Mapped[int] = _bucket()
    surrendered: Mapped[int] = _bucket()
    cancelled: Mapped[int] = _bucket()
    confiscated: Mapped[int] = _bucket()
    issued: Mapped[int] = _bucket()  # minus the issued tonnes; issuance account only
    proceeds: Mapped[int] = _bucket()  # fen of the day's sales; instruments of kind money only
    recalled: Mapped[int] = _bucket()
    version: Mapped[int] = mapped_column(BigInteger, server_default="0")  # entries so far
    moved_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=text("'-infinity'")
    )

    account: Mapped[Account] = relationship()
    instrument: Mapped[Instrument] = relationship()


class Posting(Model):
    """Movements that belong to one step of one business document, posted together or not at all."""

    __tablename__ = "posting"
    __table_args__ = (
        Index(
            "posting_application",
            "application_id",
            postgresql_where=text("application_id IS NOT NULL"),
        ),
        Index("posting_recorded", "recorded_xid", "id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    business: Mapped[str] = mapped_column(String(40))  # the kind's code
    stage: Mapped[str] = mapped_column(String(20))
    request_key: Mapped[str] = mapped_column(String(120), unique=True)
    document: Mapped[str] = mapped_column(
        String(60), server_default=""
    )  # document number shown to users
    application_id: Mapped[int | None] = mapped_column(BigInteger)
    reverses_id: Mapped[int | None] = mapped_column(
        BigInteger, unique=True
    )  # a posting is reversed once
    member_id: Mapped[int | None] = mapped_column(Integer)
    recorded_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    recorded_xid: Mapped[int] = mapped_column(
        TransactionId, server_default=text("pg_current_xact_id()")
    )
    leads: Mapped[bool] = mapped_column(server_default=text("false"))  # the first of its statement


class PostingRoute(Model):
    """A movement that the postings of a business and stage make, from the catalogue of kinds."""

    __tablename__ = "posting_route"

    business: Mapped[str] = mapped_column(String(40), primary_key=True)
    stage: Mapped[str] = mapped_column(String(20), primary_key=True)
    at_colleague: Mapped[bool] = mapped_column(primary_key=True)  # as it awaits 操作复核
    from_bucket: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    to_bucket: Mapped[int] = mapped_column(SmallInteger)
    giver: Mapped[int | None] = mapped_column(Integer)  # None: the applicant
    to_receiver: Mapped[bool]  # else to the applicant
    # From where the line that is drawn on brought the tonnes, else from the applicant.
    from_source: Mapped[bool] = mapped_column(server_default="false")


class UntiedBusiness(Model):
    """A business whose postings carry out nothing: none but in databases of tests and benchmarks."""

    __tablename__ = "untied_business"

    business: Mapped[str] = mapped_column(String(40), primary_key=True)


class Movement(Model):
    """A quantity moved between two pockets.  Inserting it is posting it."""

    __tablename__ = "movement"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity_positive"),
        CheckConstraint(
            f"from_bucket BETWEEN 1 AND {len(Bucket)} AND to_bucket BETWEEN 1 AND {len(Bucket)}",
            name="bucket_known",
        ),
        CheckConstraint(
            "from_account <> to_account OR from_bucket <> to_bucket", name="goes_somewhere"
        ),
        Index("movement_posting", "posting_id"),
        Index("movement_recorded", "recorded_xid"),
        Index("movement_at", "at", postgresql_using="brin"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    posting_id: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))  # business time
    instrument_id: Mapped[int] = mapped_column(Integer)
    quantity: Mapped[int] = mapped_column(BigInteger)
    from_account: Mapped[int] = mapped_column(Integer)
    from_bucket: Mapped[int] = mapped_column(SmallInteger)
    to_account: Mapped[int] = mapped_column(Integer)
    to_bucket: Mapped[int] = mapped_column(SmallInteger)
    # The writing transaction, set by the database, so that sealing misses no late commit.
    recorded_xid: Mapped[int] = mapped_column(
        TransactionId, server_default=text("pg_current_xact_id()")
    )


class Entry(Model):
    """One line of 持仓流水: a movement's change of one bucket of a holding, and the new balance.

    ``seq`` is the holding's own gapless order; ``at`` never runs backwards along it.
    """

    __tablename__ = "entry"

    account_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    instrument_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    movement_id: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    bucket: Mapped[int] = mapped_column(SmallInteger)
    delta: Mapped[int] = mapped_column(BigInteger)
    after: Mapped[int] = mapped_column(BigInteger)


class SealedBlock(Model):
    """A range of movements under a hash that includes the previous block's."""

    __tablename__ = "sealed_block"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    from_xid: Mapped[int] = mapped_column(TransactionId)
    to_xid: Mapped[int] = mapped_column(TransactionId)
    movements: Mapped[int] = mapped_column(BigInteger)
    root: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
