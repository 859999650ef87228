"""持仓划转: registry to trading by the enterprise, and the two transfers that the exchange starts."""

from __future__ import annotations

from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.errors import NotAllowed
from app.domain.kinds.base import Kind
from app.domain.kinds.rules import Facts, Rule, Violation
from app.domain.moves import Bucket
from app.domain.workflow import Action, Case, Party


def _without_venue(case: Case, facts: Facts) -> Violation | None:
    for line in case.lines:
        if line.venue_id is None:
            return Violation(f"lines.{line.key}.venue")
    return None


def _untraded(case: Case, facts: Facts) -> Violation | None:
    for line in case.lines:
        if (line.venue_id, line.instrument_id) not in facts.tradable:
            name = facts.name(line.instrument_id)
            return Violation(f"lines.{line.key}.venue", {"instrument": name})
    return None


HAS_VENUE = Rule("venue_missing", _("Choose the trading venue"), _without_venue)
IS_TRADED = Rule(
    "no_trade_code",
    _("%(instrument)s has no trade code at this venue and cannot be transferred"),
    _untraded,
)
IS_PERMITTED = Rule(
    "transfer_not_permitted",
    _("The enterprise has switched the transfer permission off"),
    lambda case, facts: None if case.account_id in facts.permitted else Violation(),
    error=NotAllowed,
)


# A court's queue takes what is not in transit yet, once it is free for a moment.
NOT_WAITED_FOR = Rule(
    "court_waits",
    _("A court's freeze waits for these tonnes; they are not moved, withdraw the transfer"),
    lambda case, facts: Violation() if case.id in facts.courts.waited_for else None,
    at=(Action.APPROVE,),
    error=NotAllowed,
)


class RegistryToTrading(Kind):
    """登记发起登记转交易: in transit from submission, in trading after the day-end (manual 四-一)."""

    code = "registry_to_trading"
    right = "trade"
    title = _("Registry to trading, started by the registry side")
    prefix = "DJ"
    reserves = (Bucket.AVAILABLE, Bucket.PENDING_TO_TRADING)
    settles_at_day_end = True
    rules: ClassVar[tuple[Rule, ...]] = (HAS_VENUE, IS_TRADED, NOT_WAITED_FOR)


class ExchangeRegistryToTrading(RegistryToTrading):
    """交易发起登记转交易: allowed while 划转权限 is on (manual 四-二, 四-四)."""

    code = "exchange_registry_to_trading"
    right = "trade"
    title = _("Registry to trading, started by the trading side")
    prefix = "JD"
    started_by = Party.EXCHANGE
    rules = (IS_PERMITTED, HAS_VENUE, IS_TRADED)


class TradingToRegistry(Kind):
    """交易发起交易转登记: leaves trading at once, available after the day-end (manual 四-三)."""

    code = "trading_to_registry"
    title = _("Trading to registry, started by the trading side")
    prefix = "JJ"
    started_by = Party.EXCHANGE
    reserves = (Bucket.TRADING, Bucket.PENDING_TO_REGISTRY)
    settles_at_day_end = True
    debits = False  # It credits the registry side, which a restriction allows.
