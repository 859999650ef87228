"""核定数据: what the reporting platform pushes of an enterprise and its units, and what we compute of it.

The tables of P26: 1-1 to 1-4 and 2-1 to 2-4 of units, 1-5 and 2-5 of enterprises (rules-2026 N03, N04).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from flask_babel import lazy_gettext as _

from app.domain.compliance.allocation import (
    by_benchmark,
    by_intensity,
    entity_top_up,
    floor,
    gas_top_up,
    is_small,
    peak_factor,
    pre_allocated,
)

# 环节.  A change of the verification has no quantity: it asks for another approval (N32).
STAGES = {
    "pre_allocation": _("Pre-allocation"),
    "approved": _("Approved allocation"),
    "verification": _("Change of verification"),
}
COAL, OTHER_COAL, GAS, INTENSITY, VERIFIED, UNITS = (
    "coal", "other_coal", "gas", "intensity", "verified", "units",
)  # fmt: skip
# How a quantity is approved: by whom it is said, and what has to be known for it.
BASES = {
    COAL: _("Conventional coal unit"),
    OTHER_COAL: _("Unconventional coal unit"),
    GAS: _("Gas unit"),
    INTENSITY: _("Intensity coefficient"),
    VERIFIED: _("Approved = verified"),
    UNITS: _("Sum of its units"),
}
_BENCHMARKED = ("power", "heat", "power_benchmark", "heat_benchmark")
NEEDS: dict[str, tuple[str, ...]] = {
    COAL: (*_BENCHMARKED, "load"),
    OTHER_COAL: _BENCHMARKED,
    GAS: _BENCHMARKED,
    INTENSITY: ("intensity", "balance"),
    VERIFIED: (),
    UNITS: (),
}
POWER = "power"  # the sector whose enterprises are topped up


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: of a unit, or of an enterprise and sector where ``unit`` is empty.

    Tonnes, MWh, GJ, tonnes for each of them; share and load in per cent.
    """

    year: int
    sector: str
    stage: str
    unit: str
    verified: Fraction  # of a pre-allocation, in the year before
    share: Fraction | None = None
    basis: str = ""
    power: Fraction | None = None
    heat: Fraction | None = None
    power_benchmark: Fraction | None = None
    heat_benchmark: Fraction | None = None
    load: Fraction | None = None
    intensity: Fraction | None = None
    balance: Fraction | None = None


def expected(figure: Figure, units: Sequence[int] = ()) -> int | None:
    """Return what a figure's quantity is by our own computing; ``units`` are those of its units.

    None for a change of the verification, which has none.
    """
    if figure.stage == "verification":
        return None
    if figure.stage == "pre_allocation":
        if units:  # Rounded by unit, then summed (N20).
            return sum(units)
        assert figure.share is not None
        return pre_allocated(figure.verified, figure.share)
    return _of_enterprise(figure, units) if not figure.unit else _by_basis(figure)


def _of_enterprise(figure: Figure, units: Sequence[int]) -> int:
    if is_small(figure.verified):
        return floor(figure.verified)
    initial = sum(units) if units else _by_basis(figure)
    is_topped_up = figure.sector == POWER and figure.basis != VERIFIED
    return initial + (entity_top_up(initial, figure.verified) if is_topped_up else 0)


def _by_basis(figure: Figure) -> int:
    if figure.basis == INTENSITY:
        assert figure.intensity is not None
        assert figure.balance is not None
        return by_intensity(figure.verified, figure.intensity, figure.balance)
    if figure.basis in (COAL, OTHER_COAL, GAS):
        initial = by_benchmark(*_benchmarks(figure), _factor(figure))
        return initial + (gas_top_up(initial, figure.verified) if figure.basis == GAS else 0)
    return floor(figure.verified)


def _benchmarks(figure: Figure) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    power, heat, power_benchmark, heat_benchmark = (getattr(figure, each) for each in _BENCHMARKED)
    return power, heat, power_benchmark, heat_benchmark


def _factor(figure: Figure) -> Fraction:
    if figure.basis != COAL:
        return Fraction(1)
    assert figure.load is not None
    return peak_factor(figure.load, figure.year)


@dataclass(slots=True)
class AllocationFacts:
    """What the rules of deductions, claims and issues read of allocation; tonnes.

    ``claimable`` is reduced as claims of a batch are accepted.
    """

    claimable: dict[tuple[int, int], int] = field(default_factory=dict)  # (account, instrument)
    # (account, instrument) -> what differs of the instrument's year, in words
    differing: Mapping[tuple[int, int], str] = field(default_factory=dict)
    approved: Mapping[tuple[int, int, str], int] = field(default_factory=dict)  # by year and sector
    sectors: frozenset[tuple[int, str]] = frozenset()  # of accounts, past ones included
    code_in_force: date | None = None  # 生态环境法典施行日
