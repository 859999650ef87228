"""What a decision to deduct says, in the form that is decided upon, signed and stored (核减)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Reasons that a rule reads by their code in the data dictionary (N25, N58, N59).
SHORTFALL, FRAUD = "shortfall", "fraud"


@dataclass(frozen=True, slots=True)
class Deduction:
    """Tonnes to deduct from a year's allowance; for data fraud, the allowance that they are a share of."""

    year: int
    sector: str
    tonnes: int
    allowance: int | None = None

    def stored(self) -> dict[str, Any]:
        """Return the proposal of an application."""
        found = {"year": str(self.year), "sector": self.sector, "tonnes": self.tonnes}
        return found if self.allowance is None else found | {"allowance": self.allowance}

    @classmethod
    def read(cls, proposal: Mapping[str, Any]) -> Deduction:
        """Return an application's decision; a draft without one deducts nothing."""
        return cls(
            int(proposal.get("year", 0)),
            proposal.get("sector", ""),
            int(proposal.get("tonnes", 0)),
            proposal.get("allowance"),
        )
