"""Import of 履约通知书 from a table, all rows or none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Any

from flask_babel import lazy_gettext as _
from openpyxl.utils.datetime import from_excel
from sqlalchemy import select

from app.domain.dates import as_written
from app.domain.errors import RuleError
from app.domain.moves import whole_tonnes
from app.domain.texts import folded
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Account, Instrument, Notice
from app.operations.compliance import notices as compliance
from app.operations.compliance.notices import NewNotice
from app.operations.imports import tables
from app.operations.imports.tables import ImportColumn, Row, Table
from app.operations.records.actor import Actor

KIND = "notice"
COLUMNS = (
    ImportColumn("member_no", _("Member number"), "21042300007"),
    ImportColumn("year", _("Compliance year"), "2025"),
    ImportColumn("obligation", _("Obligation (tonnes)"), "1234567", _("Whole tonnes, digits only")),
    ImportColumn(
        "deadline",
        _("Deadline"),
        "2026-12-31",
        _("A day, until its end, or YYYY-MM-DD HH:mm"),
    ),
    ImportColumn(
        "instruments",
        _("Instruments accepted"),
        "PE2026000001、PE2026000002",
        _("Instrument codes with 、 between them; CCER that may be used as well"),
    ),
    ImportColumn(
        "offset_percent",
        _("Share of CCER (%)"),
        "5",
        _("Of the obligation; empty: no CCER"),
        is_required=False,
    ),
)
_END_OF_DAY = time(23, 59, 59)


@dataclass(frozen=True, slots=True)
class _Known:
    """The rows' references, read once for the whole table."""

    accounts: Mapping[str, tuple[int, str | None]]  # member number -> id, province
    instruments: Mapping[str, int]  # code -> id
    offsets: frozenset[int]  # the instruments that are CCER
    issued: frozenset[tuple[int, int]]  # (account, year) that have a notice


def import_table(table: Table, actor: Actor, *, now: datetime) -> int:
    """Issue a notice for every row and return their number, or 0 with ``table.problems``.

    Raises RuleError for a file imported before.
    """
    notices = read(table, actor, now=now)
    if not table.is_clear:
        return 0
    import_id = tables.remember(KIND, table, actor, now)
    return len(compliance.issue(notices, actor, now=now, import_id=import_id))


def read(table: Table, actor: Actor, *, now: datetime) -> list[NewNotice]:
    """Return the rows' notices; wrong cells are added to ``table.problems``."""
    known = _known(table.rows)
    seen: dict[tuple[str, str], int] = {}
    notices = []
    for row in table.rows:
        key = (folded(row["member_no"]), row["year"])
        if key in seen:
            message = _("The same enterprise and year stand in row %(row)s", row=seen[key])
            table.refuse(row.number, "member_no", message)
        seen.setdefault(key, row.number)
        notice = _notice(table, row, known, actor)
        if notice is not None:
            _judge(table, row, notice, known, now)
            notices.append(notice)
    return notices


def moment(text: str) -> datetime:
    """Parse a deadline: a day without time means its end, 24:00 is 23:59:59.  Raises RuleError."""
    try:
        begin, has_time = as_written(text)
    except ValueError as error:
        typed = text.strip()[:30]
        message = _(
            "%(typed)s is not a time; write it as YYYY-MM-DD or YYYY-MM-DD HH:mm", typed=typed
        )
        if re.fullmatch(r"[345][0-9]{4}(\.[0-9]+)?", typed):
            day = from_excel(float(typed))
            message = _(
                "%(typed)s is a spreadsheet's number for %(day)s; please format the column as a date",
                typed=typed,
                day=f"{day:%Y-%m-%d}",
            )
        raise RuleError(message, field="deadline") from error
    if not has_time:
        return datetime.combine(begin.date(), _END_OF_DAY, tzinfo=BEIJING)
    return begin.replace(tzinfo=BEIJING)


def percent(text: str) -> Decimal:
    """Parse a percentage with at most two decimals; empty is 0.  Raises RuleError."""
    typed = text.strip().replace("％", "%").removesuffix("%").rstrip()
    if not typed:
        return Decimal(0)
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,2})?", typed):
        message = _(
            "The share of CCER is a percentage between 0 and 100 with at most two decimals, not"
            " %(typed)s",
            typed=text.strip()[:30],
        )
        raise RuleError(message, field="offset_percent")
    return Decimal(typed)


def tonnes(text: str) -> int:
    """Parse an obligation, in tonnes, 0 included.  Raises RuleError."""
    return 0 if text.strip() == "0" else whole_tonnes(text, field="obligation")


def _known(rows: Sequence[Row]) -> _Known:
    accounts = {
        row.member_no: (row.id, row.province)
        for row in db.session.execute(
            select(Account.id, Account.member_no, Account.province).where(
                Account.kind == "enterprise",
                Account.member_no.in_({folded(row["member_no"]) for row in rows}),
            )
        )
    }
    years = {int(row["year"]) for row in rows if re.fullmatch(r"[0-9]{4}", row["year"])}
    issued = db.session.execute(
        select(Notice.account_id, Notice.year).where(
            Notice.account_id.in_([id_ for id_, _province in accounts.values()]),
            Notice.year.in_(years),
        )
    )
    instruments = db.session.execute(select(Instrument.code, Instrument.id, Instrument.kind)).all()
    return _Known(
        accounts,
        {row.code: row.id for row in instruments},
        frozenset(row.id for row in instruments if row.kind == "offset"),
        frozenset((row.account_id, row.year) for row in issued),
    )


def _notice(table: Table, row: Row, known: _Known, actor: Actor) -> NewNotice | None:
    """Return one row's notice, or None where a cell cannot be read."""
    earlier = len(table.problems)
    account, province = known.accounts.get(folded(row["member_no"]), (0, None))
    # An account out of scope is reported as unknown.
    if not account or (actor.province is not None and province != actor.province):
        table.refuse(row.number, "member_no", _("There is no such enterprise"))
    if not re.fullmatch(r"[0-9]{4}", row["year"]):
        table.refuse(row.number, "year", _("Enter the year in four digits"))
    codes = [folded(code) for code in re.split(r"[、,，;；\s]+", row["instruments"]) if code]
    unknown = [code for code in codes if code not in known.instruments]
    if unknown:
        message = _("There is no instrument %(codes)s", codes="、".join(unknown))
        table.refuse(row.number, "instruments", message)
    read_by: dict[str, Any] = {"obligation": tonnes, "deadline": moment, "offset_percent": percent}
    values = {}
    for key, reader in read_by.items():
        if not row[key] and key != "offset_percent":
            continue  # reported already
        try:
            values[key] = reader(row[key])
        except RuleError as error:
            table.refuse(row.number, key, error.message)
    if len(table.problems) > earlier or len(values) < len(read_by):
        return None
    return NewNotice(
        account_id=account,
        year=int(row["year"]),
        instruments=tuple(known.instruments[code] for code in dict.fromkeys(codes)),
        **values,
    )


def _judge(table: Table, row: Row, notice: NewNotice, known: _Known, now: datetime) -> None:
    """Check one row by the rules of `notices.issue`."""
    if (notice.account_id, notice.year) in known.issued:
        message = _("The enterprise has a notice for this year already")
        table.refuse(row.number, "year", message)
    try:
        compliance.require_valid(notice, known.offsets, now)
    except RuleError as error:
        table.refuse(row.number, error.field, error.message)
