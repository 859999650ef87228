"""年度报告: sheets and columns as the layout in force says them, filled with the figures of a year."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Connection, select

from app.domain.regions import PROVINCES
from app.extensions import db
from app.models import ReportColumn, ReportSheet
from app.operations.publicity import figures
from app.operations.publicity.figures import FEN, FIGURES, PROVINCE, SECTOR, TOTAL, YEAR, Figures
from app.operations.records.catalogue import SECTORS

ROWS_BY = {PROVINCE: _("Province"), SECTOR: _("Sector"), YEAR: _("Year")}
ONE, TEN_THOUSAND = "one", "ten_thousand"
UNITS = {ONE: _("Tonnes, yuan, or a number"), TEN_THOUSAND: _("Ten thousand tonnes or yuan")}
_NAMED = {
    (figures.TONNES, ONE): _("tonnes"),
    (figures.TONNES, TEN_THOUSAND): _("ten thousand tonnes"),
    (FEN, ONE): _("yuan"),
    (FEN, TEN_THOUSAND): _("ten thousand yuan"),
}


@dataclass(frozen=True, slots=True)
class LayoutColumn:
    """A column of a sheet as the layout has it."""

    name: str
    figure: str
    unit: str

    @property
    def unit_title(self) -> Any:
        """The unit in words; a number of enterprises has none."""
        return _NAMED.get((FIGURES[self.figure].measure, self.unit), "")

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers, rather than with two decimals."""
        return isinstance(self.value(0), int)

    @property
    def heading(self) -> str:
        """Name and unit in one text."""
        return f"{self.name}（{self.unit_title}）" if self.unit_title else self.name

    def value(self, found: int) -> int | Decimal:
        """Return a figure in the column's unit, two decimals half up where it is not whole."""
        measure = FIGURES[self.figure].measure
        divided = (100 if measure == FEN else 1) * (10_000 if self.unit == TEN_THOUSAND else 1)
        if divided == 1:
            return found
        return (Decimal(found) / divided).quantize(Decimal("0.01"), ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class LayoutSheet:
    """A sheet as the layout has it."""

    name: str
    rows_by: str
    columns: Sequence[LayoutColumn]

    @property
    def headings(self) -> list[str]:
        """Return the headings of its columns, the first of which names the rows."""
        return [str(ROWS_BY[self.rows_by]), *(each.heading for each in self.columns)]


def layout(day: date) -> list[LayoutSheet]:
    """Return the layout in force on a day; columns whose figure the program does not know are left out."""
    columns = (
        select(ReportSheet.id, ReportColumn.name, ReportColumn.figure, ReportColumn.unit)
        .join(ReportSheet, ReportSheet.id == ReportColumn.sheet_id)
        .where(ReportColumn.in_force(day), ReportColumn.figure.in_(FIGURES))
        .order_by(ReportColumn.place, ReportColumn.id)
    )
    of: dict[int, list[LayoutColumn]] = {}
    for id_, *named in db.session.execute(columns):
        of.setdefault(id_, []).append(LayoutColumn(*named))
    sheets = select(ReportSheet).where(ReportSheet.in_force(day))
    return [
        LayoutSheet(each.name, each.rows_by, of[each.id])
        for each in db.session.scalars(sheets.order_by(ReportSheet.place, ReportSheet.id))
        if each.id in of
    ]


def rows(sheet: LayoutSheet, found: Figures) -> list[list[Any]]:
    """Return the rows of a sheet, that of all last; a sheet by year has none."""
    keys = found.keys(sheet.rows_by)
    if sheet.rows_by != YEAR:
        keys.append(TOTAL)
    return [
        [
            _name(sheet.rows_by, key),
            *(
                each.value(found.of(sheet.rows_by, key).get(each.figure, 0))
                for each in sheet.columns
            ),
        ]
        for key in keys
    ]


def read(connection: Connection, year: int, *, now: datetime) -> Figures:
    """Return the figures of a year, all of the connection's one snapshot."""
    return figures.read(connection, year, now=now)


def _name(rows_by: str, key: str) -> str:
    if key == TOTAL:
        return gettext("Total")
    if rows_by == YEAR:
        return key
    if key == figures.SEVERAL:
        return gettext("Several sectors")
    names: Any = PROVINCES if rows_by == PROVINCE else SECTORS
    return str(names.get(key, key)) if key else gettext("Not stated")
