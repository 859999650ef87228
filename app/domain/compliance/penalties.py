"""What an administrative penalty says, in the form that is approved, signed, stored and published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Penalty:
    """A fine in fen, for a compliance year; 0 is a penalty without a fine, such as a warning."""

    year: int
    fen: int

    def stored(self) -> dict[str, Any]:
        """Return the proposal of an application."""
        return {"year": str(self.year), "fen": self.fen}

    @classmethod
    def read(cls, proposal: Mapping[str, Any]) -> Penalty:
        """Return an application's penalty; a draft without one fines nothing."""
        return cls(int(proposal.get("year", 0)), int(proposal.get("fen", 0)))
