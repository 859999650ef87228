"""首页: the holdings at a glance, what waits, and the ways to go on."""

from __future__ import annotations

from typing import Any

from flask import g, url_for
from flask_appbuilder import BaseView, expose, has_access
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import func, select

from app.domain.trading_day import BEIJING
from app.domain.workflow import Action, Status
from app.extensions import db
from app.models import Account, Application, ApplicationEvent, Holding
from app.security.manager import permissions
from app.security.scope import scoped
from app.views.frame import the_frame

# The figures of 持仓查询 in the manual's order, what each adds up, and how its card is tinted.
FIGURES = (
    (_("Available in registry"), Holding.available, "green"),
    (_("Frozen in registry"), Holding.reserved + Holding.frozen, "red"),
    (_("In transit from registry"), Holding.pending_to_trading, "amber"),
    (_("Held in trading"), Holding.trading, "blue"),
    (_("In transit from trading"), Holding.pending_to_registry, "amber"),
)


class HomeView(BaseView):
    """The page after sign-in."""

    route_base = ""
    default_view = "index"

    @expose("/")
    @has_access
    def index(self) -> object:
        """Show it."""
        frame = the_frame()
        links = [
            (child["label"], child["url"], child["icon"] or entry["icon"])
            for entry in frame.menu
            for child in entry["children"] or [entry]
            if child["url"] != url_for("HomeView.index")
        ]
        home: dict[str, Any] = {"todo": frame.todo, "quick_links": links[:8], "notices": []}
        home["restriction"] = _restriction(g.user.account)
        if ("can_list", "HoldingView") in permissions():
            home["cards"] = _cards()
            home["formula"] = gettext(
                "Total holding = available in registry + frozen in registry + in transit from"
                " registry + held in trading + in transit from trading"
            )
        return self.render_template("home.html", home=home)


def _restriction(account: Account | None) -> str:
    """Say since when and by which document the member's account is restricted, if it is."""
    if account is None or not account.is_restricted:
        return ""  # Without a statement: the account came with the session.
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


def _cards() -> list[dict[str, Any]]:
    """Sum up the holdings within the member's row scope, in tonnes."""
    sums = [func.coalesce(func.sum(amount), 0) for _title, amount, _tone in FIGURES]
    held = select(*sums).join(Account, Account.id == Holding.account_id)
    held = held.where(Account.kind == "enterprise")
    amounts = db.session.execute(scoped(held, Holding.account_id, g.user)).one()
    url = url_for("HoldingView.list")
    cards = [
        {"label": str(title), "value": int(amount), "tone": tone}
        for (title, _amount, tone), amount in zip(FIGURES, amounts, strict=True)
    ]
    cards.append({"label": gettext("Total holding"), "value": int(sum(amounts)), "tone": "primary"})
    return [card | {"unit": gettext("tonnes"), "url": url} for card in cards]
