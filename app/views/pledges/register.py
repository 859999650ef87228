"""质押登记: what is pledged, to whom and until when, and what of it is left."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import g, url_for
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, ColumnElement, Select, case, func, literal, or_, select

from app.domain.kinds import KINDS
from app.domain.kinds.pledge import PLEDGES, Pledge, PledgeNote
from app.domain.workflow import STATUS_TITLES, STATUS_TONES, Status
from app.extensions import db
from app.models import Application, ApplicationLine, CourtOrder, Instrument
from app.models.figures import line_draw
from app.security.roles import READERS
from app.security.scope import scoped_applications
from app.views.applications.list import approved_at
from app.views.chapters import PLEDGES as CHAPTER
from app.views.chapters import MenuEntry
from app.views.enquiries.lines import given_back, lines
from app.views.lists.columns import Column
from app.views.lists.conditions import Columns, Filter
from app.views.lists.listing import Conditions, ListPage, RowAction

GUIDE = {"enterprise": "质押登记", "province": "查询", "registry": "质押登记"}
MODES = {Pledge.code: (_("Frozen"), "blue"), PledgeNote.code: (_("Noted"), "grey")}
IN_FORCE, ENDED = "in_force", "ended"
STATES = {IN_FORCE: (_("Pledge stands"), "green"), ENDED: (_("Released in full"), "grey")}
DESKS = {Pledge.code: "PledgeView", PledgeNote.code: "PledgeNoteView"}
MOST = 100  # rows of a table on a page


def said(name: str) -> ColumnElement[Any]:
    """Return one of the texts of a pledge's application."""
    return Application.proposal[name].astext.label(name)


