"""结转通知书: what each enterprise may carry over and why, and how two officers make them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from flask import Response, abort, flash, g, redirect, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, ScalarSelect, Select, String, case, cast, func, literal, select
from sqlalchemy.orm import joinedload

from app.domain.compliance.carry_over import REFUSALS, tonnes_to_sell
from app.domain.kinds.compliance.carry_over import OBSTACLES, CarryOver, CarryOverNotices
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.domain.regions import PROVINCES
from app.domain.trading_day import BEIJING
from app.domain.workflow import Status
from app.extensions import db
from app.models import Account, Application, ApplicationLine, CarryOverNotice, CarryOverRound
from app.operations.applications import engine
from app.operations.carry_over import drafts
from app.operations.compliance import carry_over
from app.operations.records import clock
from app.operations.records.catalogue import sector_titles
from app.security.roles import READERS
from app.security.scope import scoped
from app.views.applications import form as application_form
from app.views.applications.form import ApplicationForm, Filled
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.carry_over import paper
from app.views.carry_over.rounds import GUIDE
from app.views.chapters import CARRY_OVERS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url
from app.views.page import named_in_address

DESK = "CarryOverNoticesView"
OPEN, USED, CLOSED = "open", "used", "closed"
STATES = {
    OPEN: (_("Open for applications"), "blue"),
    USED: (_("Applied for in full"), "green"),
    CLOSED: (_("Applications closed"), "grey"),
}


def taken() -> Any:
    """Return the tonnes applied for against a notice, as a scalar subquery of it."""
    return (
        select(cast(func.coalesce(func.sum(ApplicationLine.quantity), 0), BigInteger))
        .join(Application, Application.id == ApplicationLine.application_id)
        .where(
            Application.kind == CarryOver.code,
            Application.status.in_((Status.IN_REVIEW, Status.APPROVED)),
            Application.proposal["notice"].astext == cast(CarryOverNotice.id, String),
        )
        .correlate(CarryOverNotice)
        .scalar_subquery()
    )


def _each_notice() -> Select[Any]:
    """Return one row a notice; the newest version of its round says until when."""
    newest = (
        select(CarryOverRound.year, func.max(CarryOverRound.id).label("id"))
        .group_by(CarryOverRound.year)
        .subquery("newest")
    )
    used, today = taken(), clock.now().astimezone(BEIJING).date()
    statement: Select = (
        select(
            CarryOverNotice.id,
            CarryOverNotice.account_id,
            CarryOverNotice.year,
            CarryOverNotice.number,
            Account.member_no,
            Account.name.label("account"),
            Account.province,
            CarryOverNotice.base,
            (CarryOverNotice.sold - CarryOverNotice.bought).label("net_sold"),
            CarryOverNotice.holding,
            CarryOverNotice.quota,
            used.label("taken"),
            CarryOverRound.apply_until,
            case(
                (used >= CarryOverNotice.quota, literal(USED)),
                (CarryOverRound.apply_until < today, literal(CLOSED)),
                else_=literal(OPEN),
            ).label("state"),
        )
        .join(Account, Account.id == CarryOverNotice.account_id)
        .join(newest, newest.c.year == CarryOverNotice.year)
        .join(CarryOverRound, CarryOverRound.id == newest.c.id)
    )
    return statement


class CarryOverNoticeView(ListPage):
    """Notices with their figures, what was applied for, and the way to the application."""

    route_base = "/carry-over-notices"
    title = _("Carry-over notices")
    menu = MenuEntry(CARRY_OVERS, 3)
    guide = GUIDE
    grants = {READERS: "list export show download"}
    account_column = "account_id"
    columns = (
        Column("year", _("Carried over into"), kind="code"),
        Column("number", _("Notice number"), kind="code"),
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column("province", _("Province"), is_shown=False, choices=PROVINCES),
        Column("base", _("Base"), kind="quantity", is_shown=False),
        Column("net_sold", _("Net sold"), kind="change"),
        Column("holding", _("Holding counted"), kind="quantity"),
        Column("quota", _("May be carried over"), kind="quantity"),
        Column("taken", _("Applied for"), kind="quantity"),
        Column("apply_until", _("Applications until"), kind="date"),
        Column("state", _("Status"), kind="status", choices=STATES),
    )
    filters = (
        Filter("year", _("Carried over into"), kind="number"),
        Filter("state", _("Status"), kind="choice", choices=STATES),
        Filter("number", _("Notice number"), kind="prefix"),
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
        Filter("province", _("Province"), kind="choice", is_of_others=True, choices=PROVINCES),
    )
    help = (
        _("What may be carried over = base + factor × net sales, rounded down, at most the holding"),
        _("The holding counts what was available in the registry, in trading, in transit between the two,"
          " and frozen by courts; what applications held is taken off"),
        _("Other freezes and custody are shown and not counted"),
    )  # fmt: skip
    empty_hint = _("Notices are made by the registry once the holding's day has passed")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a notice."""
        return _each_notice()

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield RowAction(_("Details"), self.url("show", id=row.id))
        if row.taken and self.may("download"):
            yield RowAction("PDF", self.url("pdf", id=row.id), keeps_place=False)
        if row.state != USED and self.may("write", "CarryOverView"):
            yield RowAction(_("Apply for carry-over"), url_for("CarryOverView.new", year=row.year))

    def tools(self) -> Iterable[RowAction]:
        if self.may("write", DESK):
            yield RowAction(_("Make notices"), url_for(f"{DESK}.new"), icon="plus")

    @expose("/<int:id>")
    @has_access
    @permission_name("show")
    def show(self, id: int) -> Any:
        """Show the figures that a notice follows from, and what selling more would have meant."""
        notice = _in_scope(id)
        actions: list[dict[str, Any]] = []
        if self.may("download"):
            actions.append({"label": "PDF", "url": self.url("pdf", id=id), "icon": "download"})
        if self.may("write", "CarryOverView"):
            address = url_for("CarryOverView.new", year=notice.year)
            actions.append({"label": gettext("Apply for carry-over"), "url": address})
        detail = {
            "title": gettext("Carry-over notice"),
            "number": notice.number,
            "actions": actions,
            "sections": [
                {"items": _about(notice)},
                {"title": gettext("How it follows"), "items": _figures(notice)},
                {"title": gettext("Holding at the instant"), "items": _holding(notice)},
                {"title": gettext("Planning"), "items": planning(notice)},
            ],
            "help": self.help,
            "back_url": back_url(self.url("list")),
        }
        return self.render_template("parts/detail.html", detail=detail)

    @expose("/<int:id>/statement.pdf")
    @has_access
    @permission_name("download")
    def pdf(self, id: int) -> Response:
        """Send the 结转单: what the notice allows, and what was recalled and granted."""
        return paper.of_notice(_in_scope(id))


