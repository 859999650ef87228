"""持仓划转: registry to trading by the enterprise, and the two transfers that the exchange starts."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.errors import NotAllowed, RuleError
from app.domain.kinds.base import Facts, Kind
from app.domain.moves import Bucket
from app.domain.workflow import Case, Party


class RegistryToTrading(Kind):
    """登记发起登记转交易: takes effect on submission, reaches trading at day-end (manual 四-一)."""

    code = "registry_to_trading"
    title = _("Registry to trading, started by the registry side")
    prefix = "DJ"
    reserves = (Bucket.AVAILABLE, Bucket.PENDING_TO_TRADING)
    settles_at_day_end = True

    def check(self, case: Case, facts: Facts) -> None:
        for line in case.lines:
            if line.venue_id is None:
                raise RuleError(
                    _("Choose the trading venue"),
                    field=f"lines.{line.instrument_id}.venue",
                    code="venue_missing",
                )
            if (line.venue_id, line.instrument_id) not in facts.tradable:
                raise RuleError(
                    _(
                        "%(instrument)s has no trade code at this venue and cannot be transferred",
                        instrument=facts.instruments.get(line.instrument_id, line.instrument_id),
                    ),
                    field=f"lines.{line.instrument_id}.venue",
                    code="no_trade_code",
                )


class ExchangeRegistryToTrading(RegistryToTrading):
    """交易发起登记转交易: only while the enterprise permits it (manual 四-二, 四-四)."""

    code = "exchange_registry_to_trading"
    title = _("Registry to trading, started by the trading side")
    prefix = "JD"
    started_by = Party.EXCHANGE

    def check(self, case: Case, facts: Facts) -> None:
        if case.account_id not in facts.permitted:
            raise NotAllowed(
                _("The enterprise has switched the transfer permission off"),
                code="transfer_not_permitted",
            )
        super().check(case, facts)


class TradingToRegistry(Kind):
    """交易发起交易转登记: leaves trading at once, available in the registry after day-end (manual 四-三)."""

    code = "trading_to_registry"
    title = _("Trading to registry, started by the trading side")
    prefix = "JJ"
    started_by = Party.EXCHANGE
    reserves = (Bucket.TRADING, Bucket.PENDING_TO_REGISTRY)
    settles_at_day_end = True
    debits = False  # It brings tonnes home; a restriction is about taking them away.
