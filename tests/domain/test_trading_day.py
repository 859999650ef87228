"""On which day a transfer settles, to the microsecond (manual 四-一: 请于每日15:00前提交)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import pytest

from app.domain.errors import OutsideTradingHours
from app.domain.trading_day import BEIJING, TradingMoment

FRIDAY = date(2026, 11, 20)


def moment(hour: str, *, trading: bool = True, closed: bool = False) -> TradingMoment:
    now = datetime.combine(FRIDAY, time.fromisoformat(hour), tzinfo=BEIJING)
    return TradingMoment(now, trading, time(15, 0), closed)


@pytest.mark.parametrize("hour", ["00:00", "09:30", "10:00", "14:59:59", "14:59:59.999999"])
def test_before_the_cut_off_it_settles_the_same_day(hour):
    assert moment(hour).accepting_day() == FRIDAY


@pytest.mark.parametrize("hour", ["15:00", "15:00:00.000001", "16:30", "23:59:59.999999"])
def test_from_the_cut_off_on_it_is_refused(hour):
    with pytest.raises(OutsideTradingHours, match="before 15:00 of a trading day"):
        moment(hour).accepting_day()


@pytest.mark.parametrize("hour", ["00:00", "10:00", "15:00"])
def test_a_day_without_trading_is_refused_at_any_hour(hour):
    with pytest.raises(OutsideTradingHours, match="2026-11-20 is not a trading day"):
        moment(hour, trading=False).accepting_day()


def test_a_settled_day_takes_nothing_more():
    with pytest.raises(OutsideTradingHours, match="2026-11-20 has been settled"):
        moment("10:00", closed=True).accepting_day()


def test_the_day_is_beijings_whatever_the_zone_of_the_clock():
    # 23:30 UTC of Thursday is 07:30 of Friday in Beijing.
    at_night = datetime(2026, 11, 19, 23, 30, tzinfo=UTC)

    assert TradingMoment(at_night, True, time(15, 0)).accepting_day() == FRIDAY


def test_the_cut_off_is_beijings_whatever_the_zone_of_the_clock():
    just_before = datetime(2026, 11, 20, 6, 59, 59, 999999, tzinfo=UTC)
    on_the_hour = datetime(2026, 11, 20, 7, 0, tzinfo=UTC)

    assert TradingMoment(just_before, True, time(15, 0)).accepting_day() == FRIDAY
    with pytest.raises(OutsideTradingHours):
        TradingMoment(on_the_hour, True, time(15, 0)).accepting_day()


def test_the_cut_off_is_a_parameter():
    at_half_past_three = datetime(2026, 11, 20, 15, 30, tzinfo=BEIJING)

    assert TradingMoment(at_half_past_three, True, time(17, 0)).accepting_day() == FRIDAY
