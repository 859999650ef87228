"""The formulas by which allowances are pre-allocated and approved (rules-2026 N20, N27-N31; P24, P26 三).

Exact rationals throughout: a binary fraction would put X = 20 % or F = 49.99 % on the wrong side of its
boundary.  The correction for peak load alone is transcendental; it is computed to forty digits before
it is rounded to six.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

from flask_babel import lazy_gettext as _

from app.domain.errors import RuleError
from app.domain.moves import LARGEST_REQUEST

SMALLEST_BY_FORMULA = (
    26_000  # tonnes; of a smaller enterprise what is approved is what was verified
)
COVERED = Fraction(4, 5)  # 履约缺口率 at most 20 %
_NUMBER = re.compile(r"[0-9]{1,13}(\.[0-9]{1,6})?", re.ASCII)
_SIX_PLACES = Decimal("0.000001")


def exact(typed: str, *, field: str = "") -> Fraction:
    """Read a number as a table writes it.  Raises RuleError for anything but plain digits with decimals."""
    number = typed.strip().replace(",", "").removesuffix("%").rstrip()
    if not _NUMBER.fullmatch(number) or Fraction(number) > LARGEST_REQUEST:
        message = _(
            "Enter a number of at most %(limit)s with at most six decimals, not %(typed)s",
            limit=f"{LARGEST_REQUEST:,}",
            typed=typed[:30] or "–",
        )
        raise RuleError(message, field=field, code="figure_not_a_number")
    return Fraction(number)


def floor(quantity: Fraction) -> int:
    """Round down to whole tonnes, as the notes below every table have it."""
    return quantity.numerator // quantity.denominator


def pre_allocated(verified: Fraction, share: Fraction) -> int:
    """Return what is pre-allocated of the previous year's verified tonnes; ``share`` in per cent (N20)."""
    return floor(verified * share / 100)


def peak_factor(load: Fraction, year: int) -> Fraction:
    """Return the correction Ff of a conventional coal unit; ``load`` in per cent (N30).

    P24 has 1.015^(16 - 20 F) below 65 %; P26, table 2, another formula below 50 %.
    """
    if load >= (50 if year >= 2025 else 65):
        return Fraction(1)
    with localcontext() as context:
        context.prec = 40
        percent = Decimal(load.numerator) / Decimal(load.denominator)
        if year >= 2025:
            factor = (
                Decimal("7.254")
                - Decimal("0.633") * (1 - (-percent / Decimal("29.822")).exp())
                - Decimal("5.643") * (1 - (-percent / Decimal("6.871")).exp())
            )
        else:
            factor = Decimal("1.015") ** (16 - percent / 5)
        return Fraction(factor.quantize(_SIX_PLACES, ROUND_HALF_UP))


def by_benchmark(
    power: Fraction,
    heat: Fraction,
    power_benchmark: Fraction,
    heat_benchmark: Fraction,
    factor: Fraction = Fraction(1),
) -> int:
    """Return Ae + Ah of a power unit, each rounded down: MWh and GJ by tonnes for each."""
    return floor(power * power_benchmark * factor) + floor(heat * heat_benchmark)


def gas_top_up(initial: int, verified: Fraction) -> int:
    """Return what a gas unit gets besides, up to what was verified of it (N27)."""
    return max(floor(verified) - initial, 0)


def entity_top_up(initial: int, verified: Fraction) -> int:
    """Return what an enterprise of power gets besides, so that its gap is at most 20 % (N28, R32).

    Rounded down, so the gap may exceed 20 % by less than a tonne (C12).
    """
    return max(floor(COVERED * verified - initial), 0)


def coefficient(intensity: Fraction, balance: Fraction) -> Fraction:
    """Return α of an intensity and its sector's balance, which is above zero (N29)."""
    deviation = (balance - intensity) / balance
    if deviation >= Fraction(1, 5):
        return Fraction(3, 100)
    if deviation <= Fraction(-1, 5):
        return Fraction(-3, 100)
    return Fraction(15, 100) * deviation


def by_intensity(emissions: Fraction, intensity: Fraction, balance: Fraction) -> int:
    """Return what is approved in the sectors of intensity: E(1 + α), rounded down (N29)."""
    return floor(emissions * (1 + coefficient(intensity, balance)))


def is_small(verified: Fraction) -> bool:
    """Tell whether an enterprise is below 26,000 t: approved is what was verified, without α (N31)."""
    return verified < SMALLEST_BY_FORMULA
