"""What a 履约通知书 says, in the form that is decided upon, signed and stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.domain.trading_day import BEIJING

FIRST_YEAR = 2019  # domain.md 3.1: the first compliance year
LATEST = 5  # years after the compliance year, for a deadline


@dataclass(frozen=True, slots=True)
class Terms:
    """Obligation in tonnes, deadline, 履约范围 by codes, and the share of CCER in per cent."""

    obligation: int
    deadline: datetime
    instruments: tuple[str, ...]
    offset_percent: Decimal = Decimal(0)

    def stored(self) -> dict[str, Any]:
        """Return them as JSON, of texts alone; `notice_terms` in the database writes the same."""
        return {
            "obligation": str(self.obligation),
            "deadline": self.deadline.astimezone(BEIJING).isoformat(timespec="seconds"),
            "instruments": sorted(set(self.instruments)),
            "offset_percent": f"{self.offset_percent.normalize():f}",
        }

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None) -> Terms | None:
        """Return what `stored` wrote; None for nothing: not yet issued, or withdrawn."""
        if not stored:
            return None
        return cls(
            int(stored["obligation"]),
            datetime.fromisoformat(stored["deadline"]),
            tuple(stored.get("instruments", ())),
            Decimal(stored["offset_percent"]),
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """A notice of a year, before and after: issued (no before), changed, or withdrawn (no after)."""

    year: int
    before: Terms | None
    after: Terms | None

    def stored(self) -> dict[str, Any]:
        """Return the proposal of an application."""
        sides = {"before": self.before, "after": self.after}
        return {"year": str(self.year)} | {
            name: terms.stored() for name, terms in sides.items() if terms is not None
        }

    @classmethod
    def read(cls, proposal: Mapping[str, Any]) -> Decision:
        """Return an application's decision."""
        before, after = (Terms.read(proposal.get(side)) for side in ("before", "after"))
        return cls(int(proposal.get("year", 0)), before, after)

    @property
    def act(self) -> str:
        """What is done: issue, change or withdraw."""
        if self.before is None:
            return "issue"
        return "withdraw" if self.after is None else "change"


@dataclass(frozen=True, slots=True)
class Standing:
    """A notice in force, and what was surrendered for it, in tonnes."""

    id: int
    number: str
    terms: Terms
    surrendered: int
    offset_surrendered: int
    used: frozenset[str]  # codes of the instruments surrendered for it
    surrenders: int  # applications, approved or under review
