"""结转单 and 结转报表 as PDF: an enterprise's carry-over, and a year's for the ministry (rules-2026 N74)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from flask import Response, abort
from flask_babel import force_locale, gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, Row, cast, func, select
from sqlalchemy.orm import aliased

from app.domain.regions import PROVINCES
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import (
    Account,
    Application,
    ApplicationLine,
    CarryOverGrant,
    CarryOverNotice,
    CarryOverRound,
    Instrument,
)
from app.operations.compliance import carry_over
from app.operations.records import clock
from app.operations.records.log import record
from app.views.attestations import sheets
from app.views.lists.columns import TONNES
from app.views.page import current_actor

DRAWN = 5_000  # rows of a PDF; the lists export all
OF_ENTERPRISE, OF_YEAR = "结转单", "结转报表"
_LANGUAGE = "zh"  # of the files, whatever that of the pages
_Columns = Sequence[tuple[Any, str, Any]]


def of_notice(notice: CarryOverNotice) -> Response:
    """Send what an enterprise was allowed, and what each batch recalled and granted."""
    lines = _lines(notice)
    with force_locale(_LANGUAGE):
        content = sheets.draw(
            OF_ENTERPRISE, notice.number, _facts_of_notice(notice), [_recalled(lines)],
            [
                gettext("As of %(at)s", at=_moment(clock.now())),
                gettext("Each application was recalled and granted in one document, tonne for tonne"),
            ],
        )  # fmt: skip
    return _file(OF_ENTERPRISE, notice.number, content, notice.account_id)


def of_year(round_: CarryOverRound, totals: Sequence[Row[Any]]) -> Response:
    """Send what was recalled per vintage and granted per enterprise, for the ministry."""
    enterprises = _enterprises(round_.year)
    recalled, granted = totals[0].year_recalled, totals[0].year_granted
    with force_locale(_LANGUAGE):
        facts = [
            _fact(_("Carried over into"), f"{round_.year}（{round_.target.code}）"),
            _fact(_("Enterprises"), f"{len(enterprises):,}"),
            _fact(_("Recalled of all vintages"), f"{recalled:,}", TONNES),
            _fact(_("Granted of the newer vintage"), f"{granted:,}", TONNES),
            _fact(_("Recalled and granted"), _("Equal") if recalled == granted else _("Different")),
            _fact(_("As of"), _moment(clock.now())),
        ]
        by_vintage = _table(
            _("Recalled, by vintage"),
            ((_("Vintage"), "code", ""), (_("Enterprises"), "number", ""),
             (_("Applications"), "number", ""), (_("Quantity recalled"), "number", TONNES)),
            [(str(row.vintage), row.enterprises, row.applications, row.recalled) for row in totals],
        )  # fmt: skip
        by_enterprise = _table(
            _("Granted, by enterprise"),
            ((_("Member number"), "code", ""), (_("Member name"), "text", ""),
             (_("Province"), "text", ""), (_("Applications"), "number", ""),
             (_("Quantity granted"), "number", TONNES)),
            [(row.member_no, row.name, str(PROVINCES.get(row.province, "")), row.applications,
              row.granted) for row in enterprises],
        )  # fmt: skip
        content = sheets.draw(OF_YEAR, str(round_.year), facts, [by_vintage, by_enterprise], [])
    return _file(OF_YEAR, str(round_.year), content, None)


def _facts_of_notice(notice: CarryOverNotice) -> list[tuple[Any, ...]]:
    done, pending = carry_over.taken_of(notice.id)
    newest = carry_over.latest(notice.year) or notice.round
    account = notice.account
    return [
        _fact(_("Member number"), account.member_no),
        _fact(_("Member name"), account.name),
        _fact(_("Unified social credit code"), account.uscc or "–"),
        _fact(_("Carried over into"), f"{newest.target.code} {newest.target.name}"),
        _fact(_("Made at"), _moment(notice.made_at)),
        _fact(_("Applications until"), newest.apply_until),
        _fact(_("Base"), f"{notice.base:,}", TONNES),
        _fact(_("Net sales"), f"{max(0, notice.sold - notice.bought):,}", TONNES),
        _fact(_("Holding counted"), f"{notice.holding:,}", TONNES),
        _fact(_("May be carried over"), f"{notice.quota:,}", TONNES),
        _fact(_("Carried over"), f"{done:,}", TONNES),
        _fact(_("Left to be carried over"), f"{notice.quota - done - pending:,}", TONNES),
    ]


def _lines(notice: CarryOverNotice) -> Sequence[Row[Any]]:
    """Return the lines of a notice's applications that were carried out."""
    target = aliased(Instrument)
    found = (
        select(
            Application.number,
            Application.submitted_at,
            CarryOverGrant.at,
            Instrument.code,
            Instrument.vintage,
            ApplicationLine.quantity,
            target.code.label("target"),
        )
        .join(Application, Application.id == CarryOverGrant.application_id)
        .join(ApplicationLine, ApplicationLine.application_id == Application.id)
        .join(Instrument, Instrument.id == ApplicationLine.instrument_id)
        .join(target, target.id == CarryOverGrant.instrument_id)
        .where(CarryOverGrant.notice_id == notice.id)
        .order_by(Application.id, ApplicationLine.id)
    )
    return _bounded(found)


