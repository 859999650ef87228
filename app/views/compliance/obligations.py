"""履约通知书 (manual 五-一): their status, the page with 履约范围, and the list of an enterprise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from flask import abort, flash, g, redirect, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, Select, case, func, select, true
from sqlalchemy.orm import joinedload

from app.domain.errors import RuleError
from app.domain.regions import PROVINCES
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import (
    Account,
    Application,
    Attestation,
    Member,
    Notice,
    NoticeChange,
    plans_on,
)
from app.operations.compliance import attestations, plans
from app.operations.compliance import notices as compliance
from app.operations.records import clock
from app.operations.records.catalogue import SECTORS
from app.security.roles import ENTERPRISES
from app.security.scope import scope_of, scoped
from app.views.chapters import COMPLIANCE, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url
from app.views.page import current_actor

DUE, PARTIAL, FULFILLED, OVERDUE, LATE = "due", "partial", "fulfilled", "overdue", "late"
WITHDRAWN = "withdrawn"
STATES = {
    DUE: (_("Not due yet"), "amber"),
    PARTIAL: (_("Not due yet, partly fulfilled"), "blue"),
    FULFILLED: (_("Fulfilled"), "green"),
    OVERDUE: (_("Overdue and not fulfilled"), "red"),
    LATE: (_("Fulfilled after the deadline"), "amber"),
    WITHDRAWN: (_("Taken back"), "grey"),
}
MET = (FULFILLED, LATE)  # nothing is missing
COUNTING = (
    _("Obligation: all that must be surrendered; pending: submitted and waiting for the authority"),
    _("Surrendered: submitted, approved, and not refunded"),
    _("Remaining = obligation - surrendered - pending; no more than that can be submitted"),
)


def state_of(figures: Any, deadline: Any, now: datetime) -> ColumnElement[str]:
    """Return the state of a notice (N61) from its figures, the plan's deadline and the time."""
    return func.notice_state(
        Notice.obligation, figures.surrendered, figures.last_at, deadline, Notice.withdrawn_at, now
    )


def state_since(state: Any, figures: Any, deadline: Any) -> ColumnElement[datetime]:
    """Return since when a notice is overdue, or when it was fulfilled late."""
    return case((state == OVERDUE, deadline), (state == LATE, figures.last_at))


def notices() -> Any:
    """Return a SELECT of every notice with its figures; the figures are read for shown rows alone."""
    figures, now = compliance.surrender_figures(), clock.now()
    plan = plans_on(now.astimezone(BEIJING).date())
    remaining = Notice.obligation - figures.c.surrendered - figures.c.pending
    state = state_of(figures.c, plan.c.surrender_by, now)
    return (
        select(
            Notice.id,
            Notice.account_id,
            Notice.year,
            Notice.sector,
            Notice.number,
            Notice.obligation,
            plan.c.surrender_by.label("deadline"),
            plan.c.offset_percent,
            plan.c.vintages,
            Notice.reminded_at,
            Notice.issued_at,
            Account.member_no,
            Account.name.label("account"),
            Account.province,
            *figures.c,
            func.greatest(remaining, 0).label("remaining"),
            func.greatest(Notice.obligation - figures.c.surrendered, 0).label("gap"),
            state.label("state"),
            state_since(state, figures.c, plan.c.surrender_by).label("state_since"),
            Attestation.id.label("attestation_id"),
        )
        .join(Account, Account.id == Notice.account_id)
        .outerjoin(plan, (plan.c.year == Notice.year) & (plan.c.sector == Notice.sector))
        .outerjoin(figures, true())
        .outerjoin(
            Attestation,
            (Attestation.account_id == Notice.account_id)
            & (Attestation.year == Notice.year)
            & Attestation.lapsed_at.is_(None),
        )
    )


