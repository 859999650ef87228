"""履约通知书 for those who issue them: the list, and bulk reminders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flask import url_for
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, cast, func, select

from app.domain.compliance.fines import Frame
from app.extensions import db
from app.models import Notice
from app.operations.compliance import fines, reminders
from app.operations.records import clock
from app.security.roles import AUTHORITIES, PROVINCE, REGISTRY_MAKER
from app.views.chapters import COMPLIANCE, MenuEntry
from app.views.compliance.obligations import COUNTING, WITHDRAWN, NoticeList, NoticePages
from app.views.lists.columns import Column
from app.views.lists.listing import BulkResult, RowAction, action
from app.views.page import current_actor


def _status_first(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Move the status before the deadline: officers' tables have more columns than fit the screen."""
    last = ("deadline", "reminded_at")
    first = [each for each in columns if each.key not in last]
    return (*first, *(each for each in columns if each.key in last))


def _fine_facts(frame: Frame) -> list[tuple[Any, ...]]:
    facts: list[tuple[Any, ...]] = [
        (_("Applicable rule"), frame.law.source, "text"),
        (_("Missing at the deadline"), frame.gap, "number", _("tonnes")),
    ]
    market = frame.market
    if market:
        days = f"{market.begins} – {market.ends}"
        facts += [
            (_("Price period"), days, "text"),
            (_("Turnover in the period"), market.turnover, "money", _("yuan")),
            (_("Quantity in the period"), market.quantity, "number", _("tonnes")),
            (_("Average price (turnover / quantity)"), market.price, "money", _("yuan a tonne")),
        ]
    if frame.least is None:
        nothing = _("Nothing was traded in the period: no price, no frame")
        return [*facts, (_("Fine"), nothing, "text")]
    return [
        *facts,
        (_("Fine of at least"), frame.least, "money", _("yuan")),
        (_("Fine of at most"), frame.most, "money", _("yuan")),
        (_("Note"), _("Computed for reference; the authority decides"), "text"),
    ]


DESK = "NoticeDecisionView"  # where notices are issued, changed and revoked


class NoticeView(NoticePages):
    """履约通知书: a province manages its own enterprises', the registry all."""

    route_base = "/compliance-notices"
    title = _("Compliance notices")
    menu = MenuEntry(COMPLIANCE, 3)
    guide = {"province": "履约通知书", "registry": "履约通知书与清缴记录"}
    grants = {
        AUTHORITIES: "list export show certificate",
        f"{PROVINCE} {REGISTRY_MAKER}": "bulk",
    }
    detail_title = _("Compliance notice")
    columns = _status_first(NoticeList.columns)
    stacks_actions = True
    bulk_name, bulk_object = "number", "account"
    help = (
        *COUNTING,
        _("A reminder names obligation, gap and deadline; each enterprise gets one a day at most"),
        _("Issuing, changing or revoking a notice takes two people of the same authority"),
        _("An obligation is never lowered beneath what was surrendered: refund first"),
    )

    def tools(self) -> Iterable[RowAction]:
        if self.may("write", DESK):
            yield RowAction(_("New"), url_for(f"{DESK}.new"), icon="plus")
            address = url_for(f"{DESK}.import_table")
            yield RowAction(_("Import"), address, icon="upload")

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield RowAction(_("Details"), self.url("show", id=row.id))
        if self.may("write", DESK) and row.state != WITHDRAWN:
            about = {"account": row.account_id, "notice": row.id}
            yield RowAction(_("Adjust"), url_for(f"{DESK}.new", **about))
            if not row.surrendered and not row.pending:
                address = url_for(f"{DESK}.new", **about, act="withdraw")
                yield RowAction(_("Take back"), address, is_dangerous=True)
        yield from self.proof(row)

    def more_sections(self, row: Any) -> list[dict[str, Any]]:
        """处罚测算, where something was missing at the deadline (N57)."""
        found = row.deadline and fines.of_notice(row.id, row.deadline, clock.now())
        return [{"title": _("Frame of a fine"), "items": _fine_facts(found)}] if found else []

    def bulk_facts(self, ids: Sequence[int]) -> Sequence[tuple[Any, ...]]:
        """Return the enterprises and their obligations."""
        enterprises, obligation = db.session.execute(
            select(
                func.count(Notice.account_id.distinct()),
                cast(func.sum(Notice.obligation), BigInteger),
            ).where(Notice.id.in_(ids))
        ).one()
        return [
            (_("Number of enterprises"), enterprises, "number"),
            (_("Obligation"), obligation, "number", _("tonnes")),
        ]

    @action(
        "remind",
        _("Remind"),
        _("Send a reminder about the %(count)s notices chosen, by mail and text message?"),
        "bell",
        single=False,
    )
    def remind(self, ids: Sequence[int]) -> BulkResult:
        outcome = reminders.remind(ids, current_actor(), now=clock.now())
        refused = {id_: str(error) for id_, error in outcome.refused.items()}
        return BulkResult(done=outcome.done, refused=refused)
