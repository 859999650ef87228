"""Recomputing the pushed table of 3,400 enterprises with two units each."""

from __future__ import annotations

from fractions import Fraction

from app.domain.compliance.figures import Figure
from app.operations.imports.figure_import import computed
from bench.measure import Report, seconds
from bench.world import World

ENTERPRISES = 3_400


def recomputing(world: World, report: Report) -> None:
    """Compute units by benchmark with the peak correction, and enterprises with their top-up."""
    rows = []
    for number in range(ENTERPRISES):
        key = (number, 2025, "power", "approved")
        of_unit = {
            "basis": "coal", "power": Fraction(3_000_000 + number), "heat": Fraction(5_000_000),
            "power_benchmark": Fraction("0.7902"), "heat_benchmark": Fraction("0.1027"),
        }  # fmt: skip
        for unit in (1, 2):
            load = Fraction(4_000 + number % 2_000, 100)
            verified = Fraction(2_900_000 + number)
            rows.append(
                (key, Figure(2025, "power", "approved", f"{unit}", verified, load=load, **of_unit))
            )
        whole = Figure(2025, "power", "approved", "", Fraction(7_500_000 + number), basis="units")
        rows.append((key, whole))
    rounds = 1 if world.is_quick else 3
    found = [seconds(lambda: computed(rows)) for _round in range(rounds)]
    report.add(f"recomputing the table of {ENTERPRISES:,} enterprises", found, "s")