def open_notices(account_id: int | None) -> ScalarSelect[Any]:
    """Return what an enterprise may still apply for as JSON, as a column for any statement."""
    every = _each_notice().subquery("every")
    left = (every.c.quota - every.c.taken).label("left")
    found = (
        select(every.c.id, every.c.year, every.c.number, left, every.c.apply_until)
        .where(every.c.account_id == account_id, every.c.state == OPEN)
        .order_by(every.c.year)
        .subquery("notice")
    )
    return select(func.jsonb_agg(func.to_jsonb(found.table_valued()))).scalar_subquery()


def notices_due(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what `open_notices` found as the home page shows what is due."""
    return [
        {
            "text": gettext(
                "Carry-over notice %(number)s: %(left)s tonnes may still be carried over into %(year)s",
                number=row["number"],
                left=f"{row['left']:,}",
                year=row["year"],
            ),
            "by": gettext("Applications until"),
            "day": date.fromisoformat(row["apply_until"]),
            "about": (gettext("Carry-over notice"), url_for("CarryOverNoticeView.show", id=row["id"])),
            "act": (gettext("Apply for carry-over"), url_for("CarryOverView.new", year=row["year"])),
        }
        for row in found
    ]  # fmt: skip


def _in_scope(id: int) -> CarryOverNotice:
    """Return a notice in the member's scope; another one does not exist."""
    about = (joinedload(CarryOverNotice.account), joinedload(CarryOverNotice.round))
    wanted = select(CarryOverNotice).where(CarryOverNotice.id == id).options(*about)
    owner = CarryOverNotice.__table__.c.account_id
    return db.session.scalars(scoped(wanted, owner, g.user)).one_or_none() or abort(404)


def _tonnes(title: Any, quantity: int) -> tuple[Any, ...]:
    return (title, quantity, "number", _("tonnes"))


def _about(notice: CarryOverNotice) -> list[tuple[Any, ...]]:
    done, pending = carry_over.taken_of(notice.id)
    newest = carry_over.latest(notice.year) or notice.round
    return [
        (_("Member number"), notice.account.member_no, "code"),
        (_("Member name"), notice.account.name, "text"),
        (_("Carried over into"), f"{notice.year}（{newest.target.code}）", "text"),
        (_("Made at"), notice.made_at, "datetime"),
        (_("Applications until"), newest.apply_until, "date"),
        _tonnes(_("May be carried over"), notice.quota),
        _tonnes(_("Carried over"), done),
        _tonnes(_("Applied for, not recalled yet"), pending),
        _tonnes(_("Left to be carried over"), notice.quota - done - pending),
    ]


def _figures(notice: CarryOverNotice) -> list[tuple[Any, ...]]:
    return [
        (_("Sectors"), sector_titles(notice.sectors), "text"),
        _tonnes(_("Base"), notice.base),
        (_("Factor"), f"{notice.factor.normalize():f}", "text"),
        _tonnes(_("Sold"), notice.sold),
        _tonnes(_("Bought"), notice.bought),
        _tonnes(_("Net sales"), max(0, notice.sold - notice.bought)),
        _tonnes(_("Holding counted"), notice.holding),
    ]


def _holding(notice: CarryOverNotice) -> list[tuple[Any, ...]]:
    return [
        (_("Instant"), notice.round.held_at, "datetime"),
        _tonnes(_("Available in registry"), notice.available),
        _tonnes(_("Held in trading"), notice.trading),
        _tonnes(_("In transit"), notice.in_transit),
        _tonnes(_("Frozen by courts"), notice.frozen_judicial),
        _tonnes(_("Held by applications (not counted)"), notice.reserved),
        _tonnes(_("Other freezes (not counted)"), notice.frozen_other),
        _tonnes(_("In custody (not counted)"), notice.custody),
    ]


def planning(notice: CarryOverNotice) -> list[tuple[Any, ...]]:
    """Return what exceeds the quota, and the sale that would have left nothing over (N75)."""
    to_sell = tonnes_to_sell(notice.base, notice.factor, notice.sold, notice.bought, notice.holding)
    return [
        _tonnes(_("Held beyond what may be carried over"), notice.holding - notice.quota),
        _tonnes(_("Had this been sold within the period, nothing would exceed it"), to_sell),
        _tonnes(_("Holding after that sale"), notice.holding - to_sell),
    ]


class CarryOverNoticesView(OfficerDesk):
    """结转通知书签发: all notices of a round at once, by two officers."""

    route_base = "/carry-over-notice-decisions"
    kind = CarryOverNotices.code
    title = _("Making carry-over notices")
    menu = MenuEntry(CARRY_OVERS, 4)
    guide = {"registry": "结转"}
    form_title = _("Make carry-over notices")
    new_label = _("Make notices")
    form = ApplicationForm
    accepts_attachments = False
    columns = (
        *usual_columns("number"),
        Column("year", _("Carried over into"), kind="code"),
        Column("notices", _("Notices"), kind="number"),
        Column("tonnes", _("May be carried over"), kind="quantity"),
        Column("reason", _("Reason for the application"), is_shown=False),
        *usual_columns("created_at", "status"),
    )
    filters = tuple(each for each in usual_filters(has_lines=False) if each.name != "member")
    help = (
        _("Notices are made once both books agree on every day of the deals that count"),
        _("Signed are their number, total and digest; other figures by then are refused"),
        _("Who gets none is told the reason with the application"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add year, number and total."""
        said = Application.proposal
        return (
            super()
            .rows(conditions)
            .add_columns(
                cast(said["year"].astext, BigInteger).label("year"),
                cast(said["count"].astext, BigInteger).label("notices"),
                cast(said["tonnes"].astext, BigInteger).label("tonnes"),
            )
        )

    def account_id(self) -> int:
        return ISSUANCE_ACCOUNT_ID

    def choose(self) -> Any:
        """Lead to the rounds where there is none; else the newest one counts, or the one named."""
        return choose_round()

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Return what the notices come to, who gets none, and what stands in the way."""
        found, today = named_round(), clock.now().astimezone(BEIJING).date()
        summary, without, stops = carry_over.outlook(found, today)
        said = "；".join(f"{day} {OBSTACLES[obstacle]}" for day, obstacle in stops[:5])
        return [
            (_("Carried over into"), str(found.year), "text"),
            (_("Notices"), summary.count, "number"),
            _tonnes(_("May be carried over"), summary.tonnes),
            *(
                (gettext("No notice: %(reason)s", reason=REFUSALS[reason]), count, "number")
                for reason, count in without.items()
            ),
            (_("Both books"), said or _("They agree"), "text"),
        ]

    def draft(self, filled: Filled, account_id: int) -> engine.Draft:
        return drafts.of_notices(
            named_round(),
            application_form.request_key(),
            now=clock.now(),
            reason=(filled.form.reason.data or "").strip(),
        )


def named_round() -> CarryOverRound:
    """Return the round that the application or the address names, or the newest one; 404 without any."""
    if id_ := (request.view_args or {}).get("id"):
        year = int(db.session.get_one(Application, id_).proposal["year"])
        return carry_over.latest(year) or abort(404)
    if "year" in request.args:
        return carry_over.latest(named_in_address("year")) or abort(404)
    return newest_round() or abort(404)


def newest_round() -> CarryOverRound | None:
    """Return the newest round, read once a request."""
    if "newest_round" not in g:
        g.newest_round = next(iter(carry_over.rounds()), None)
    return g.newest_round


def choose_round() -> Any:
    """Lead to the rounds where there is none yet; nothing otherwise."""
    return None if "year" in request.args or newest_round() else no_round()


def no_round() -> Any:
    """Say that there is no round, on the list of rounds."""
    flash(gettext("There is no carry-over round yet"), "info")
    return redirect(url_for("CarryOverRoundView.list"))
