"""首页: per role figures, compliance, to-dos, announcements and quick links."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from flask import current_app, g, url_for
from flask_appbuilder import expose, has_access
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, case, func, select

from app.domain.kinds import KINDS
from app.domain.trading_day import BEIJING
from app.domain.workflow import Action, Status
from app.extensions import db
from app.models import Account, Application, ApplicationEvent, Holding, Instrument, Notice
from app.operations.records import clock
from app.operations.records.catalogue import SECTORS
from app.security.roles import ALL_ROLES, codes_of
from app.security.scope import scoped
from app.views.administration import announcements
from app.views.applications.desk import ApplicationDesk
from app.views.applications.list import SHOWN_STATUSES, ApplicationList
from app.views.carry_over.notices import notices_due, open_notices
from app.views.chapters import FIRST, MenuEntry
from app.views.compliance.claims import claims_due, open_claims
from app.views.compliance.obligations import MET, STATES, notices
from app.views.compliance.statistics import percent, shares
from app.views.frame.frame import current_frame
from app.views.home import figures
from app.views.lists.conditions import Conditions
from app.views.page import Page

# The figures of 持仓查询 in the manual's order: label, sum, tone.
FIGURES = (
    (_("Available in registry"), Holding.available, "green"),
    (_("Frozen in registry"), Holding.reserved + Holding.frozen, "red"),
    (_("In transit from registry"), Holding.pending_to_trading, "amber"),
    (_("Held in trading"), Holding.trading, "blue"),
    (_("In transit from trading"), Holding.pending_to_registry, "amber"),
)
SHOWN = 5  # announcements and applications
NOTICES_SHOWN = 2  # notices
SHOWN_ANYWAY = ("HomeView.index", "AnnouncementView.list")


class HomeView(Page):
    route_base = ""
    default_view = "index"
    title = _("Home")
    menu = MenuEntry(FIRST, 1, "ti-home")
    guide = {
        "enterprise": "首页与通知公告",
        "province": "首页与通知公告",
        "registry": "首页",
        "administration": "首页与通知公告",
    }
    grants = {ALL_ROLES: "index"}

    @expose("/")
    @has_access
    def index(self) -> object:
        """Show each part for which the member has the permission."""
        frame = current_frame()
        here = [url_for(endpoint) for endpoint in SHOWN_ANYWAY]
        links = [
            (child["label"], child["url"], child["icon"] or entry["icon"])
            for entry in frame.menu.entries
            for child in entry["children"] or [entry]
            if child["url"] not in here
        ]
        home: dict[str, Any] = {
            "todo": frame.todo,
            "may_review": self.may("list", "ReviewView"),
            "quick_links": links[:8],
            "announcements": _announcements(),
            "restriction": _restriction(g.user.account),
        }
        due: list[dict[str, Any]] = []
        if self.may("list", "HoldingView"):
            home["cards"], due = _cards_and_due()
            home["formula"] = gettext(
                "Total holding = available in registry + frozen in registry + in transit from"
                " registry + held in trading + in transit from trading"
            )
        if self.may("list", "ComplianceView"):
            home["own"] = {
                "compliance": self._compliance(),
                "due": due,
                "applications": self._applications(),
            }
        if self.may("show", "ComplianceStatisticsView"):
            home["progress"] = _progress()
        for code in codes_of(g.user):
            home.setdefault("cards", figures.of_role(code))
        return self.render_template("home/home.html", home=home)

    def _applications(self) -> list[dict[str, Any]]:
        """Return the enterprise's latest applications, of the kinds that it starts itself."""
        desks = {
            view.kind: view.endpoint
            for view in current_app.extensions["pages"].values()
            if isinstance(view, ApplicationDesk) and self.may("show", view.class_permission_name)
        }
        rows = db.session.execute(_LatestApplications(tuple(desks)).rows(Conditions())).all()
        return [
            {
                "title": KINDS[row.kind].title,
                "number": row.number,
                "at": row.created_at,
                "status": SHOWN_STATUSES[row.status],
                "url": url_for(
                    f"{desks[row.kind]}.show", id=row.id, back=url_for("HomeView.index")
                ),
            }
            for row in rows
        ]

    def _compliance(self) -> list[dict[str, Any]]:
        """Return the notices with a gap, the earliest deadline first; else the latest one."""
        mine = (Notice.account_id == g.user.account_id) & Notice.withdrawn_at.is_(None)
        found = notices().where(mine).subquery("found")
        urgent = select(found).order_by(
            found.c.gap == 0, case((found.c.gap > 0, found.c.deadline)), found.c.year.desc()
        )
        rows = db.session.execute(urgent.limit(NOTICES_SHOWN)).all()
        # A fulfilled notice is shown only where nothing is due.
        return [self._due(row) for row in rows if row.gap or row is rows[0]]

    def _due(self, row: Any) -> dict[str, Any]:
        label, tone = STATES[row.state]
        deadline = row.deadline.astimezone(BEIJING).date()
        is_open = row.remaining > 0 and self.may("write", "SurrenderView")
        return {
            "row": row,
            "sector": SECTORS.get(row.sector, row.sector),
            "share": percent(row.surrendered, row.obligation),
            "status": {"label": label, "tone": tone},
            "days": None if row.state in MET else (deadline - clock.now().date()).days,
            "apply_url": url_for("SurrenderView.new", notice=row.id) if is_open else "",
            "url": url_for("ComplianceView.show", id=row.id, back=url_for("HomeView.index")),
        }


