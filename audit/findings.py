"""What a check finds: a code, the key of what differs, and the figures of both sides."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

MOST_NAMED = 1_000  # findings named in a report; more are counted


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference: what the second book, or the package, has, and what the ledger has."""

    code: str
    key: str
    expected: str
    found: str


@dataclass(slots=True)
class Findings:
    """Differences, counted by code, the first of them named."""

    named: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, code: str, key: str, expected: object = "", found: object = "") -> None:
        """Note a difference; nothing is shown as an empty text."""
        self.counts[code] += 1
        if len(self.named) < MOST_NAMED:
            self.named.append(Finding(code, key, str(expected), str(found)))

    def compare(self, code: str, key: str, expected: object, found: object) -> None:
        """Note a difference where the two figures are not the same."""
        if expected != found:
            self.add(code, key, expected, found)
