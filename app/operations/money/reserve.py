"""计提结算风险准备金: fees that a bank holds become the reserve at the same bank (结算管理规则 13)."""

from __future__ import annotations

from dataclasses import dataclass

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, func, select

from app.domain.errors import RuleError
from app.domain.kinds.money.reserve import ReserveProvision
from app.domain.moves import FEES_ACCOUNT_ID, RESERVE_ACCOUNT_ID
from app.domain.workflow import Line
from app.extensions import db
from app.models import Holding, SettlementBank
from app.operations.applications import engine


@dataclass(frozen=True, slots=True)
class AtBank:
    """Fees and reserve at a bank, in fen that nothing holds."""

    code: str
    name: str
    instrument_id: int
    fees: int
    reserve: int


def at_banks() -> list[AtBank]:
    """Return the banks with their fees and reserve, by code."""
    rows = db.session.execute(
        select(
            SettlementBank.code, SettlementBank.name, SettlementBank.instrument_id,
            available_of(FEES_ACCOUNT_ID), available_of(RESERVE_ACCOUNT_ID),
        ).order_by(SettlementBank.code)
    )  # fmt: skip
    return [AtBank(*row) for row in rows]


def available_of(account_id: int) -> ColumnElement[int]:
    """Return the fen of an account at a bank of the statement around it."""
    held = select(Holding.available).where(
        Holding.account_id == account_id, Holding.instrument_id == SettlementBank.instrument_id
    )
    return func.coalesce(held.correlate(SettlementBank).scalar_subquery(), 0)


def draft(bank: str, amount: int, request_key: str, *, reason: str = "") -> engine.Draft:
    """Return the draft of a provision of ``amount`` fen.  Raises RuleError for an unknown bank."""
    known = {each.code: each for each in at_banks()}
    if bank not in known:
        raise RuleError(_("Choose one of the settlement banks"), field="bank", code="bank_unknown")
    return engine.Draft(
        kind=ReserveProvision.code,
        account_id=FEES_ACCOUNT_ID,
        lines=(Line(known[bank].instrument_id, amount, account_id=RESERVE_ACCOUNT_ID),),
        request_key=request_key,
        reason=reason,
        proposal={"bank": bank, "bank_name": known[bank].name},
    )
