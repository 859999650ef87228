"""Trading days: when a transfer is accepted and when it settles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from flask_babel import lazy_gettext as _

from app.domain.errors import OutsideTradingHours

BEIJING = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True, slots=True)
class TradingMoment:
    """A business time and its calendar day."""

    now: datetime
    is_trading_day: bool
    cut_off: time
    is_closed: bool = False  # The day-end settlement of this day has run.

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
                    "%(day)s is not a trading day; submit on a trading day before %(hour)s",
                    day=self.day.isoformat(),
                    hour=f"{self.cut_off:%H:%M}",
                )
            )
        if self.is_closed:
            raise OutsideTradingHours(
                _(
                    "Trading day %(day)s has been settled; submit on the next trading day before %(hour)s",
                    day=self.day.isoformat(),
                    hour=f"{self.cut_off:%H:%M}",
                )
            )
        if self.now.astimezone(BEIJING).time() >= self.cut_off:
            raise OutsideTradingHours(
                _(
                    "Transfers are accepted before %(hour)s of a trading day; submit on the next trading day",
                    hour=f"{self.cut_off:%H:%M}",
                )
            )
        return self.day
