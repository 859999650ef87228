"""The allocation table (配额分配表): imports a file as issuances for the second officer's review."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import func, select

from app.domain.errors import RuleError
from app.domain.kinds.issuance import ONCE, RESTS_ON_DOCUMENT, Issuance
from app.domain.moves import whole_tonnes
from app.domain.regions import PROVINCES, province_of
from app.domain.texts import folded
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line, Status
from app.extensions import db
from app.models import Account, Application, ApplicationLine, Instrument
from app.operations.applications import engine
from app.operations.compliance import chain
from app.operations.imports import batches
from app.operations.imports.tables import ImportColumn, Row, Table
from app.operations.records.actor import Actor
from app.operations.records.catalogue import ISSUANCE_TYPES

FILE_KIND = "allocation"
COLUMNS = (
    ImportColumn("member_no", _("Member number"), "21042300007"),
    ImportColumn(
        "uscc",
        _("Unified social credit code"),
        "91420100MA4K2X7R0A",
        _("As registered; empty where none is registered"),
        is_required=False,
    ),
    ImportColumn("name", _("Enterprise name"), "市场通测试030207", _("Exactly as registered")),
    ImportColumn("code", _("Instrument code"), "PE2021000025"),
    ImportColumn(
        "category",
        _("Issuance type"),
        "核定",
        _("Pre-allocation, approved, supplementary or adjustment"),
    ),
    ImportColumn("quantity", _("Issued quantity"), "200000", _("Whole tonnes")),
    ImportColumn(
        "verified",
        _("Approved allocation quantity"),
        "900000",
        _("With the next column: issued quantity = approved - pre-allocated"),
        is_required=False,
    ),
    ImportColumn(
        "given",
        _("Pre-allocated quantity"),
        "700000",
        _("Enter both quantities or neither"),
        is_required=False,
    ),
    ImportColumn(
        "province",
        _("Provincial authority"),
        "湖北",
        _("Whose table it is; the enterprise must be of this province"),
        is_required=False,
    ),
)


@dataclass(slots=True)
class _Known:
    """Accounts, instruments and issuances that the rows refer to."""

    accounts: dict[str, Account]
    instruments: dict[str, int]
    issued: dict[tuple[int, int, str], str]  # (account, instrument, type) -> application number


def take(
    table: Table,
    actor: Actor,
    *,
    now: datetime,
    declared: int | None = None,
    document_no: str = "",
    documented_on: date | None = None,
    only_tries: bool = False,
) -> batches.Imported:
    """Create one issuance per enterprise and type; see `batches.take`.

    ``declared`` is the total that the document states, in tonnes.  Without number and date of the
    document the drafts wait for it (待文件, N05).
    """

    today = now.astimezone(BEIJING).date()

    def drafts_of(import_id: int) -> list[engine.Draft]:
        groups = _read(table, declared, today)
        found = chain.stops(
            (
                (account, line.instrument_id, category)
                for (account, category), lines in groups.items()
                for line in lines
            ),
            today,
        )
        return [
            engine.Draft(
                kind=Issuance.code,
                account_id=account,
                lines=tuple(chain.sent(account, category, lines, found)),
                request_key=f"{FILE_KIND}:{import_id}:{account}:{category}",
                reason=gettext("Imported from %(name)s", name=table.name),
                category=category,
                document_no=document_no.strip(),
                starts_on=documented_on,
                import_id=import_id,
            )
            for (account, category), lines in groups.items()
        ]

    return batches.take(
        FILE_KIND,
        table,
        drafts_of,
        actor,
        now=now,
        only_tries=only_tries,
        awaits=(RESTS_ON_DOCUMENT.code,),
    )


def _read(table: Table, declared: int | None, today: date) -> dict[tuple[int, str], list[Line]]:
    """Check every row, and group lines by enterprise and type."""
    known = _known(table.rows)
    types = {folded(str(title)): code for code, title in ISSUANCE_TYPES.offered(today).items()}
    seen: dict[tuple[int, int, str], int] = {}
    groups: dict[tuple[int, str], list[Line]] = defaultdict(list)
    for row in table.rows:
        account = _account(table, row, known)
        instrument = known.instruments.get(folded(row["code"]))
        if instrument is None:
            message = _("There is no instrument %(codes)s", codes=row["code"])
            table.refuse(row.number, "code", message)
        category = types.get(folded(row["category"]))
        if category is None:
            offered = "、".join(map(str, ISSUANCE_TYPES.values()))
            message = _(
                "%(typed)s is none of the types offered: %(offered)s",
                typed=row["category"],
                offered=offered,
            )
            table.refuse(row.number, "category", message)
        quantity = _quantity(table, row, "quantity")
        _check_sum(table, row, quantity)
        if account is None or instrument is None or category is None or quantity is None:
            continue
        key = (account.id, instrument, category)
        _check_once(table, row, key, seen, known)
        groups[account.id, category].append(Line(instrument, quantity))
    total = sum(line.quantity for lines in groups.values() for line in lines)
    if table.is_clear and declared is not None and total != declared:
        message = _(
            "The rows add up to %(total)s tonnes, not to the %(declared)s tonnes declared",
            total=f"{total:,}",
            declared=f"{declared:,}",
        )
        table.refuse(0, "quantity", message)
    return groups


def _account(table: Table, row: Row, known: _Known) -> Account | None:
    account = known.accounts.get(folded(row["member_no"]))
    if account is None:
        message = _("There is no enterprise %(number)s", number=row["member_no"])
        table.refuse(row.number, "member_no", message)
        return None
    if row["uscc"] and folded(row["uscc"]) != account.uscc:  # empty is allowed
        table.refuse(row.number, "uscc", _("This is not the enterprise's registered code"))
    if folded(row["name"]) != folded(account.name):
        message = _(
            "The enterprise is registered as %(name)s, not %(typed)s",
            name=account.name,
            typed=row["name"],
        )
        table.refuse(row.number, "name", message)
    if row["province"] and province_of(row["province"]) != account.province:
        message = _(
            "The enterprise is of %(province)s, not of %(typed)s",
            province=PROVINCES[account.province or ""],
            typed=row["province"],
        )
        table.refuse(row.number, "province", message)
    return account


def _quantity(table: Table, row: Row, key: str) -> int | None:
    try:
        return whole_tonnes(row[key], field=key)
    except RuleError as error:
        table.refuse(row.number, key, error.message)
        return None


def _check_sum(table: Table, row: Row, quantity: int | None) -> None:
    """Require issued = approved - pre-allocated (domain.md R22, R36)."""
    if not row["verified"] and not row["given"]:
        return
    if not row["verified"] or not row["given"]:
        missing = "given" if row["verified"] else "verified"
        table.refuse(row.number, missing, _("Enter both quantities or neither"))
        return
    verified = _quantity(table, row, "verified")
    given = 0 if row["given"] == "0" else _quantity(table, row, "given")
    if None in (quantity, verified, given):
        return
    assert quantity is not None
    assert verified is not None
    assert given is not None
    if quantity != verified - given:
        message = _(
            "%(verified)s - %(given)s is %(right)s, not %(quantity)s",
            verified=f"{verified:,}",
            given=f"{given:,}",
            right=f"{verified - given:,}",
            quantity=f"{quantity:,}",
        )
        table.refuse(row.number, "quantity", message)


def _check_once(
    table: Table,
    row: Row,
    key: tuple[int, int, str],
    seen: dict[tuple[int, int, str], int],
    known: _Known,
) -> None:
    if key in seen:
        message = _(
            "The same enterprise, instrument and type stand in row %(number)d", number=seen[key]
        )
        table.refuse(row.number, "", message)
    elif key in known.issued:
        message = _(
            "This was issued already, or is about to be, by application %(number)s",
            number=known.issued[key],
        )
        table.refuse(row.number, "", message)
    seen.setdefault(key, row.number)


def _known(rows: Iterable[Row]) -> _Known:
    """Read all rows' references, in three statements."""
    numbers = {folded(row["member_no"]) for row in rows}
    codes = {folded(row["code"]) for row in rows}
    accounts = db.session.scalars(
        select(Account).where(Account.is_open(), Account.member_no.in_(numbers))
    )
    by_number = {account.member_no: account for account in accounts}
    instruments = db.session.execute(
        select(Instrument.code, Instrument.id).where(
            Instrument.code.in_(codes), Instrument.is_of_tonnes()
        )
    ).all()
    issued = db.session.execute(_issued([account.id for account in by_number.values()])).all()
    return _Known(
        by_number,
        dict(instruments),
        {(account, instrument, type_): number for account, instrument, type_, number in issued},
    )


def _issued(accounts: list[int]) -> Any:
    return (
        select(
            Application.account_id,
            ApplicationLine.instrument_id,
            Application.category,
            Application.number,
        )
        .join(ApplicationLine, ApplicationLine.application_id == Application.id)
        .where(
            Application.kind == Issuance.code,
            Application.category.in_(ONCE),
            Application.status.in_([Status.IN_REVIEW, Status.APPROVED])
            | batches.awaits_submission(),
            Application.account_id.in_(accounts),
            ~func.is_reversed(ApplicationLine.id),
        )
    )
