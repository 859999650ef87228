"""The settlement of trades: day packages of the exchange, trades, and what became of them.

Prices are in fen a tonne, amounts and fees in fen, quantities in tonnes; all rows are append-only.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
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
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.account import Account, Venue
from app.models.instrument import Instrument
from app.models.ledger import TransactionId


def _amount() -> Mapped[int]:
    return mapped_column(BigInteger)


class DayPackage(Model):
    """日终数据包: what a venue says of a trading day; ``digest`` is the SHA-256 of ``file``, in hex."""

    __tablename__ = "day_package"
    __table_args__ = (
        UniqueConstraint("venue_id", "day", name="one_package_a_day"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    venue_id: Mapped[int] = mapped_column(ForeignKey("venue.id"))
    day: Mapped[date] = mapped_column(Date)
    version: Mapped[int] = mapped_column(SmallInteger)
    digest: Mapped[str] = mapped_column(String(64))
    file: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    certificate: Mapped[bytes] = mapped_column(LargeBinary)
    trades: Mapped[int] = mapped_column(Integer)
    positions: Mapped[int] = mapped_column(Integer)
    funds: Mapped[int] = mapped_column(Integer)
    transfers: Mapped[int] = mapped_column(Integer)
    quantity: Mapped[int] = _amount()
    amount: Mapped[int] = _amount()
    warnings: Mapped[Any] = mapped_column(JSONB, server_default="[]")
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    received_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    recorded_xid: Mapped[int] = mapped_column(
        TransactionId, server_default=text("pg_current_xact_id()")
    )

    venue: Mapped[Venue] = relationship()


class PackageRefusal(Model):
    """A package that was refused, with every fault in it."""

    __tablename__ = "package_refusal"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    venue_id: Mapped[int | None] = mapped_column(ForeignKey("venue.id"))
    day: Mapped[date | None] = mapped_column(Date)
    digest: Mapped[str] = mapped_column(String(64))
    faults: Mapped[Any] = mapped_column(JSONB)
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    received_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))


class Trade(Model):
    """成交, as the exchange reported it; the deal stands as it was matched (交易管理规则 13)."""

    __tablename__ = "trade"
    __table_args__ = (
        UniqueConstraint("package_id", "deal_no", name="deal_once"),
        CheckConstraint("method IN (10, 20, 21)", name="method_known"),
        CheckConstraint("buyer_id <> seller_id", name="two_parties"),
        CheckConstraint("quantity > 0 AND amount > 0 AND price > 0", name="trade_has_both_legs"),
        CheckConstraint(
            "amount::numeric = price::numeric * quantity", name="amount_is_price_times_quantity"
        ),
        CheckConstraint("buy_fee >= 0 AND sell_fee >= 0 AND sell_fee <= amount", name="fees_sane"),
        Index("trade_of_buyer", "buyer_id", "id"),
        Index("trade_of_seller", "seller_id", "id"),
        Index("trade_dealt_at", "dealt_at", "id"),
        Index("trade_deal_no", "deal_no", "id", postgresql_ops={"deal_no": "varchar_pattern_ops"}),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    package_id: Mapped[int] = mapped_column(ForeignKey("day_package.id"))
    deal_no: Mapped[str] = mapped_column(String(40))
    dealt_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    method: Mapped[int] = mapped_column(SmallInteger)  # 10 挂牌, 20 大宗, 21 单向竞价
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"))
    buyer_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    seller_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    quantity: Mapped[int] = _amount()
    price: Mapped[int] = _amount()
    amount: Mapped[int] = _amount()
    buy_fee: Mapped[int] = _amount()
    sell_fee: Mapped[int] = _amount()
    buyer_money_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"))
    seller_money_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"))
    buy_order_no: Mapped[str] = mapped_column(String(40), server_default="")
    sell_order_no: Mapped[str] = mapped_column(String(40), server_default="")

    package: Mapped[DayPackage] = relationship()
    instrument: Mapped[Instrument] = relationship(foreign_keys=[instrument_id])
    buyer: Mapped[Account] = relationship(foreign_keys=[buyer_id])
    seller: Mapped[Account] = relationship(foreign_keys=[seller_id])


class TradeDelivery(Model):
    """A trade's delivery against payment; written by the database's deliver_trades alone."""

    __tablename__ = "trade_delivery"

    trade_id: Mapped[int] = mapped_column(ForeignKey("trade.id"), primary_key=True)
    posting_id: Mapped[int] = mapped_column(BigInteger, unique=True)
    from_proceeds: Mapped[int] = _amount()
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class TradeDefault(Model):
    """违约: what a trade's party lacked when the trade was due (结算管理规则 18)."""

    __tablename__ = "trade_default"
    __table_args__ = (
        CheckConstraint("missing_tonnes > 0 OR missing_fen > 0", name="something_is_missing"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    trade_id: Mapped[int] = mapped_column(ForeignKey("trade.id"), unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    missing_tonnes: Mapped[int] = _amount()
    missing_fen: Mapped[int] = _amount()
    found_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    trade: Mapped[Trade] = relationship()
    account: Mapped[Account] = relationship()


class ReportedPosition(Model):
    """A member's tonnes in trading on a day, as the exchange keeps them."""

    __tablename__ = "reported_position"
    __table_args__ = (
        CheckConstraint(
            "closing = opening + moved_in - moved_out + bought - sold", name="position_adds_up"
        ),
        {"extend_existing": True},
    )

    package_id: Mapped[int] = mapped_column(ForeignKey("day_package.id"), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"), primary_key=True)
    opening: Mapped[int] = _amount()
    moved_in: Mapped[int] = _amount()
    moved_out: Mapped[int] = _amount()
    bought: Mapped[int] = _amount()
    sold: Mapped[int] = _amount()
    closing: Mapped[int] = _amount()


class ReportedFund(Model):
    """A member's money on a day, in fen, as the exchange keeps it."""

    __tablename__ = "reported_fund"
    __table_args__ = (
        CheckConstraint(
            "closing = opening + paid_in - paid_out - bought + sold - fees", name="fund_adds_up"
        ),
        {"extend_existing": True},
    )

    package_id: Mapped[int] = mapped_column(ForeignKey("day_package.id"), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    opening: Mapped[int] = _amount()
    paid_in: Mapped[int] = _amount()
    paid_out: Mapped[int] = _amount()
    bought: Mapped[int] = _amount()
    sold: Mapped[int] = _amount()
    fees: Mapped[int] = _amount()
    closing: Mapped[int] = _amount()


class ReportedTransfer(Model):
    """A transfer that the exchange started on a day, as it reports it."""

    __tablename__ = "reported_transfer"
    __table_args__ = (
        CheckConstraint("direction IN ('in', 'out')", name="transfer_direction_known"),
        {"extend_existing": True},
    )

    package_id: Mapped[int] = mapped_column(ForeignKey("day_package.id"), primary_key=True)
    request_no: Mapped[str] = mapped_column(String(60), primary_key=True)
    direction: Mapped[str] = mapped_column(String(3))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"))
    quantity: Mapped[int] = _amount()


class SettlementConfirmation(Model):
    """The exchange's signed confirmation of a day's result (结算管理规则 8)."""

    __tablename__ = "settlement_confirmation"
    __table_args__ = (
        UniqueConstraint("application_id", "result_digest", name="confirmed_once"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    package_id: Mapped[int] = mapped_column(ForeignKey("day_package.id"))
    application_id: Mapped[int] = mapped_column(BigInteger)
    result_digest: Mapped[str] = mapped_column(String(64))
    cms: Mapped[bytes] = mapped_column(LargeBinary)
    confirmed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class SettlementStage(Model):
    """One stage of a day's settlement, as it ended."""

    __tablename__ = "settlement_stage"
    __table_args__ = (
        Index("settlement_stage_of", "package_id", "id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    package_id: Mapped[int] = mapped_column(ForeignKey("day_package.id"))
    stage: Mapped[str] = mapped_column(String(20))
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    detail: Mapped[Any] = mapped_column(JSONB, server_default="{}")
    member_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))


class SettlementDifference(Model):
    """对账差异 of a member and instrument in tonnes, or in fen where there is no instrument."""

    __tablename__ = "settlement_difference"
    __table_args__ = (
        UniqueConstraint(
            "package_id",
            "account_id",
            "instrument_id",
            name="difference_once",
            postgresql_nulls_not_distinct=True,
        ),
        CheckConstraint("ours <> theirs", name="figures_differ"),
        Index("difference_of_account", "account_id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    package_id: Mapped[int] = mapped_column(ForeignKey("day_package.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    instrument_id: Mapped[int | None] = mapped_column(ForeignKey("instrument.id"))
    ours: Mapped[int] = _amount()
    theirs: Mapped[int] = _amount()
    found_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    package: Mapped[DayPackage] = relationship()
    account: Mapped[Account] = relationship()
    instrument: Mapped[Instrument | None] = relationship()


class DifferenceResolution(Model):
    """A difference that two officers resolved, with their reason."""

    __tablename__ = "difference_resolution"

    difference_id: Mapped[int] = mapped_column(
        ForeignKey("settlement_difference.id"), primary_key=True
    )
    application_id: Mapped[int] = mapped_column(BigInteger, unique=True)
    resolved_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class ProceedsRelease(Model):
    """At a day's opening, the proceeds of earlier days became withdrawable (N144)."""

    __tablename__ = "proceeds_release"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    posting_id: Mapped[int | None] = mapped_column(BigInteger)
    holdings: Mapped[int] = mapped_column(Integer)
    amount: Mapped[int] = _amount()


class DailyQuote(Model):
    """每日行情 of an instrument at a venue (N148)."""

    __tablename__ = "daily_quote"

    venue_id: Mapped[int] = mapped_column(ForeignKey("venue.id"), primary_key=True)
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    close: Mapped[int] = _amount()
    high: Mapped[int | None] = mapped_column(BigInteger)
    low: Mapped[int | None] = mapped_column(BigInteger)
    listed_quantity: Mapped[int] = _amount()
    listed_amount: Mapped[int] = _amount()
    block_quantity: Mapped[int] = _amount()
    block_amount: Mapped[int] = _amount()
    auction_quantity: Mapped[int] = _amount()
    auction_amount: Mapped[int] = _amount()

    venue: Mapped[Venue] = relationship()
    instrument: Mapped[Instrument] = relationship()


class VenueCertificate(Model):
    """A certificate (DER) with which a venue signs what it sends; written by the schema's owner."""

    __tablename__ = "venue_certificate"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    venue_id: Mapped[int] = mapped_column(ForeignKey("venue.id"))
    certificate: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    valid_from: Mapped[date] = mapped_column(Date)
    disabled_from: Mapped[date | None] = mapped_column(Date)
