"""日终数据包: what the exchange handed in, the stages of each day's settlement, and days without one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from flask import abort, flash, redirect, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, Text, case, cast, func, select, text
from sqlalchemy.orm import joinedload

from app.domain.errors import RuleError
from app.domain.kinds.settlement import TradeSettlement
from app.domain.trading_day import BEIJING
from app.domain.workflow import Action, Status
from app.extensions import db, transaction
from app.models import (
    Account,
    Application,
    ApplicationEvent,
    DayPackage,
    Member,
    SettlementConfirmation,
    SettlementRun,
    SettlementStage,
    Trade,
    TradeDefault,
    TradeDelivery,
    Venue,
)
from app.operations.records import clock
from app.operations.settlement import delivery, package_file, packages
from app.operations.settlement.stages import STAGES
from app.security.roles import AUDITOR, OFFICERS, REGISTRY_MAKER
from app.views.chapters import SETTLEMENT, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url
from app.views.page import current_actor

STATES = {
    "received": (_("Awaiting first review"), "amber"),
    "in_review": (_("Awaiting confirmation and second review"), "amber"),
    "delivering": (_("Being delivered"), "blue"),
    "short": (_("Delivered, with defaults"), "red"),
    "delivered": (_("Delivered"), "green"),
}
SHOWN_DEFAULTS = 200
SHOWN_FAULTS = 500


def state_of_package() -> Any:
    """Return how far a package's settlement is, as an expression."""
    of_package = (
        Application.kind == TradeSettlement.code,
        Application.proposal["package"].astext == cast(DayPackage.id, Text),
    )
    stage = (
        select(SettlementStage.stage)
        .where(
            SettlementStage.package_id == DayPackage.id,
            SettlementStage.stage.in_(("delivered", "rerun")),
        )
        .order_by(SettlementStage.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    has = {
        status: select(Application.id).where(*of_package, Application.status == status).exists()
        for status in (Status.IN_REVIEW, Status.APPROVED)
    }
    is_short = (
        select(TradeDefault.id)
        .join(Trade, Trade.id == TradeDefault.trade_id)
        .outerjoin(TradeDelivery, TradeDelivery.trade_id == Trade.id)
        .where(Trade.package_id == DayPackage.id, TradeDelivery.trade_id.is_(None))
        .exists()
    )
    return case(
        (has[Status.IN_REVIEW], "in_review"),
        (~has[Status.APPROVED], "received"),
        (func.coalesce(stage, "rerun") == "rerun", "delivering"),
        (is_short, "short"),
        else_="delivered",
    )


class DayPackageView(ListPage):
    """日终数据包: one a venue and trading day; officers hand in what came by another way."""

    route_base = "/day-packages"
    title = _("Day packages")
    menu = MenuEntry(SETTLEMENT, 5)
    guide = {"registry": "交易结算", "administration": "结算的查询"}
    grants = {f"{OFFICERS} {AUDITOR}": "list export show", REGISTRY_MAKER: "write"}
    account_column = None  # Of the market as a whole.
    columns = (
        Column("day", _("Trading day"), kind="date"),
        Column("venue", _("Trading venue")),
        Column("trades", _("Number of trades"), kind="number"),
        Column("quantity", _("Quantity"), kind="quantity"),
        Column("amount", _("Amount"), kind="money"),
        Column("warnings", _("Unusual"), kind="number"),
        Column("state", _("State"), kind="status", choices=STATES),
        Column("received_at", _("Received at"), kind="datetime"),
        Column("digest", _("Digest"), kind="code", is_shown=False, is_long=True),
    )
    filters = (
        Filter("day", _("Trading day"), kind="date_range", on=("day",)),
        Filter("venue", _("Trading venue"), on=("venue",)),
    )
    help = (
        _("A package is kept whole or not at all; the same file again changes nothing"),
        _(
            "First review, the exchange's confirmation, second review by another officer: then trades are"
            " delivered against payment, one by one"
        ),
        _("What is in transit is settled after the trades of the day"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a package."""
        return select(
            DayPackage.id,
            DayPackage.day,
            Venue.name.label("venue"),
            DayPackage.trades,
            DayPackage.quantity,
            DayPackage.amount,
            func.jsonb_array_length(DayPackage.warnings).label("warnings"),
            state_of_package().label("state"),
            DayPackage.received_at,
            DayPackage.digest,
        ).join(Venue, Venue.id == DayPackage.venue_id)

    def state(self) -> tuple[Any, str] | None:
        """Name the trading days that lack a settlement."""
        days = db.session.scalars(
            _UNSETTLED, {"today": clock.now().astimezone(BEIJING).date()}
        ).all()
        if not days:
            return None
        named = "、".join(day.isoformat() for day in days)
        return gettext("Days without settled trades: %(days)s", days=named), "amber"

    def tools(self) -> Iterable[RowAction]:
        if self.may("write"):
            yield RowAction(_("Hand in a package"), self.url("hand_in"), icon="file-upload")

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield RowAction(_("Details"), self.url("show", id=row.id))
        if self.may("write", "TradeSettlementView") and row.state == "received":
            yield _first_review(row.id)

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def hand_in(self) -> Any:
        """Take a package that came as a file; every fault is shown, and nothing is kept of a bad one."""
        faults: Sequence[package_file.Fault] = ()
        error = ""
        if request.method == "POST":
            file = request.files.get("file")
            content = file.stream.read(package_file.LARGEST + 1) if file and file.filename else b""
            if not content:
                error = gettext("Please choose a file")
            else:
                try:
                    with transaction():
                        done = packages.receive(content, current_actor(), now=clock.now())
                    flash(
                        gettext("The package is kept")
                        if done.is_new
                        else gettext("This package was kept before; nothing has changed"),
                        "success" if done.is_new else "info",
                    )
                    return redirect(self.url("show", id=done.id))
                except packages.PackageRefused as refused:
                    faults, error = refused.faults, str(refused)
                    _note(content, faults)
                except RuleError as refused:
                    error = str(refused)
        page = self.render_template(
            "settlement/hand_in.html",
            title=gettext("Hand in a package"),
            error=error,
            faults=faults[:SHOWN_FAULTS],
            cancel_url=self.url("list"),
            help=self.help,
        )
        return page, 400 if error else 200

    @expose("/<int:id>")
    @has_access
    @permission_name("show")
    def show(self, id: int) -> Any:
        """Show a package: what it holds, how far its settlement is, and what is short."""
        found = select(DayPackage, state_of_package()).where(DayPackage.id == id)
        package, state = db.session.execute(
            found.options(joinedload(DayPackage.venue))
        ).one_or_none() or abort(404)
        label, tone = STATES[state]
        detail = {
            "title": gettext("Package of %(day)s", day=package.day),
            "number": package.venue.name,
            "status": {"label": label, "tone": tone},
            "sections": [{"title": "", "items": _facts(package)}],
            "tables": [
                each
                for each in (_stages(package), _defaults(package), _warnings(package))
                if each["rows"]
            ],
            "actions": self._detail_actions(package, state),
            "help": self.help,
            "back_url": back_url(self.url("list")),
        }
        return self.render_template("parts/detail.html", detail=detail, crumb=detail["title"])

    def _detail_actions(self, package: DayPackage, state: str) -> list[RowAction]:
        found = []
        if state == "received" and self.may("write", "TradeSettlementView"):
            found.append(_first_review(package.id))
        if state == "short" and self.may("write"):
            found.append(
                RowAction(
                    _("Deliver once more"),
                    self.url("rerun", id=package.id),
                    method="post",
                    confirm=gettext(
                        "Try to deliver the trades of %(day)s that were short once more?",
                        day=package.day,
                    ),
                    icon="refresh",
                )
            )
        return found

    @expose("/<int:id>/rerun", methods=["POST"])
    @has_access
    @permission_name("write")
    def rerun(self, id: int) -> Any:
        """重跑: let the worker deliver what was short."""
        try:
            with transaction():
                delivery.ask_again(id, current_actor(), now=clock.now())
        except RuleError as error:
            flash(str(error), "warning")
        else:
            flash(gettext("The trades are being delivered"), "success")
        return redirect(self.url("show", id=id))


_UNSETTLED = text("""
    SELECT d.day FROM trading_day d
     WHERE d.is_trading AND d.day <= :today
       AND d.day >= (SELECT min(c.valid_from) FROM venue_certificate c)
       AND d.day >= (SELECT min(p.day) FROM day_package p)
       AND EXISTS (SELECT FROM venue_certificate c
                    WHERE c.valid_from <= d.day AND coalesce(c.disabled_from > d.day, true)
                      AND NOT EXISTS (SELECT FROM day_package p JOIN settlement_stage s
                                          ON s.package_id = p.id AND s.stage = 'delivered'
                                       WHERE p.venue_id = c.venue_id AND p.day = d.day))
     ORDER BY d.day LIMIT 5
""")


def _first_review(package_id: int) -> RowAction:
    address = url_for("TradeSettlementView.new", package=package_id)
    return RowAction(_("First review"), address, icon="clipboard-check")


def _note(content: bytes, faults: Sequence[package_file.Fault]) -> None:
    with transaction():
        packages.note_refusal(
            hashlib.sha256(content).hexdigest(), faults, current_actor(), now=clock.now()
        )


def _facts(package: DayPackage) -> list[tuple[Any, ...]]:
    return [
        (_("Trading day"), package.day, "date"),
        (_("Trading venue"), package.venue.name, "text"),
        (_("Number of trades"), package.trades, "number"),
        (_("Quantity"), package.quantity, "number", _("tonnes")),
        (_("Amount"), package.amount, "money", _("yuan")),
        (_("Positions"), package.positions, "number"),
        (_("Funds"), package.funds, "number"),
        (_("Transfers"), package.transfers, "number"),
        (_("Received at"), package.received_at, "datetime"),
        (_("Digest"), package.digest, "long"),
    ]


def _stages(package: DayPackage) -> dict[str, Any]:
    """Return what was done for the day, when, by whom, and how long it took."""
    rows = [(package.received_at, package.received_at, _("Package received"), "", "")]
    rows += _reviews(package)
    rows += [
        (each.started_at, each.ended_at, STAGES[each.stage], _counts(each.detail), name or "")
        for each, name in db.session.execute(
            select(SettlementStage, Member.first_name)
            .outerjoin(Member, Member.id == SettlementStage.member_id)
            .where(SettlementStage.package_id == package.id)
        )
    ]
    run = db.session.get(SettlementRun, package.day)
    if run is not None:
        rows.append((run.at, run.at, _("Transfers in transit settled"), "", ""))
    rows.sort(key=lambda row: row[1])
    return {
        "title": _("Stages"),
        "columns": [
            {"label": _("Stage")},
            {"label": _("Ended at"), "kind": "datetime"},
            {"label": _("Took (seconds)"), "kind": "number"},
            {"label": _("Result")},
            {"label": _("By")},
        ],
        "rows": [
            [title, ended, round((ended - began).total_seconds()), result, who]
            for began, ended, title, result, who in rows
        ],
    }


def _reviews(package: DayPackage) -> list[tuple[Any, ...]]:
    found = []
    for application, event in db.session.execute(
        select(Application, ApplicationEvent)
        .join(ApplicationEvent, ApplicationEvent.application_id == Application.id)
        .where(
            Application.kind == TradeSettlement.code,
            Application.proposal["package"].astext == str(package.id),
            ApplicationEvent.action.in_((Action.SUBMIT, Action.APPROVE, Action.SEND_BACK)),
        )
    ):
        title = {
            Action.SUBMIT: _("First review"),
            Action.APPROVE: _("Second review"),
            Action.SEND_BACK: _("Sent back"),
        }[Action(event.action)]
        found.append((event.at, event.at, title, application.number, event.member_name))
    for row in db.session.scalars(
        select(SettlementConfirmation).where(SettlementConfirmation.package_id == package.id)
    ):
        title = _("Confirmed by the exchange")
        found.append((row.confirmed_at, row.confirmed_at, title, "", ""))
    return found


def _counts(detail: dict[str, int]) -> str:
    titles = {
        "delivered": _("Delivered: %(count)s"),
        "short": _("Short: %(count)s"),
        "differences": _("Differences: %(count)s"),
    }
    return "，".join(
        str(titles[name]) % {"count": f"{count:,}"}
        for name, count in detail.items()
        if name in titles
    )


def _defaults(package: DayPackage) -> dict[str, Any]:
    rows = db.session.execute(
        select(
            Trade.deal_no,
            Account.member_no,
            Account.name,
            TradeDefault.missing_tonnes,
            TradeDefault.missing_fen,
            TradeDefault.due_at,
        )
        .join(Trade, Trade.id == TradeDefault.trade_id)
        .join(Account, Account.id == TradeDefault.account_id)
        .outerjoin(TradeDelivery, TradeDelivery.trade_id == Trade.id)
        .where(Trade.package_id == package.id, TradeDelivery.trade_id.is_(None))
        .order_by(Trade.id)
        .limit(SHOWN_DEFAULTS)
    ).all()
    return {
        "title": _("Trades in default"),
        "columns": [
            {"label": _("Deal number"), "kind": "code"},
            {"label": _("Member number"), "kind": "code"},
            {"label": _("Member name")},
            {"label": _("Missing"), "kind": "number", "unit": _("tonnes")},
            {"label": _("Missing"), "kind": "money", "unit": _("yuan")},
            {"label": _("To be made good by"), "kind": "datetime"},
        ],
        "rows": [list(row) for row in rows],
    }


def _warnings(package: DayPackage) -> dict[str, Any]:
    return {
        "title": _("Unusual deals"),
        "columns": [
            {"label": _("Row"), "kind": "number"},
            {"label": _("Column"), "kind": "code"},
            {"label": _("What is unusual")},
            {"label": _("Value"), "kind": "code"},
        ],
        "rows": [
            [each["row"], each["column"], each["message"], each["value"]]
            for each in package.warnings
        ],
    }
