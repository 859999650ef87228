"""Trading days: when a transfer is accepted and when it settles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import lazy_gettext as _

from app.domain.errors import OutsideTradingHours

BEIJING = ZoneInfo("Asia/Shanghai")
OPENING = time(9, 30)  # of the exchange (domain.md 6.1)


@dataclass(frozen=True, slots=True)
class TradingMoment:
    """A business time and its calendar day."""

    now: datetime
    is_trading_day: bool
    cut_off: time
    is_closed: bool = False  # The day-end settlement of this day has run.
    next_day: date | None = None  # the next trading day, where the calendar has one

    @property
    def day(self) -> date:
        """The calendar day in Beijing."""
        return self.now.astimezone(BEIJING).date()

    def accepting_day(self) -> date:
        """Return the trading day on which a transfer submitted now settles.

        Raises OutsideTradingHours on a non-trading day, at the cut-off or later, or after the
        day's settlement (manual 四-一 说明: 请于每日15:00前提交; domain.md section 11.1).
        """
        if not self.is_trading_day:
            raise OutsideTradingHours(
                _(
                    "%(day)s is not a trading day; submit on %(next)s before %(hour)s",
                    day=self.day.isoformat(),
                    next=self._next(),
                    hour=f"{self.cut_off:%H:%M}",
                )
            )
        if self.is_closed:
            raise OutsideTradingHours(
                _(
                    "Trading day %(day)s has been settled; submit on %(next)s before %(hour)s",
                    day=self.day.isoformat(),
                    next=self._next(),
                    hour=f"{self.cut_off:%H:%M}",
                )
            )
        now = self.now.astimezone(BEIJING)
        if now.time() >= self.cut_off:
            raise OutsideTradingHours(
                _(
                    "Transfers are accepted before %(hour)s of a trading day. On %(day)s that time has"
                    " passed: it is %(now)s. Submit on %(next)s",
                    hour=f"{self.cut_off:%H:%M}",
                    day=self.day.isoformat(),
                    now=f"{now:%H:%M:%S}",
                    next=self._next(),
                )
            )
        return self.day

    def _next(self) -> Any:
        """Return the next trading day in words."""
        if self.next_day is None:
            return _("the next trading day")
        return _("the next trading day, %(day)s,", day=self.next_day.isoformat())
