"""A wrong clock of the computer is named, with the difference, before a PIN is tried."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from assistant import clock
from tests.assistant.conftest import LOGIN, PIN


def told(ahead: timedelta) -> int:
    """Return a site's time that this computer's clock is ahead of."""
    return round((datetime.now(UTC) - ahead).timestamp() * 1000)


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (timedelta(minutes=3, seconds=5), "本机快 3 分钟"),
        (-timedelta(hours=3, minutes=38, seconds=20), "本机慢 3 小时 38 分钟"),
        (-timedelta(days=700, hours=2, minutes=9, seconds=9), "本机慢 700 天 2 小时"),
        (timedelta(hours=8, seconds=9), "本机快 8 小时。"),
    ],
)
def test_a_wrong_clock_is_named_and_nothing_is_signed(caller, ahead, words):
    window, shown = caller.window_showing({**LOGIN, "now": told(ahead)})
    assert words in shown["clock"]
    assert "请在操作系统中校准日期、时间和时区" in shown["clock"]
    message = {"certificate": shown["certificates"][0]["id"], "pin": "9999"}
    assert caller.post("/sign", message, window)[1] == {"error": "clock_wrong"}
    # No try was made.
    window, shown = caller.window_showing()
    assert caller.post("/sign", message, window)[1]["tries_left"] == 4


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(seconds=115), -timedelta(seconds=115)])
def test_a_small_difference_is_none(caller, ahead):
    window, shown = caller.window_showing({**LOGIN, "now": told(ahead)})
    assert shown["clock"] == ""
    message = {"certificate": shown["certificates"][0]["id"], "pin": PIN}
    assert "cms" in caller.post("/sign", message, window)[1]


def test_both_times_are_named(caller):
    _window, shown = caller.window_showing({**LOGIN, "now": told(timedelta(days=1))})
    own = datetime.now().astimezone()
    yesterday = own - timedelta(days=1)
    assert f"本机为 {own:%Y-%m-%d}" in shown["clock"]
    assert f"登记系统为 {yesterday:%Y-%m-%d}" in shown["clock"]


def test_a_certificate_is_not_called_expired_because_of_the_clock(caller):
    """The site's clock judges its dates; by the computer's own, set to 2019, none would be valid yet."""
    for ahead, problem in ((timedelta(0), ""), (timedelta(days=3000), "not_yet")):
        _window, shown = caller.window_showing({**LOGIN, "now": told(ahead)})
        assert {one["problem"] for one in shown["certificates"]} == {problem}


@pytest.mark.parametrize("now", ["2026-11-30", -1, 10**15, [], {}])
def test_a_time_that_is_none_is_refused(caller, now):
    window = caller.open_window()
    assert caller.post("/request", {**LOGIN, "now": now}, window) == (400, {"error": "malformed"})


def test_a_page_that_tells_no_time_is_no_reason_to_complain(caller):
    _window, shown = caller.window_showing({**LOGIN, "now": None})
    assert shown["clock"] == ""
    assert clock.complaint(clock.ahead_of(None)) == ""
