"""What figures of provinces may be published: none that are one enterprise's own (rules-2026 N161)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LEAST = 3  # enterprises that a published sum of tonnes is of
ALL, OTHERS = "all", "others"  # in the place of a province


@dataclass(frozen=True, slots=True)
class Progress:
    """A province's enterprises with a notice of a year, and their tonnes; None is not published."""

    province: str
    enterprises: int
    fulfilled: int
    obligation: int | None
    surrendered: int | None

    @property
    def open(self) -> int:
        """Enterprises that have not surrendered all yet."""
        return self.enterprises - self.fulfilled

    @property
    def gap(self) -> int | None:
        """Tonnes not surrendered yet."""
        if self.obligation is None or self.surrendered is None:
            return None
        return self.obligation - self.surrendered


def published(provinces: Iterable[Progress]) -> list[Progress]:
    """Return a year's lines as published, the sum of all first.

    Provinces with fewer than `LEAST` enterprises are one line, which takes in the next smallest where
    it is of fewer itself; so no line, nor the rest of the sum, is of a single enterprise.
    """
    ordered = sorted(provinces, key=lambda each: (each.enterprises, each.province))
    merged: list[Progress] = []
    while ordered and (
        ordered[0].enterprises < LEAST or 0 < sum(each.enterprises for each in merged) < LEAST
    ):
        merged.append(ordered.pop(0))
    every = _sum(ALL, [*merged, *ordered])
    if every.enterprises < LEAST:
        return [Progress(ALL, every.enterprises, every.fulfilled, None, None)]
    kept = sorted(ordered, key=lambda each: each.province)
    return [every, *kept, *([_sum(OTHERS, merged)] if merged else [])]


def _sum(name: str, lines: Iterable[Progress]) -> Progress:
    lines = list(lines)
    return Progress(
        name,
        sum(each.enterprises for each in lines),
        sum(each.fulfilled for each in lines),
        sum(each.obligation or 0 for each in lines),
        sum(each.surrendered or 0 for each in lines),
    )
