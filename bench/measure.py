"""Interleaved rounds, medians and ratios, and their report."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(slots=True)
class Figure:
    """A median, and its ratio to the yardstick of the same rounds."""

    case: str
    value: float
    unit: str
    rounds: list[float]
    yardstick: str = ""
    ratio: float | None = None
    aim: str = ""  # e.g. ">= 0.25"
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Tell whether the aim is reached; None where there is none."""
        if not self.aim or self.ratio is None:
            return None
        sign, bound = self.aim.split()
        return self.ratio >= float(bound) if sign == ">=" else self.ratio <= float(bound)


@dataclass(slots=True)
class Report:
    """The figures so far."""

    figures: list[Figure] = field(default_factory=list)

    def add(
        self,
        case: str,
        rounds: Sequence[float],
        unit: str,
        *,
        to: tuple[str, Sequence[float]] | None = None,
        aim: str = "",
        note: str = "",
    ) -> Figure:
        """Add a case; ``to`` is the yardstick's name and rounds, interleaved with ours.

        The ratio is the median of the rounds' ratios, since a slow minute slows both.
        """
        ratio = None
        if to is not None:
            ratio = statistics.median(a / b for a, b in zip(rounds, to[1], strict=True))
        figure = Figure(
            case,
            statistics.median(rounds),
            unit,
            list(rounds),
            to[0] if to else "",
            ratio,
            aim,
            note,
        )
        self.figures.append(figure)
        print(_line(figure), flush=True)
        return figure

    def as_json(self) -> list[dict[str, object]]:
        """Return plain data."""
        return [asdict(figure) | {"is_met": figure.is_met} for figure in self.figures]

    def short(self) -> list[Figure]:
        """Return the figures that missed their aim."""
        return [figure for figure in self.figures if figure.is_met is False]


def interleaved(
    rounds: int, cases: dict[str, Callable[[], float]], *, warm_up: bool = False
) -> dict[str, list[float]]:
    """Run the cases in turn, in rounds of alternating order; return their seconds or rates."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    if warm_up:
        for run in cases.values():
            run()
    for number in range(rounds):
        names = list(cases) if number % 2 == 0 else list(reversed(cases))
        for name in names:
            found[name].append(cases[name]())
    return found


def seconds(act: Callable[[], object]) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def say(words: str) -> None:
    """Print and flush."""
    print(words, flush=True)
    sys.stdout.flush()


def heading() -> None:
    """Print the head of the table."""
    say(f"{'case':<58} {'median':>12} {'unit':<8} {'ratio':>7}  {'aim':<8} {'yardstick'}")


def _line(figure: Figure) -> str:
    ratio = "" if figure.ratio is None else f"{figure.ratio:7.3g}"
    mark = {True: "ok", False: "--", None: ""}[figure.is_met]
    value = f"{figure.value:,.0f}" if figure.value >= 100 else f"{figure.value:,.3g}"
    note = f"  ({figure.note})" if figure.note else ""
    return (
        f"  {figure.case:<56} {value:>12} {figure.unit:<8} {ratio:>7}  {figure.aim:<8}"
        f" {mark:<2} {figure.yardstick}{note}"
    )
