"""What a 履约通知书 says, in the form that is decided upon, signed and stored.

When it is due, and by what it is fulfilled, the plan of its year and sector says
(`app.domain.compliance.plans`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Terms:
    """The obligation, in tonnes."""

    obligation: int

    def stored(self) -> dict[str, Any]:
        """Return them as JSON, of texts alone."""
        return {"obligation": str(self.obligation)}

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None) -> Terms | None:
        """Return what `stored` wrote; None for nothing: not yet issued, or withdrawn.

        What older decisions say besides is the plan's today, and is not read.
        """
        return cls(int(stored["obligation"])) if stored else None


@dataclass(frozen=True, slots=True)
class Decision:
    """A notice of a year and sector, before and after: issued (no before), changed, withdrawn (no after)."""

    year: int
    sector: str
    before: Terms | None
    after: Terms | None

    def stored(self) -> dict[str, Any]:
        """Return the proposal of an application."""
        sides = {"before": self.before, "after": self.after}
        return {"year": str(self.year), "sector": self.sector} | {
            name: terms.stored() for name, terms in sides.items() if terms is not None
        }

    @classmethod
    def read(cls, proposal: Mapping[str, Any]) -> Decision:
        """Return an application's decision; one older than sectors names none."""
        before, after = (Terms.read(proposal.get(side)) for side in ("before", "after"))
        return cls(int(proposal.get("year", 0)), proposal.get("sector", ""), before, after)

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
    surrendered: int  # with CCER whose cancellation is ordered
    surrenders: int  # applications, approved or under review