class PledgeRegisterView(ListPage):
    """质押登记: pledges registered, a row a line; who is pledged to sees them as well."""

    route_base = "/pledge-register"
    title = _("Registered pledges")
    menu = MenuEntry(CHAPTER, 1)
    guide = GUIDE
    grants = {READERS: "list export"}
    account_column = "account_id"
    columns = (
        Column("number", _("Application number"), kind="code", is_shown=False),
        Column("member_no", _("Member number"), kind="code", is_shown=False),
        Column("account", _("Pledger")),
        Column("pledgee", _("Pledgee")),
        Column("uscc", _("Pledgee's unified social credit code"), kind="code", is_shown=False),
        Column("code", _("Instrument code"), kind="code"),
        Column("instrument", _("Instrument name"), is_shown=False),
        Column("kind", _("Way of registration"), kind="status", choices=MODES),
        Column("quantity", _("Pledged quantity"), kind="quantity"),
        Column("drawn", _("Released or surrendered"), kind="quantity"),
        Column("left", _("Still pledged"), kind="quantity"),
        Column("queued", _("Courts' orders queued"), kind="quantity"),
        Column("contract_no", _("Number of the pledge contract"), kind="code", is_shown=False),
        Column("filing_no", _("Number of the filing in the movables registry"), kind="code", is_shown=False),
        Column("ends_on", _("Filing holds until"), kind="date"),
        Column("handled_at", _("Registered at"), kind="datetime", is_shown=False),
        Column("state", _("Status"), kind="status", choices=STATES),
    )  # fmt: skip
    filters = (
        Filter("pledgee", _("Pledgee"), on=("pledgee", "uscc")),
        Filter("state", _("Status"), kind="choice", choices=STATES),
        Filter("code", _("Instrument code"), kind="prefix", on=("code",)),
        Filter("member", _("Pledger"), on=("member_no", "account")),
        Filter("kind", _("Way of registration"), kind="choice", choices=MODES),
        Filter("contract", _("Number of the pledge contract"), on=("contract_no",)),
        Filter("ends", _("Filing holds until"), kind="date_range", on=("ends_on",)),
        Filter("account", _("Member"), kind="number", on=("account_id",), is_hidden=True),
        Filter("instrument", _("Instrument"), kind="number", on=("instrument_id",), is_hidden=True),
    )
    help = (
        _("What is frozen is neither transferred nor cancelled; a note moves and stops nothing"),
        _("A pledge ends on the word of the pledgee, or of both; never of the holder alone"),
        _("Courts' orders that wait for the same allowances take what is released, by themselves"),
        _("The end of the filing does not end the pledge"),
    )
    empty_hint = _("Pledges appear here once two officers of the registry have registered them")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a line of a registered pledge."""
        left = ApplicationLine.quantity - given_back()
        more = (
            Application.id.label("application_id"),
            approved_at().label("handled_at"),
            *(said(name) for name in ("pledgee", "uscc", "contract_no", "filing_no")),
            given_back().label("drawn"),
            left.label("left"),
            _queued().label("queued"),
            case((left > 0, literal(IN_FORCE)), else_=literal(ENDED)).label("state"),
        )
        return lines(*more).where(
            Application.kind.in_([each.code for each in PLEDGES]),
            Application.status == Status.APPROVED,
        )

    def in_scope(self, statement: Select[Any], columns: Columns) -> Select[Any]:
        """Not by account alone: a pledgee with an account here sees what is pledged to it."""
        return scoped_applications(
            statement, columns["application_id"], columns["account_id"], g.user
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        """What led to it, and what came of it; of what is left a part may be released."""
        if self.may("show", DESKS[row.kind]):
            yield RowAction(_("Details"), url_for(f"{DESKS[row.kind]}.show", id=row.application_id))
        if not row.left:
            return
        about = {"account": row.account_id, "source": row.application_id}
        page = "PledgeReleaseView" if row.kind == Pledge.code else "PledgeNoteReleaseView"
        if self.may("write", page):
            yield RowAction(_("Release"), url_for(f"{page}.new", **about))
        if (
            row.kind == Pledge.code
            and row.account_id == g.user.account_id
            and self.may("write", "PledgeJointReleaseView")
        ):
            address = url_for("PledgeJointReleaseView.new", source=row.application_id)
            yield RowAction(_("Release with the pledgee"), address)


def _queued() -> ColumnElement[Any]:
    """Return what courts' orders wait for that are about the line's instrument, or the whole account."""
    found = (
        select(func.coalesce(func.sum(CourtOrder.queued), 0).cast(BigInteger))
        .where(
            CourtOrder.account_id == Application.account_id,
            CourtOrder.queued > 0,
            or_(
                CourtOrder.instrument_id.is_(None),
                CourtOrder.instrument_id == ApplicationLine.instrument_id,
            ),
        )
        .correlate(Application, ApplicationLine)
    )
    return found.scalar_subquery()


def standing_table(application: Application) -> dict[str, Any]:
    """Return what of a registered pledge is left, under review and queued for, by instrument."""
    rows = db.session.execute(
        select(
            Instrument.code,
            ApplicationLine.quantity,
            line_draw.c.drawn,
            line_draw.c.pending,
            _queued().label("queued"),
        )
        .select_from(ApplicationLine)
        .join(Application, Application.id == ApplicationLine.application_id)
        .join(Instrument, Instrument.id == ApplicationLine.instrument_id)
        .join(line_draw, line_draw.c.line_id == ApplicationLine.id)
        .where(Application.id == application.id)
        .order_by(Instrument.code)
    )
    tonnes: dict[str, Any] = {"kind": "number", "unit": _("tonnes")}
    return {
        "title": _("Where the pledge stands"),
        "columns": [
            {"label": _("Instrument code"), "kind": "code"},
            {"label": _("Pledged quantity"), **tonnes},
            {"label": _("Released or surrendered"), **tonnes},
            {"label": _("Under review"), **tonnes},
            {"label": _("Still pledged"), **tonnes},
            {"label": _("Courts' orders queued"), **tonnes},
        ],
        "rows": [
            [row.code, row.quantity, row.drawn, row.pending, row.quantity - row.drawn, row.queued]
            for row in rows
        ],
    }


def followed_table(application: Application) -> dict[str, Any]:
    """Return the releases and surrenders that draw on a pledge, and the courts' orders behind it."""
    both = _drawing(application).union_all(_waiting(application)).subquery("followed")
    rows = db.session.execute(select(both).order_by(both.c.at, both.c.number).limit(MOST))
    return {
        "title": _("Releases, surrenders and courts' orders queued"),
        "columns": [
            {"label": _("Time"), "kind": "datetime"},
            {"label": _("Business")},
            {"label": _("Number"), "kind": "code"},
            {"label": _("Quantity"), "kind": "number", "unit": _("tonnes")},
            {"label": _("Status"), "kind": "status"},
        ],
        "rows": [
            [row.at, KINDS[row.kind].title, row.number, row.quantity, _status(row.status)]
            for row in rows
        ],
    }


def _drawing(application: Application) -> Any:
    """Return the applications that draw on a pledge, drafts aside."""
    source = select(ApplicationLine.id).where(ApplicationLine.application_id == application.id)
    return (
        select(
            func.coalesce(Application.submitted_at, Application.created_at).label("at"),
            Application.kind,
            Application.number,
            ApplicationLine.quantity,
            Application.status,
        )
        .join(ApplicationLine, ApplicationLine.application_id == Application.id)
        .where(
            ApplicationLine.source_line_id.in_(source),
            Application.status.not_in([Status.DRAFT, Status.DISCARDED]),
        )
    )


def _waiting(application: Application) -> Any:
    """Return the courts' orders that wait for the same allowances, by their ruling."""
    instruments = [each.instrument_id for each in application.lines]
    of_these = CourtOrder.instrument_id.is_(None) | CourtOrder.instrument_id.in_(instruments)
    return (
        select(
            CourtOrder.served_at, Application.kind, Application.document_no, CourtOrder.queued,
            literal(""),
        )
        .join(CourtOrder, CourtOrder.application_id == Application.id)
        .where(CourtOrder.account_id == application.account_id, CourtOrder.queued > 0, of_these)
    )  # fmt: skip


def _status(status: str) -> dict[str, Any]:
    if not status:
        return {"label": _("Queued"), "tone": "amber"}
    return {"label": STATUS_TITLES[Status(status)], "tone": STATUS_TONES[Status(status)]}
