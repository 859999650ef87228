"""What waits at a province goes to its enterprises: by a table, or all that was chosen (N11-N14)."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import func, select

from app.domain.errors import NotFound, RuleError
from app.domain.kinds.issuance import ProvinceIssue
from app.domain.moves import whole_tonnes
from app.domain.texts import folded
from app.domain.workflow import Line, Status
from app.extensions import db
from app.models import Account, Application, ApplicationLine, Instrument
from app.models.figures import waiting_line
from app.operations.applications import engine
from app.operations.imports import batches
from app.operations.imports.tables import ImportColumn, Row, Table
from app.operations.records.actor import Actor
from app.operations.records.columns import among

FILE_KIND = "province_issue"
COLUMNS = (
    ImportColumn("member_no", _("Member number"), "21042300007"),
    ImportColumn("name", _("Enterprise name"), "市场通测试030207", _("Exactly as registered")),
    ImportColumn("code", _("Instrument code"), "PE2021000025"),
    ImportColumn(
        "quantity", _("Issued quantity"), "200000", _("Whole tonnes, at most what waits for it")
    ),
)


@dataclass(slots=True)
class _Waiting:
    """A line that waits, and the tonnes that are left of it as rows are read."""

    line_id: int
    instrument_id: int
    left: int


def take(
    table: Table, actor: Actor, *, now: datetime, only_tries: bool = False
) -> batches.Imported:
    """Create one issue per enterprise of the actor's province; see `batches.take`."""

    def drafts_of(import_id: int) -> list[engine.Draft]:
        reason = gettext("Imported from %(name)s", name=table.name)
        return [
            _draft(account, lines, f"{FILE_KIND}:{import_id}:{account}", reason, import_id)
            for account, lines in _read(table, actor).items()
        ]

    return batches.take(FILE_KIND, table, drafts_of, actor, now=now, only_tries=only_tries)


def draft_waiting(lines: Sequence[int], actor: Actor, *, now: datetime) -> list[int]:
    """Save an issue of all that is left of these lines, one per enterprise; return their ids.

    Asked for again before it is submitted, it is the same.  Raises NotFound for a line that is not
    of the actor's province.
    """
    rows = db.session.execute(
        select(waiting_line, _uses().label("uses"))
        .join(Account, Account.id == waiting_line.c.account_id)
        .where(among(waiting_line.c.line_id, lines), Account.province == actor.province)
        .order_by(waiting_line.c.line_id)
    ).all()
    if len(rows) < len(set(lines)):
        raise NotFound(_("There is no such record"))
    groups: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        groups[row.account_id].append(row)
    drafts = [
        _draft(
            account,
            [Line(each.instrument_id, max(each.remaining, 1), source_line_id=each.line_id) for each in mine],
            _key(mine),
            gettext("All that waited"),
        )
        for account, mine in groups.items()
    ]  # fmt: skip
    return engine.start(drafts, actor, now=now)


def _uses() -> Any:
    """Count what was submitted to draw on a line: chosen again after it, it is another issue."""
    done = (
        select(func.count())
        .select_from(ApplicationLine)
        .join(Application, Application.id == ApplicationLine.application_id)
        .where(
            ApplicationLine.source_line_id == waiting_line.c.line_id,
            Application.status != Status.DRAFT,
        )
    )
    return done.correlate(waiting_line).scalar_subquery()


def _key(rows: Sequence[Any]) -> str:
    said = ";".join(f"{row.line_id}:{row.uses}:{row.remaining}" for row in rows)
    return f"waiting:{hashlib.sha256(said.encode()).hexdigest()[:60]}"


def _draft(
    account: int, lines: Sequence[Line], key: str, reason: str, import_id: int | None = None
) -> engine.Draft:
    return engine.Draft(
        kind=ProvinceIssue.code,
        account_id=account,
        lines=tuple(lines),
        request_key=key,
        reason=reason,
        import_id=import_id,
    )


def _read(table: Table, actor: Actor) -> dict[int, list[Line]]:
    """Check every row, and take its tonnes from the lines that wait, the oldest first."""
    accounts = _accounts(table.rows, actor)
    waits = _waits([account.id for account in accounts.values()])
    groups: dict[int, list[Line]] = defaultdict(list)
    seen: dict[tuple[int, str], int] = {}
    for row in table.rows:
        account = accounts.get(folded(row["member_no"]))
        quantity = _quantity(table, row)
        if account is None:
            message = _("Your province has no enterprise %(number)s", number=row["member_no"])
            table.refuse(row.number, "member_no", message)
            continue
        if folded(row["name"]) != folded(account.name):
            message = _(
                "The enterprise is registered as %(name)s, not %(typed)s",
                name=account.name,
                typed=row["name"],
            )
            table.refuse(row.number, "name", message)
        key = (account.id, folded(row["code"]))
        if key in seen:
            message = _(
                "The same enterprise and instrument stand in row %(number)d", number=seen[key]
            )
            table.refuse(row.number, "", message)
        seen.setdefault(key, row.number)
        if quantity is not None:
            groups[account.id] += _taken(table, row, waits.get(key, []), quantity)
    return groups


def _taken(table: Table, row: Row, waits: list[_Waiting], quantity: int) -> list[Line]:
    """Return lines of this quantity in all, or refuse the row."""
    there = sum(each.left for each in waits)
    if quantity > there:
        message = _(
            "%(quantity)s tonnes, but only %(waiting)s wait for the enterprise",
            quantity=f"{quantity:,}",
            waiting=f"{there:,}",
        )
        table.refuse(row.number, "quantity", message)
        return []
    lines = []
    for each in waits:
        part = min(each.left, quantity)
        if part:
            lines.append(Line(each.instrument_id, part, source_line_id=each.line_id))
            each.left -= part
            quantity -= part
    return lines


def _quantity(table: Table, row: Row) -> int | None:
    try:
        return whole_tonnes(row["quantity"])
    except RuleError as error:
        table.refuse(row.number, "quantity", error.message)
        return None


def _accounts(rows: Iterable[Row], actor: Actor) -> dict[str, Account]:
    numbers = [folded(row["member_no"]) for row in rows]
    found = db.session.scalars(
        select(Account).where(
            Account.kind == "enterprise",
            Account.province == actor.province,
            among(Account.member_no, numbers),
        )
    )
    return {account.member_no: account for account in found}


def _waits(accounts: Sequence[int]) -> dict[tuple[int, str], list[_Waiting]]:
    """Return what waits for each (account, instrument code), oldest first."""
    rows = db.session.execute(
        select(waiting_line, Instrument.code)
        .join(Instrument, Instrument.id == waiting_line.c.instrument_id)
        .where(among(waiting_line.c.account_id, accounts), waiting_line.c.remaining > 0)
        .order_by(waiting_line.c.line_id)
    )
    found: dict[tuple[int, str], list[_Waiting]] = defaultdict(list)
    for row in rows:
        found[row.account_id, row.code].append(
            _Waiting(row.line_id, row.instrument_id, row.remaining)
        )
    return found
