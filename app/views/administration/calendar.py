"""系统管理: 交易日历 and, in a demonstration, the clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from flask import abort, flash, redirect, request, url_for
from flask_appbuilder import expose, has_access
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, select
from wtforms import BooleanField

from app.domain.errors import RuleError
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import Member, TradingDay
from app.operations.records import calendar, clock
from app.operations.records.actor import Actor
from app.security.roles import SYSTEM_ADMIN
from app.views.applications import signing
from app.views.applications.form import MaxLength
from app.views.applications.texts import StringField
from app.views.chapters import ADMINISTRATION, MenuEntry
from app.views.lists.listing import Column, Filter, ListPage, RowAction, back_url
from app.views.page import Page, PageForm, SignedAct, current_actor


class DayForm(PageForm):
    is_trading = BooleanField(_("Trading day"))
    note = StringField(_("Note"), [MaxLength(100)])


def _change(values: Mapping[str, Any], actor: Actor, _signature: int | None) -> str:
    """Open or close a day for trading.  Raises RuleError."""
    day = date.fromisoformat(values["day"])
    is_trading = values["is_trading"] == "true"
    calendar.change_day(day, is_trading=is_trading, note=values["note"], actor=actor)
    return gettext("The calendar was changed.")


def _shown(values: Mapping[str, Any]) -> list[tuple[Any, str]]:
    state = _("Trading day") if values["is_trading"] == "true" else _("Closed")
    return [(_("Day"), values["day"]), (_("State"), str(state)), (_("Note"), values["note"])]


class TradingCalendarView(ListPage):
    route_base = "/calendar"
    title = _("Trading calendar")
    menu = MenuEntry(ADMINISTRATION, 10)
    guide = {"administration": "交易日历"}
    grants = {SYSTEM_ADMIN: "list export edit"}
    signed_acts = {
        "calendar.change": SignedAct(_("Change the trading calendar"), "edit", _change, _shown)
    }
    account_column = None  # Days belong to no account.
    key = ("day",)
    columns = (
        Column("day", _("Day"), "date", is_sortable=True),
        Column(
            "is_trading",
            _("State"),
            "status",
            choices={True: (_("Trading day"), "green"), False: (_("Closed"), "grey")},
        ),
        Column("note", _("Note")),
        Column("changed_by", _("Changed by")),
    )
    filters = (
        Filter("day", _("Day"), "date_range"),
        Filter(
            "state",
            _("State"),
            "choice",
            choices={"trading": _("Trading day"), "closed": _("Closed")},
            applies=False,
        ),
    )
    usual_sort = "day"
    help = (
        _("Seeded from the published holidays; weekends are closed, make-up working weekends too."),
        _("Days of years not yet published are provisional: correct them when the notice is out."),
        _("A day that has been settled cannot be changed."),
    )

    def rows(self, conditions: Any) -> Select[Any]:
        """Return the days; by default from today on."""
        query = select(
            TradingDay.day,
            TradingDay.is_trading,
            TradingDay.note,
            Member.first_name.label("changed_by"),
        ).outerjoin(Member, Member.id == TradingDay.changed_by)
        state = conditions.get("state")
        if state:
            query = query.where(TradingDay.is_trading.is_(state == "trading"))
        if not conditions.get("day"):
            query = query.where(TradingDay.day >= clock.now().date())
        return query

    def actions(self, row: Any) -> Iterable[RowAction]:
        if self.may("edit"):
            yield RowAction(_("Edit"), url_for("TradingCalendarView.edit", day=row.day.isoformat()))

    @expose("/<day>/edit", methods=["GET", "POST"])
    @has_access
    @permission_name("edit")
    def edit(self, day: str) -> Any:
        """Open or close a day for trading."""
        row = _day(day)
        form = DayForm(is_trading=row.is_trading, note=row.note)
        back = back_url(url_for("TradingCalendarView.list"))
        if form.validate_on_submit():
            values = {
                "day": row.day.isoformat(),
                "is_trading": str(bool(form.is_trading.data)).lower(),
                "note": (form.note.data or "").strip(),
            }
            done = signing.carry_out(self, "calendar.change", values, form, "is_trading", back)
            if done is not None:
                return done
        return self.form_page(
            gettext("Trading calendar"),
            form,
            crumb=gettext("Edit"),
            facts=[(gettext("Day"), _day(day).day, "date")],
            confirm=gettext("Change the trading calendar for %(day)s?", day=day),
            cancel_url=back,
            help=[gettext("Transfers submitted before 15:00 of a trading day settle that day.")],
            refused=422,
        )


def _day(text: str) -> TradingDay:
    try:
        row = db.session.get(TradingDay, date.fromisoformat(text))
    except ValueError:
        abort(404)
    return row or abort(404)


class ClockForm(PageForm):
    """A moment in Beijing time."""

    at = StringField(
        _("New time"), description=_("YYYY-MM-DD HH:MM, in Beijing"), render_kw={"maxlength": 19}
    )


class ClockView(Page):
    """系统时钟: the business time, which a demonstration can set."""

    route_base = "/clock"
    default_view = "show"
    title = _("System clock")
    menu = MenuEntry(ADMINISTRATION, 11)
    guide = {"administration": "系统时钟"}
    grants = {SYSTEM_ADMIN: "show set"}

    @expose("/", methods=["GET"])
    @has_access
    @permission_name("show")
    def show(self) -> Any:
        return self._page(ClockForm())

    @expose("/", methods=["POST"])
    @has_access
    @permission_name("set")
    def set(self) -> Any:
        """Set the clock of a demonstration; impossible in production."""
        form = ClockForm()
        try:
            moment = _next_morning() if "next_morning" in request.form else _moment(form.at.data)
            with transaction():
                now = clock.set_to(moment, current_actor())
        except RuleError as error:
            db.session.rollback()
            form.at.errors = [str(error)]
            return self._page(form), 422
        flash(gettext("It is now %(time)s.", time=f"{now:%Y-%m-%d %H:%M:%S}"), "success")
        return redirect(url_for("ClockView.show"))

    def _page(self, form: ClockForm) -> Any:
        now = clock.now()
        own = clock.has_own_clock()
        kind = gettext("A clock of its own") if own else gettext("The wall clock in Beijing")
        return self.render_template(
            "parts/form.html",
            title=gettext("System clock"),
            form=form if own else None,
            facts=[
                (gettext("Business time"), now, "datetime"),
                (gettext("Clock"), kind),
                (
                    gettext("Trading day"),
                    calendar.is_trading_day(now.date()),
                    "yes_no",
                ),
            ],
            submit_label=gettext("Set the clock"),
            quick=[(gettext("Next trading day, 10:00"), "next_morning", "1")],
            cancel_url=url_for("HomeView.index"),
            help=[
                gettext("The demonstration's clock runs on from where it is set."),
                gettext("In production business follows the wall clock and cannot be moved."),
            ],
        )


def _moment(text: str | None) -> datetime:
    """Parse a moment in Beijing time.  Raises RuleError."""
    try:
        moment = datetime.fromisoformat((text or "").strip())
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is not None or not 2021 <= moment.year <= 2100:
        raise RuleError(_("Please enter a time like 2026-11-20 14:59"), field="at")
    return moment.replace(tzinfo=BEIJING)


def _next_morning() -> datetime:
    day = calendar.next_trading_day(clock.now().date())
    return datetime.combine(day, clock.MORNING, BEIJING)
