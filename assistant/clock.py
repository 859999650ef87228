"""This computer's clock beside the site's: a wrong one is named before anything is signed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

TOLERATED = timedelta(minutes=2)  # a signature's `at` is read from this clock


def ahead_of(site: object) -> timedelta:
    """Return how far this clock is ahead of the site's, told in milliseconds since 1970 (None: unknown).

    Raises ValueError.
    """
    if site is None:
        return timedelta(0)
    if not isinstance(site, int) or not 0 <= site < 10**14:
        raise ValueError("no time")
    return datetime.now(UTC) - datetime.fromtimestamp(site / 1000, UTC)


def complaint(ahead: timedelta) -> str:
    """Return what the member is told about a wrong clock, in this computer's zone, or ""."""
    if abs(ahead) <= TOLERATED:
        return ""
    own = datetime.now(UTC)
    word = "快" if ahead > timedelta(0) else "慢"
    return (
        f"本机时间不正确：本机为 {_shown(own)}，登记系统为 {_shown(own - ahead)}（同按本机时区显示），"
        f"本机{word} {_amount(abs(ahead))}。请在操作系统中校准日期、时间和时区，再重新打开本窗口。"
    )


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _amount(difference: timedelta) -> str:
    """Return a difference in Chinese, in its two largest units."""
    hours, minutes = divmod(difference.seconds // 60, 60)
    parts = [(difference.days, "天"), (hours, "小时"), (minutes, "分钟")]
    return " ".join(f"{count} {unit}" for count, unit in [p for p in parts if p[0]][:2])