class _LatestApplications(ApplicationList):
    """A query only, not a page."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self.kinds = kinds

    def chosen(self) -> ColumnElement[bool]:
        return (Application.account_id == g.user.account_id) & Application.kind.in_(self.kinds)

    def rows(self, conditions: Conditions) -> Any:
        return super().rows(conditions).order_by(Application.id.desc()).limit(SHOWN)


def _announcements() -> list[dict[str, Any]]:
    """Return the latest announcements, pinned ones first."""
    found = announcements.published_for(g.user.id).subquery("found")
    latest = select(found).order_by(
        found.c.is_pinned.desc(), found.c.published_at.desc(), found.c.id.desc()
    )
    return [
        {
            "title": row.title,
            "at": row.published_at,
            "is_pinned": row.is_pinned,
            "is_unread": row.read_at is None,
            "url": url_for("AnnouncementView.show", id=row.id, back=url_for("HomeView.index")),
        }
        for row in db.session.execute(latest.limit(SHOWN))
    ]


def _progress() -> dict[str, Any] | None:
    """Return the progress of the latest compliance year in the member's scope."""
    found = shares(g.user, only_latest=True)
    latest = next((each for each in found if each.province is None and each.sector is None), None)
    if latest is None:
        return None
    return {
        "share": latest,
        "url": url_for("ComplianceStatisticsView.index", year=latest.year),
        "gaps_url": url_for("ComplianceGapView.list", year=latest.year),
    }


def _restriction(account: Account | None) -> str:
    """Return since when and by which document the member's account is restricted, or ""."""
    if account is None or not account.is_restricted:
        return ""  # No query: the account was loaded with the session.
    found = db.session.execute(
        select(ApplicationEvent.at, Application.document_no, Application.authority)
        .join(Application, Application.id == ApplicationEvent.application_id)
        .where(
            Application.account_id == account.id,
            Application.kind == "restriction",
            Application.status == Status.APPROVED,
            ApplicationEvent.action == Action.APPROVE,
        )
        .order_by(ApplicationEvent.id.desc())
        .limit(1)
    ).one_or_none()
    if found is None:
        return ""
    return gettext(
        "This account is restricted since %(at)s by document %(document)s of %(authority)s:"
        " transfers, custody and cancellation are refused; surrender is possible",
        at=found.at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S"),
        document=found.document_no,
        authority=found.authority,
    )


def _cards_and_due() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the sums of holdings in the member's row scope, in tonnes, and what an enterprise is to do.

    That is what is claimed back and what it may still carry over, the earliest day first.
    """
    sums = [func.coalesce(func.sum(amount), 0) for _title, amount, _tone in FIGURES]
    held = select(*sums).join(Account, Account.id == Holding.account_id)
    held = held.join(Instrument, Instrument.id == Holding.instrument_id)
    held = held.where(Account.kind == "enterprise", Instrument.is_of_tonnes())
    mine = g.user.account_id
    held = scoped(held, Holding.account_id, g.user).add_columns(
        open_claims(mine), open_notices(mine)
    )
    *amounts, claims, notices = db.session.execute(held).one()
    today = clock.now().astimezone(BEIJING).date()
    due = sorted([*claims_due(claims or ()), *notices_due(notices or ())], key=itemgetter("day"))
    url = url_for("HoldingView.list")
    cards: list[dict[str, Any]] = [
        {"label": str(title), "value": int(amount), "tone": tone}
        for (title, _amount, tone), amount in zip(FIGURES, amounts, strict=True)
    ]
    cards.append({"label": gettext("Total holding"), "value": int(sum(amounts)), "tone": "primary"})
    shown = [card | {"unit": gettext("tonnes"), "url": url} for card in cards]
    return shown, [each | {"days": (each["day"] - today).days} for each in due]
