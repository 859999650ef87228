"""受托清缴: which units waiting at a province are surrendered for which notices (rules-2026 N42, N43)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

OLDEST_FIRST = "oldest_first"


@dataclass(frozen=True, slots=True)
class Due:
    """A notice with a gap, in tonnes, the vintages that it accepts, and the order of its plan."""

    notice_id: int
    year: int
    left: int
    vintages: frozenset[int]
    order: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A line waiting at the province, in tonnes."""

    line_id: int
    vintage: int
    left: int


def spread(dues: Iterable[Due], waits: Iterable[Waiting]) -> dict[int, dict[int, int]]:
    """Return the tonnes of each line by notice.

    Each notice takes its own year's vintage first, the earliest notice before the others; then what is
    left of the others, the oldest first.  Where a plan says ``oldest_first``, its own year's has no
    precedence.
    """
    notices = sorted(dues, key=lambda each: (each.year, each.notice_id))
    lines = sorted(waits, key=lambda each: (each.vintage, each.line_id))
    owed = {each.notice_id: each.left for each in notices}
    left = {each.line_id: each.left for each in lines}
    taken: dict[int, dict[int, int]] = defaultdict(dict)

    def take(due: Due, of: Sequence[Waiting]) -> None:
        for line in of:
            part = min(owed[due.notice_id], left[line.line_id])
            if part > 0 and line.vintage in due.vintages:
                mine = taken[due.notice_id]
                mine[line.line_id] = mine.get(line.line_id, 0) + part
                owed[due.notice_id] -= part
                left[line.line_id] -= part

    for due in notices:
        if due.order != OLDEST_FIRST:
            take(due, [line for line in lines if line.vintage == due.year])
    for due in notices:
        take(due, lines)
    return dict(taken)