class NoticeList(ListPage):
    """Notices with the quantities surrendered."""

    account_column = "account_id"
    key = ("id",)
    columns: tuple[Column, ...] = (
        Column("year", _("Compliance year"), kind="code"),
        Column("sector", _("Sector"), choices=SECTORS),
        Column("number", _("Notice number"), kind="code"),
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column("province", _("Province"), is_shown=False, choices=PROVINCES),
        Column("obligation", _("Obligation"), kind="quantity"),
        Column("pending", _("Quantity pending review"), kind="quantity"),
        Column("surrendered", _("Surrendered for the notice"), kind="quantity"),
        Column("remaining", _("Remaining"), kind="quantity"),
        Column("deadline", _("Deadline"), kind="datetime"),
        Column("reminded_at", _("Reminded at"), kind="datetime", is_shown=False),
        Column("state", _("Status"), kind="status", choices=STATES),
        Column(
            "state_since", _("Overdue since, or fulfilled late at"), kind="datetime", is_shown=False
        ),
        Column("gap", _("Gap"), kind="quantity", is_shown=False),
    )
    filters: tuple[Filter, ...] = (
        Filter("year", _("Compliance year"), kind="number"),
        Filter("state", _("Status"), kind="choice", choices=STATES),
        Filter("number", _("Notice number"), kind="prefix"),
        Filter("deadline", _("Deadline"), kind="date_range"),
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
        Filter("sector", _("Sector"), kind="choice", choices=SECTORS),
        Filter("province", _("Province"), kind="choice", is_of_others=True, choices=PROVINCES),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        return notices()


class NoticePages(NoticeList):
    """A list of notices with detail page and certificate."""

    detail_title: Any

    def load(self, id_: int) -> Notice:
        """Return a notice in the member's scope, or abort with 404."""
        statement = select(Notice).where(Notice.id == id_).options(joinedload(Notice.account))
        owner = Notice.__table__.c.account_id
        notice = db.session.scalars(scoped(statement, owner, g.user)).one_or_none()
        if notice is None:
            abort(404)
        return notice

    def of_year(self, notice: Notice) -> Sequence[Any]:
        """Return the rows of all notices of the enterprise's year, this one among them."""
        same = (Notice.account_id == notice.account_id) & (Notice.year == notice.year)
        return db.session.execute(notices().where(same).order_by(Notice.sector, Notice.id)).all()

    def year_tables(self, found: Sequence[Any]) -> list[dict[str, Any]]:
        """Return all notices of the enterprise's year, where there are several (C10)."""
        rows = [row for row in found if row.state != WITHDRAWN]
        if len(rows) < 2:
            return []
        sums = [sum(getattr(row, name) for row in rows) for name in _SUMMED]
        shown = [
            [
                SECTORS.get(row.sector, row.sector),
                {"label": row.number, "url": self.url("show", id=row.id)},
                *(getattr(row, name) for name in _SUMMED),
                row.deadline,
                STATES[row.state][0],
            ]
            for row in rows
        ]
        title = gettext("All notices of %(year)s", year=rows[0].year)
        return [
            {"title": title, "columns": _OF_THE_YEAR,
             "rows": [*shown, [_("In total"), "", *sums, None, ""]]}
        ]  # fmt: skip

    def more_sections(self, row: Any) -> list[dict[str, Any]]:
        """Return what a page says besides."""
        return []

    def proof(self, row: Any) -> Iterable[RowAction]:
        """履约证明 of the year, once all is surrendered (R84); none for an obligation of 0."""
        if row.state not in MET or not row.surrendered or not self.may("certificate"):
            return
        label = _("Certificate of compliance")
        if row.attestation_id:
            url = url_for("AttestationView.pdf", id=row.attestation_id)
            yield RowAction(label, url, keeps_place=False)
        else:
            yield RowAction(label, self.url("certificate", id=row.id), method="post")

    @expose("/<int:id>")
    @has_access
    @permission_name("show")
    def show(self, id: int) -> Any:
        """履约范围: accepted instruments, the CCER cap and its use; and the history."""
        notice = self.load(id)
        rows = self.of_year(notice)
        row = next(each for each in rows if each.id == id)
        label, tone = STATES[row.state]
        detail = {
            "title": self.detail_title,
            "number": notice.number,
            "status": {"label": label, "tone": tone},
            "actions": [
                {"label": each.label, "url": each.url, "method": each.method, "tone": ""}
                for each in self.actions(row)
                if each.url != self.url("show", id=id)
            ],
            "sections": [
                {"title": _("Compliance notice"), "items": notice_facts(row)},
                {"title": _("Rule about CCER"), "items": offset_facts(row)},
                *self.more_sections(row),
            ],
            "tables": self.year_tables(rows),
            "lines": _scope_table(row),
            "help": COUNTING,
            "back_url": back_url(self.url("list")),
        }
        return self.render_template(
            "compliance/notice.html", detail=detail, history=_history(notice.id)
        )

    @expose("/<int:id>/certificate", methods=["POST"])
    @has_access
    @permission_name("certificate")
    def certificate(self, id: int) -> Any:
        """Show 履约证明 of the notice's year; issue it where the approval did not."""
        notice = self.load(id)
        try:
            with transaction():
                found = attestations.certify_notice(notice.id, current_actor(), clock.now())
                attestation_id = found.id
        except RuleError as error:
            flash(str(error), "danger")
            return redirect(self.url("show", id=id))
        return redirect(url_for("AttestationView.pdf", id=attestation_id))


class ComplianceView(NoticePages):
    """履约清缴 (manual 五-一): an enterprise's own notices."""

    route_base = "/compliance"
    title = _("Compliance")
    menu = MenuEntry(COMPLIANCE, 1)
    beneath = ("SurrenderPlanView",)
    guide = {"enterprise": "一履约通知书查询"}
    grants = {ENTERPRISES: "list export show certificate"}
    detail_title = _("Scope of compliance")
    filters = tuple(each for each in NoticeList.filters if not each.is_of_others)
    help = (
        *COUNTING,
        _("Scope of compliance: which instruments count, and the rule about CCER"),
        _("Once everything is surrendered the certificate of compliance can be downloaded"),
    )

    def tools(self) -> Iterable[RowAction]:
        yield RowAction(_("Plan of surrender"), url_for("SurrenderPlanView.show"), icon="route")

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield RowAction(_("Scope of compliance"), self.url("show", id=row.id))
        if row.remaining > 0 and self.may("write", "SurrenderView"):
            yield RowAction(_("Surrender application"), url_for("SurrenderView.new", notice=row.id))
            if row.offset_percent:
                offset = url_for("OffsetView.new", notice=row.id)
                yield RowAction(_("Application for offset by CCER"), offset)
        yield from self.proof(row)


_SUMMED = ("obligation", "pending", "surrendered", "remaining")
_OF_THE_YEAR = [
    {"label": _("Sector"), "kind": "text"},
    {"label": _("Notice number"), "kind": "link"},
    {"label": _("Obligation"), "kind": "number", "unit": _("tonnes")},
    {"label": _("Quantity pending review"), "kind": "number", "unit": _("tonnes")},
    {"label": _("Surrendered for the notice"), "kind": "number", "unit": _("tonnes")},
    {"label": _("Remaining"), "kind": "number", "unit": _("tonnes")},
    {"label": _("Deadline"), "kind": "datetime"},
    {"label": _("Status"), "kind": "text"},
]


def notice_facts(row: Any) -> list[tuple[Any, ...]]:
    facts: list[tuple[Any, ...]] = [
        (_("Notice number"), row.number, "code"),
        (_("Compliance year"), str(row.year), "text"),
        (_("Sector"), str(SECTORS.get(row.sector, row.sector)), "text"),
    ]
    if scope_of(g.user) != "account":
        facts += [
            (_("Member number"), row.member_no, "code"),
            (_("Member name"), row.account, "text"),
        ]
    return [
        *facts,
        (_("Obligation"), row.obligation, "number", _("tonnes")),
        (_("Quantity pending review"), row.pending, "number", _("tonnes")),
        (_("Surrendered for the notice"), row.surrendered, "number", _("tonnes")),
        (_("Remaining"), row.remaining, "number", _("tonnes")),
        (_("Deadline"), row.deadline, "datetime"),
        *_standing_facts(row),
    ]


def _standing_facts(row: Any) -> list[tuple[Any, ...]]:
    """Say since when a notice is overdue and what is missing, or when it was fulfilled late (N61)."""
    if row.state == OVERDUE:
        return [
            (_("Overdue since"), row.state_since, "datetime"),
            (_("Gap"), row.gap, "number", _("tonnes")),
        ]
    return [(_("Fulfilled late at"), row.state_since, "datetime")] if row.state == LATE else []


def offset_facts(row: Any) -> list[tuple[Any, ...]]:
    """Return the plan's CCER cap and how much of it is used."""
    if not row.offset_percent:
        return [(_("Share of CCER"), _("Not accepted by this notice"), "text")]
    used = row.offset_surrendered + row.offset_pending
    limit = int(row.obligation * row.offset_percent / 100)
    return [
        (_("Share of CCER"), f"{row.offset_percent.normalize():f}%", "text"),
        (_("At most"), limit, "number", _("tonnes")),
        (_("Used, pending ones included"), used, "number", _("tonnes")),
        (_("Left"), max(limit - used, 0), "number", _("tonnes")),
    ]


def _scope_table(plan: Any) -> dict[str, Any]:
    columns = (
        (_("Instrument code"), "code"),
        (_("Instrument name"), "text"),
        (_("Vintage"), "text"),
    )
    return {
        "title": _("Instruments accepted"),
        "columns": [{"label": label, "kind": kind} for label, kind in columns],
        "rows": [[each.code, each.name, str(each.vintage)] for each in plans.accepted(plan)],
    }


def _history(notice_id: int) -> dict[str, Any]:
    """Return what was decided about a notice, each with the application that decided it."""
    rows = db.session.execute(
        select(NoticeChange, Member.first_name, Application.number)
        .outerjoin(Member, Member.id == NoticeChange.changed_by)
        .outerjoin(Application, Application.id == NoticeChange.application_id)
        .where(NoticeChange.notice_id == notice_id)
        .order_by(NoticeChange.id.desc())
        .limit(200)
    )
    columns = (
        (_("Changed at"), "datetime"),
        (_("What"), "text"),
        (_("Before"), "number"),
        (_("After"), "number"),
        (_("Application number"), "code"),
        (_("Number of the authority document"), "text"),
        (_("Reason"), "text"),
        (_("Approved by"), "text"),
    )
    return {
        "columns": [
            {"label": label, "kind": kind, "unit": _("tonnes") if kind == "number" else ""}
            for label, kind in columns
        ],
        "rows": [
            (
                each.changed_at,
                _what(each),
                each.before,
                each.after,
                number or "",
                each.document_no,
                each.reason,
                name or "",
            )
            for each, name, number in rows
        ],
    }


def _what(change: NoticeChange) -> Any:
    """Name one step of a history; older ones changed scope or deadline, which are the plan's today."""
    if change.before is None:
        return _("Issue")
    if change.application_id is None and change.terms is not None:
        return _("As it stood before")
    if change.terms is None and change.application_id is not None:
        return _("Take back")
    return _("Scope or deadline") if change.before == change.after else _("Obligation")
