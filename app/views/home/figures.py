"""首页 of the three administrators: a few figures each, read in one statement."""

from __future__ import annotations

from typing import Any

from flask import url_for
from flask_babel import gettext
from sqlalchemy import Row, func, select, text

from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import (
    Job,
    LogBlock,
    LoginRecord,
    LoginSession,
    Member,
    OperationLog,
    OutboxMessage,
    Parameter,
    SettlementRun,
    TradingDay,
)
from app.operations.records import clock
from app.security import lockout, sessions

Card = dict[str, Any]


def of_role(code: str) -> list[Card]:
    """Return the figures of an administrator's role; none for other roles."""
    figures = {
        "system_admin": _system_figures,
        "security_admin": _security_figures,
        "auditor": _audit_figures,
    }
    return figures[code]() if code in figures else []


def _system_figures() -> list[Card]:
    """State of operation, and what is about to change."""
    today = clock.now().date()
    row = _read(
        settled=select(func.max(SettlementRun.day)),
        is_trading=select(TradingDay.is_trading).where(TradingDay.day == today),
        messages=select(func.count()).where(OutboxMessage.state.in_(["queued", "sending"])),
        jobs=select(func.count()).where(Job.state.in_(["queued", "running"])),
        planned=select(func.count()).where(Parameter.effective_from > today),
    )
    calendar = url_for("TradingCalendarView.list")
    settled = row.settled.isoformat() if row.settled else None
    trading = gettext("Trading day") if row.is_trading else gettext("Closed")
    return [
        _card(gettext("Last day-end settlement"), settled, "blue", calendar),
        _card(
            gettext("The exchange today"), trading, "green" if row.is_trading else "grey", calendar
        ),
        _card(gettext("Messages to deliver"), row.messages, "amber" if row.messages else "green"),
        _card(gettext("Jobs under way"), row.jobs, "blue"),
        _card(
            gettext("Parameters from a later day"),
            row.planned,
            "blue",
            url_for("ParameterHistoryView.list"),
        ),
    ]


def _security_figures() -> list[Card]:
    failures = lockout.failures().subquery()
    is_locked = failures.c.state > lockout.OPEN
    row = _read(
        online=select(func.count()).select_from(LoginSession).where(sessions.online()),
        failing=select(func.count()).select_from(failures),
        locked=select(func.count()).select_from(failures).where(is_locked),
        disabled=select(func.count()).select_from(Member).where(Member.active.is_(False)),
    )
    locks = url_for("LockView.list")
    return [
        _card(gettext("Members online"), row.online, "green", url_for("OnlineView.list")),
        _card(gettext("Members locked"), row.locked, "red" if row.locked else "green", locks),
        _card(gettext("Members with failures"), row.failing, "amber", locks),
        _card(gettext("Disabled members"), row.disabled, "grey", url_for("MemberView.list")),
    ]


def _audit_figures() -> list[Card]:
    """How far the logs are sealed."""
    last = select(func.max(LogBlock.to_xid)).scalar_subquery()
    edge = func.coalesce(last, text("'0'::xid8"))  # A single comparison uses the index.
    unsealed = {
        table: select(func.count()).select_from(table).where(table.recorded_xid >= edge)
        for table in (OperationLog, LoginRecord)
    }
    row = _read(
        sealed_at=select(func.max(LogBlock.sealed_at)),
        blocks=select(func.count()).select_from(LogBlock),
        rows=select(func.coalesce(func.sum(LogBlock.rows), 0)),
        operations=unsealed[OperationLog],
        sign_ins=unsealed[LoginRecord],
    )
    sealed_at = row.sealed_at and f"{row.sealed_at.astimezone(BEIJING):%Y-%m-%d %H:%M}"
    acts, records = url_for("OperationLogView.list"), url_for("LoginRecordView.list")
    return [
        _card(gettext("Last sealed at"), sealed_at, "green" if sealed_at else "amber", acts),
        _card(gettext("Sealed blocks"), row.blocks, "blue", acts),
        _card(gettext("Sealed records"), int(row.rows), "blue", acts),
        _card(gettext("Operations not sealed yet"), row.operations, "amber", acts),
        _card(gettext("Sign-ins not sealed yet"), row.sign_ins, "amber", records),
    ]


def _read(**figures: Any) -> Row[Any]:
    """Select several figures in one statement."""
    columns = [each.scalar_subquery().label(name) for name, each in figures.items()]
    return db.session.execute(select(*columns)).one()


def _card(label: str, value: Any, tone: str, url: str = "") -> Card:
    return {"label": label, "value": value, "tone": tone, "url": url}