def _recalled(lines: Sequence[Row[Any]]) -> dict[str, Any]:
    columns = (
        (_("Application number"), "code", ""), (_("Submitted at"), "datetime", ""),
        (_("Carried out at"), "datetime", ""), (_("Recalled"), "code", ""),
        (_("Vintage"), "code", ""), (_("Quantity recalled"), "number", TONNES),
        (_("Granted"), "code", ""), (_("Quantity granted"), "number", TONNES),
    )  # fmt: skip
    rows = [
        (each.number, _moment(each.submitted_at), _moment(each.at), each.code, str(each.vintage),
         each.quantity, each.target, each.quantity)
        for each in lines
    ]  # fmt: skip
    return _table(_("Carried over"), columns, rows)


def _enterprises(year: int) -> Sequence[Row[Any]]:
    return _bounded(
        select(
            Account.member_no,
            Account.name,
            Account.province,
            func.count(CarryOverGrant.application_id).label("applications"),
            cast(func.sum(CarryOverGrant.quantity), BigInteger).label("granted"),
        )
        .join(CarryOverNotice, CarryOverNotice.id == CarryOverGrant.notice_id)
        .join(Account, Account.id == CarryOverGrant.account_id)
        .where(CarryOverNotice.year == year)
        .group_by(Account.id)
        .order_by(Account.member_no)
    )


def _bounded(found: Any) -> Sequence[Row[Any]]:
    """Return the rows; 413 where they are more than a PDF shows."""
    rows = db.session.execute(found.limit(DRAWN + 1)).all()
    if len(rows) > DRAWN:
        abort(413)
    return rows


def _fact(label: Any, value: Any, unit: Any = "") -> tuple[Any, ...]:
    return (str(label), str(value), "text", str(unit))


def _table(title: Any, columns: _Columns, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return a table as `sheets.draw` takes it; columns are (label, kind, unit)."""
    shown = [
        {"label": str(label), "kind": kind, "unit": str(unit)} for label, kind, unit in columns
    ]
    return {"title": str(title), "columns": shown, "rows": rows}


def _moment(at: Any) -> str:
    return f"{at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}" if at else "–"


def _file(title: str, number: str, content: bytes, account_id: int | None) -> Response:
    with transaction():
        record(current_actor(), "carry_over.download", subject=number, account_id=account_id)
    name = quote(f"{title}_{number}.pdf")
    headers = {
        "Content-Disposition": f"attachment; filename=\"carry-over.pdf\"; filename*=UTF-8''{name}"
    }
    return Response(content, mimetype="application/pdf", headers=headers)
