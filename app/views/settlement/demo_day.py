"""下一交易日: in the demonstration anybody lets a whole day pass, and watches its stages."""

from __future__ import annotations

from typing import Any

from flask import Response, flash, make_response, redirect, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import select

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import DayPackage
from app.operations.records import clock
from app.operations.settlement import demo_days
from app.security.roles import ALL_ROLES
from app.views.chapters import LAST, MenuEntry
from app.views.lists.listing import RowAction
from app.views.page import Page, current_actor

REFRESH = 2  # seconds; the page reloads without script
STATES = {
    "queued": (_("Waiting"), "grey"),
    "running": (_("Running"), "blue"),
    "done": (_("Finished"), "green"),
    "failed": (_("Failed"), "red"),
    "aborted": (_("Stopped"), "amber"),
}


class DemoDayView(Page):
    """下一交易日, of the demonstration alone."""

    route_base = "/demo/trading-day"
    default_view = "show"
    title = _("Next trading day")
    menu = MenuEntry(LAST, 3, "ti-player-track-next")
    guide = {
        "enterprise": "任务与信箱",
        "province": "任务与信箱",
        "registry": "任务与信箱",
        "administration": "我的任务与演示信箱",
    }
    grants = {ALL_ROLES: "show write"}
    profiles = ("demo",)  # Elsewhere the exchange trades and officers sign by themselves.

    @expose("/")
    @has_access
    @permission_name("show")
    def show(self) -> Response:
        """Show the stages of the latest day; the page reloads itself until the day is over."""
        day, now = demo_days.latest(), clock.now()
        detail = {
            "title": gettext("Next trading day"),
            "number": day.day.isoformat() if day else "",
            "status": _tag(day.state) if day else None,
            "sections": [{"items": _facts(day, now)}],
            "tables": [_stages(day)],
            "actions": self._actions(day, now),
            "help": (
                _("A button for a whole day: the simulated exchange trades, both officers sign with"
                  " the demonstration's keys, the clock goes on to the next morning"),
                _("What failed is tried again where it stood; what is done is not done twice"),
                _("In a real registry there is no such page"),
            ),
        }  # fmt: skip
        response = make_response(self.render_template("parts/detail.html", detail=detail))
        if day is not None and day.is_open:
            response.headers["Refresh"] = str(REFRESH)
        return response

    @expose("/", methods=["POST"])
    @has_access
    @permission_name("write")
    def begin(self) -> Any:
        """Ask for the next day; the worker carries it out."""
        try:
            with transaction():
                demo_days.ask(current_actor(), now=clock.now())
        except RuleError as error:
            flash(str(error), "warning")
        return redirect(self.url("show"))

    def _actions(self, day: demo_days.DemoDay | None, now: Any) -> list[Any]:
        found: list[Any] = []
        if day is not None and self.may("show", "DayPackageView"):
            package = select(DayPackage.id).where(DayPackage.day == day.day).limit(1)
            if (package_id := db.session.scalar(package)) is not None:
                address = url_for("DayPackageView.show", id=package_id)
                found.append(RowAction(_("Day package"), address, icon="file-zip"))
        if self.may("write") and (day is None or not day.is_open):
            failed = day is not None and day.state == "failed"
            label = _("Try again") if failed else _("Next trading day")
            icon = "refresh" if failed else "player-track-next"
            address = self.url("begin")
            found.append(
                {"label": label, "url": address, "method": "post", "tone": "primary", "icon": icon}
            )
        return found


def _tag(state: str) -> dict[str, Any]:
    label, tone = STATES[state]
    return {"label": label, "tone": tone}


def _facts(day: demo_days.DemoDay | None, now: Any) -> list[tuple[Any, ...]]:
    facts: list[tuple[Any, ...]] = [(_("Business time"), now, "datetime")]
    if day is None or not day.is_open:
        facts.append((_("The button's day"), demo_days.next_day(now), "date"))
    if day is not None and day.state == "failed":
        stopped = demo_days.STAGES[day.stage]
        facts.append((_("Stopped at"), stopped, "text"))
        facts.append((_("Why it ended"), day.error, "long"))
    return facts


def _stages(day: demo_days.DemoDay | None) -> dict[str, Any]:
    """Return the nine stages with state, time by the business clock, and result."""
    ended = {each.stage: each for each in day.ended} if day else {}
    rows = []
    for stage, title in demo_days.STAGES.items():
        done = ended.get(stage)
        state = "done" if done else "waits"
        if day is not None and done is None and stage == day.stage:
            state = day.state
        tag = {"label": _("Not begun"), "tone": "grey"} if state == "waits" else _tag(state)
        time = done and done.at
        seconds = f"{done.seconds:.1f}" if done else None
        rows.append([title, tag, time, seconds, done.said if done else ""])
    return {
        "title": _("Stages"),
        "columns": [
            {"label": _("Stage")},
            {"label": _("State"), "kind": "status"},
            {"label": _("Ended at"), "kind": "datetime"},
            {"label": _("Took (seconds)"), "kind": "number"},
            {"label": _("Result")},
        ],
        "rows": rows,
    }
