"""年度报告: the ministry's yearly report, in the layout in force, as CSV and XLSX."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any
from urllib.parse import quote

from flask import Response, abort, request
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import force_locale, gettext
from flask_babel import lazy_gettext as _

from app.domain.trading_day import BEIJING
from app.operations.publicity import report
from app.operations.publicity.figures import FIGURES
from app.operations.publicity.report import LayoutSheet
from app.operations.records import clock
from app.security.roles import AUDITOR, OFFICERS
from app.views.chapters import ENQUIRIES, MenuEntry
from app.views.lists import workbook
from app.views.lists.columns import Column, spreadsheet_text
from app.views.lists.export import Answer, Busy, begin, busy_page, finish
from app.views.lists.public_file import csv_content
from app.views.page import Page, current_actor

FIRST_YEAR = 2019
_LANGUAGE = "zh"  # of the files
_SUBJECT = "YearlyReportView"
_NOTES = (
    _("Figures of notices are of the compliance year, all others of the calendar year in Beijing"),
    _("Enterprises in several sectors are a row of their own; of notices each sector's counts"),
    _("What waits at an authority counts as issued to the enterprise that it is for"),
)


class YearlyReportView(Page):
    """年度报告."""

    route_base = "/yearly-report"
    default_view = "show"
    title = _("Yearly report")
    menu = MenuEntry(ENQUIRIES, 10)
    guide = {"registry": "年度报告", "administration": "年度报告"}
    grants = {f"{OFFICERS} {AUDITOR}": "show download"}

    @expose("/")
    @has_access
    @permission_name("show")
    def show(self) -> Any:
        """Offer the years, and show what the layout in force has."""
        now = clock.now()
        sheets = report.layout(now.astimezone(BEIJING).date())
        return self.render_template(
            "publicity/report.html",
            title=self.title,
            years=range(now.astimezone(BEIJING).year, FIRST_YEAR - 1, -1),
            sheets=[_described(each) for each in sheets],
            notes=_NOTES,
            url=self.url,
            may_download=self.may("download"),
        )

    @expose("/report.csv")
    @has_access
    @permission_name("download")
    def export_csv(self) -> Any:
        return self._file("csv", "text/csv", _csv)

    @expose("/report.xlsx")
    @has_access
    @permission_name("download")
    def export_xlsx(self) -> Any:
        return self._file("xlsx", workbook.MEDIA_TYPE, _xlsx)

    def _file(self, ending: str, media_type: str, write: Any) -> Answer:
        """Read the figures of one snapshot, within the exports' slots and on record, and write them."""
        year, now, actor = _asked_year(), clock.now(), current_actor()
        with ExitStack() as resources:
            found = begin(
                resources, actor, _SUBJECT, {"year": str(year)}, isolation="REPEATABLE READ",
                format=ending,
            )  # fmt: skip
            if isinstance(found, Busy):
                return busy_page(found, self.url("show"))
            figures = report.read(found, year, now=now)
        with force_locale(_LANGUAGE):
            sheets = report.layout(now.astimezone(BEIJING).date())
            tables = [(each, report.rows(each, figures)) for each in sheets]
            content = write(year, now, tables)
        finish(actor, _SUBJECT, "done", sum(len(rows) for _sheet, rows in tables))
        name = quote(f"年度报告_{year}.{ending}")
        disposition = f"attachment; filename=\"report.{ending}\"; filename*=UTF-8''{name}"
        headers = {"Content-Disposition": disposition, "Cache-Control": "no-store"}
        return Response(content, mimetype=media_type, headers=headers)


_Tables = Sequence[tuple[LayoutSheet, Sequence[Sequence[Any]]]]


def _asked_year() -> int:
    typed = request.args.get("year", "")
    is_year = typed.isascii() and typed.isdigit() and len(typed) == 4
    latest = clock.now().astimezone(BEIJING).year
    if not is_year or not FIRST_YEAR <= int(typed) <= latest:
        abort(404)
    return int(typed)


def _facts(year: int, now: datetime) -> list[tuple[str, str]]:
    return [
        (gettext("Report"), gettext("Yearly report of the national carbon allowance registry")),
        (gettext("Year"), str(year)),
        (gettext("As of"), f"{now.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"),
        *((gettext("Note"), str(each)) for each in _NOTES),
    ]


def _csv(year: int, now: datetime, tables: _Tables) -> bytes:
    lines: list[list[str]] = [list(each) for each in _facts(year, now)]
    for sheet, rows in tables:
        lines += [[], [spreadsheet_text(sheet.name)], list(map(spreadsheet_text, sheet.headings))]
        lines += [[spreadsheet_text(str(row[0])), *map(str, row[1:])] for row in rows]
    return csv_content(lines)


def _xlsx(year: int, now: datetime, tables: _Tables) -> bytes:
    about = [Column("item", _("Item")), Column("content", _("Content"))]
    sheets: list[workbook.Table] = [(gettext("Notes"), about, _facts(year, now))]
    for sheet, rows in tables:
        columns = [
            Column("row", report.ROWS_BY[sheet.rows_by]),
            *(
                Column(
                    each.figure,
                    each.name,
                    kind="number" if each.is_whole else "money",
                    unit=each.unit_title,
                )
                for each in sheet.columns
            ),
        ]
        sheets.append((sheet.name, columns, [tuple(row) for row in rows]))
    return workbook.write_sheets(sheets)


def _described(sheet: LayoutSheet) -> dict[str, Any]:
    """Return a sheet of the layout as the page shows it: its columns and what they are."""
    rows = [[each.heading, str(FIGURES[each.figure].title)] for each in sheet.columns]
    rows.insert(0, [str(report.ROWS_BY[sheet.rows_by]), gettext("What a row is of")])
    columns = [{"label": gettext("Column")}, {"label": gettext("Figure")}]
    return {"title": sheet.name, "columns": columns, "rows": rows}
