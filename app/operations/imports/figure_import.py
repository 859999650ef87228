"""核定数据表: what the reporting platform pushed of units and enterprises, recomputed row by row (N03, N04).

It comes as a file, or by the platform's interface (platform_tables.py).  A table replaces the earlier ones
of every enterprise, sector, year and stage in it.  A row that differs from our own computing is kept with
the difference; a row that cannot be read, or is above the cap, is refused with the whole table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import func, insert, select

from app.domain.compliance.allocation import exact
from app.domain.compliance.figures import BASES, NEEDS, STAGES, UNITS, Figure, expected
from app.domain.errors import NotAllowed, RuleError
from app.domain.moves import LARGEST_REQUEST
from app.domain.texts import folded
from app.domain.trading_day import BEIJING
from app.domain.workflow import Party
from app.extensions import db
from app.models import Account, AllocationFigure, plans_on
from app.models.figures import current_figure
from app.models.parameter import setting
from app.operations.accounts import sectors
from app.operations.applications import engine
from app.operations.imports import batches, tables
from app.operations.imports.tables import ImportColumn, Row, Table
from app.operations.records import calendar, log
from app.operations.records.actor import Actor
from app.operations.records.catalogue import SECTORS

FILE_KIND = "figures"
PRE_ALLOCATION, APPROVED, VERIFICATION = STAGES
LONGEST_UNIT, LONGEST_REMARK = 50, 300
_OF_A_BASIS = _("Where the kind of calculation needs it")
COLUMNS = (
    ImportColumn("member_no", _("Member number"), "21042300007"),
    ImportColumn("name", _("Enterprise name"), "市场通测试030207", _("Exactly as registered")),
    ImportColumn("year", _("Compliance year"), "2025"),
    ImportColumn("sector", _("Sector"), "发电", _("As in the data dictionary")),
    ImportColumn(
        "stage", _("Stage"), "核定", _("Pre-allocation, approved allocation or change of verification")
    ),
    ImportColumn(
        "unit",
        _("Unit (line, cell line)"),
        "1号机组",
        _("Empty in the row of the enterprise as a whole, which every enterprise has"),
        is_required=False,
    ),
    ImportColumn(
        "verified",
        _("Verified emissions"),
        "3000000",
        _("Of a pre-allocation, of the year before"),
    ),
    ImportColumn(
        "share",
        _("Pre-allocation share (%)"),
        "",
        _("Of a pre-allocation; at most what the plan allows, with a remark where it is lower"),
        is_required=False,
    ),
    ImportColumn(
        "basis",
        _("Kind of calculation"),
        "常规燃煤机组",
        _("Of an approved allocation"),
        is_required=False,
    ),
    ImportColumn("power", _("Power generated (MWh)"), "3000000", _OF_A_BASIS, is_required=False),
    ImportColumn("heat", _("Heat supplied (GJ)"), "5000000", _OF_A_BASIS, is_required=False),
    ImportColumn(
        "power_benchmark", _("Benchmark of power (t/MWh)"), "0.7902", _OF_A_BASIS, is_required=False
    ),
    ImportColumn(
        "heat_benchmark", _("Benchmark of heat (t/GJ)"), "0.1027", _OF_A_BASIS, is_required=False
    ),
    ImportColumn("load", _("Load factor (%)"), "60", _OF_A_BASIS, is_required=False),
    ImportColumn("intensity", _("Emission intensity"), "", _OF_A_BASIS, is_required=False),
    ImportColumn("balance", _("Balance of the sector"), "", _OF_A_BASIS, is_required=False),
    ImportColumn(
        "quantity",
        _("Allocated quantity"),
        "2884100",
        _("Whole tonnes; none for a change of verification"),
        is_required=False,
    ),
    ImportColumn("remark", _("Remarks"), "", is_required=False),
)  # fmt: skip
_NUMBERS = (
    "power", "heat", "power_benchmark", "heat_benchmark", "load", "intensity", "balance",
)  # fmt: skip
Key = tuple[int, int, str, str]  # account, year, sector, stage


@dataclass(frozen=True, slots=True)
class _Read:
    """A row as it was read."""

    row: Row
    key: Key
    figure: Figure
    quantity: int | None
    remark: str


@dataclass(slots=True)
class _Known:
    """What rows refer to."""

    accounts: dict[str, Account]
    sectors: Mapping[int, Sequence[str]]
    plans: Mapping[tuple[int, str], Any]
    codes: Mapping[str, str]  # sectors by title
    # (account, year, sector) -> what was verified of what is approved now
    approved: Mapping[tuple[int, int, str], Fraction] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Imported:
    """An import: its rows, and how many of them differ from our own computing."""

    import_id: int
    rows: int
    differing: int
    stored: Sequence[Mapping[str, Any]] = ()  # as in `AllocationFigure`


def take(table: Table, actor: Actor, *, now: datetime, client_id: int | None = None) -> Imported:
    """Store a table's rows, each with our own figure; those of a file count at once.

    ``client_id`` is that of the platform's machine, whose table counts once an officer approved it.
    Raises RuleError where the table was imported before, or for rows that cannot be taken
    (``table.problems``); nothing is stored then.
    """
    if engine.party(actor) is not Party.REGISTRY or (actor.member_id is None) is not bool(
        client_id
    ):
        raise NotAllowed(_("Only the registry may do this"), code="not_the_registry")
    today = now.astimezone(BEIJING).date()
    read = _read(table, today)
    if not table.is_clear:
        table.problems.sort(key=lambda each: each.row)
        raise RuleError(_("One bad row, and nothing is imported"), code="rows_refused")
    db.session.execute(select(func.pg_advisory_xact_lock(batches.LOCKS[FILE_KIND])))
    import_id = tables.remember(FILE_KIND, table, actor, now, client_id)
    rows = _stored(read, import_id, now, today)
    db.session.execute(insert(AllocationFigure), rows)
    differing = sum(row["quantity"] != row["expected"] for row in rows)
    log.record(actor, "figures.import", subject=str(import_id), rows=len(rows), differing=differing)
    return Imported(import_id, len(rows), differing, rows)


def computed(read: Iterable[tuple[Key, Figure]]) -> list[int | None]:
    """Return our own figure of every row, in their order: units first, then the sums of them."""
    rows = list(read)
    units: dict[Key, list[int]] = defaultdict(list)
    found: dict[int, int | None] = {}
    for place, (key, figure) in enumerate(rows):
        if figure.unit:
            mine = found[place] = expected(figure)
            if mine is not None:
                units[key].append(mine)
    for place, (key, figure) in enumerate(rows):
        if not figure.unit:
            found[place] = expected(figure, units[key])
    return [found[place] for place in range(len(rows))]


def _stored(
    read: Sequence[_Read], import_id: int, now: datetime, today: date
) -> list[dict[str, Any]]:
    due_on = None
    if any(each.key[3] == VERIFICATION for each in read):
        due_on = calendar.working_day_after(today, setting(db.session, "reapproval_days"))
    ours = computed((each.key, each.figure) for each in read)
    return [
        {
            "import_id": import_id,
            "account_id": each.key[0],
            **{
                name: _number(getattr(each.figure, name))
                for name in ("verified", "share", *_NUMBERS)
            },
            **{name: getattr(each.figure, name) for name in ("year", "sector", "stage", "unit", "basis")},
            "quantity": each.quantity,
            "expected": mine,
            "remark": each.remark,
            "due_on": due_on if each.key[3] == VERIFICATION else None,
            "recorded_at": now,
        }
        for each, mine in zip(read, ours, strict=True)
    ]  # fmt: skip


def _number(value: Fraction | None) -> Decimal | None:
    """Return a rational of at most six decimals, exactly."""
    return None if value is None else Decimal(value.numerator) / value.denominator


# Reading rows -------------------------------------------------------------------------------------


def _read(table: Table, today: date) -> list[_Read]:
    known = _known(table.rows, today)
    read = [found for row in table.rows if (found := _row(table, row, known, today)) is not None]
    seen: dict[tuple[Key, str], int] = {}
    for each in read:
        place = (each.key, folded(each.figure.unit))
        if place in seen:
            message = _("The same unit stands in row %(number)d", number=seen[place])
            table.refuse(each.row.number, "unit", message, "unit_twice")
        seen.setdefault(place, each.row.number)
    wholes = {each.key for each in read if not each.figure.unit}
    units = {each.key for each in read if each.figure.unit}
    for each in read:
        if each.key not in wholes:
            message = _("The row of the enterprise as a whole (without a unit) is missing")
            table.refuse(each.row.number, "unit", message, "whole_missing")
            wholes.add(each.key)
        elif not each.figure.unit and (each.figure.basis == UNITS) is not (
            each.key in units and each.figure.stage == APPROVED
        ):
            message = _(
                "The sum of its units is approved for an enterprise whose units are in this file"
            )
            if each.figure.stage == APPROVED:
                table.refuse(each.row.number, "basis", message, "sum_of_units")
    return read


def _row(table: Table, row: Row, known: _Known, today: date) -> _Read | None:
    earlier = len(table.problems)
    account = _account(table, row, known)
    year = _year(table, row, today)
    stage = _choice(
        table, row, "stage", {folded(str(title)): code for code, title in STAGES.items()}
    )
    sector = _choice(table, row, "sector", known.codes)
    if account is None or year is None or stage is None or sector is None:
        return None
    if sector not in known.sectors.get(account.id, ()):
        message = _("The enterprise has never been in this sector")
        table.refuse(row.number, "sector", message, "sector_not_theirs")
    plan = known.plans.get((year, sector))
    if plan is None:
        message = _("There is no plan of this year and sector in force")
        table.refuse(row.number, "year", message, "no_plan")
    basis = _basis(table, row, stage)
    verified = _exact(table, row, "verified")
    numbers = {name: _exact(table, row, name) for name in NEEDS.get(basis, ())}
    share = _share(table, row, plan) if stage == PRE_ALLOCATION and plan is not None else None
    quantity = None if stage == VERIFICATION else _quantity(table, row)
    if stage == VERIFICATION:
        _require_change(table, row, known, (account.id, year, sector), verified)
    for name, most in (("unit", LONGEST_UNIT), ("remark", LONGEST_REMARK)):
        if len(row[name]) > most:
            message = _("This is longer than %(most)d characters", most=most)
            table.refuse(row.number, name, message, "too_long")
    if len(table.problems) > earlier or verified is None:
        return None
    figure = Figure(year, sector, stage, row["unit"], verified, share, basis, **numbers)
    return _Read(row, (account.id, year, sector, stage), figure, quantity, row["remark"])


def _account(table: Table, row: Row, known: _Known) -> Account | None:
    account = known.accounts.get(folded(row["member_no"]))
    if account is None:
        message = _("There is no enterprise %(number)s", number=row["member_no"])
        table.refuse(row.number, "member_no", message, "member_unknown")
    elif folded(row["name"]) != folded(account.name):
        message = _(
            "The enterprise is registered as %(name)s, not %(typed)s",
            name=account.name,
            typed=row["name"],
        )
        table.refuse(row.number, "name", message, "name_differs")
    return account


def _year(table: Table, row: Row, today: date) -> int | None:
    typed = row["year"]
    is_year = typed.isascii() and typed.isdigit() and len(typed) == 4
    if is_year and 2000 <= int(typed) <= today.year + 1:
        return int(typed)
    message = _("Enter the year in four digits, not %(typed)s", typed=typed[:30])
    table.refuse(row.number, "year", message, "wrong_year")
    return None


def _choice(table: Table, row: Row, key: str, offered: Mapping[str, str]) -> str | None:
    found = offered.get(folded(row[key]))
    if found is None:
        message = _(
            "%(typed)s is none of the types offered: %(offered)s",
            typed=row[key][:30],
            offered="、".join(offered),
        )
        table.refuse(row.number, key, message, "unknown_value")
    return found


def _basis(table: Table, row: Row, stage: str) -> str:
    if stage != APPROVED:
        return ""
    offered = {folded(str(title)): code for code, title in BASES.items()}
    basis = _choice(table, row, "basis", offered) or ""
    if basis == UNITS and row["unit"]:
        message = _("A unit is not the sum of units")
        table.refuse(row.number, "basis", message, "sum_of_units")
    return basis


def _exact(table: Table, row: Row, key: str) -> Fraction | None:
    try:
        value = exact(row[key])
    except RuleError as error:
        table.refuse(row.number, key, error.message, error.code)
        return None
    if key == "balance" and not value:
        message = _("The balance of a sector is above zero")
        table.refuse(row.number, key, message, "balance_zero")
        return None
    return value


def _share(table: Table, row: Row, plan: Any) -> Fraction | None:
    """Return the share; above the plan's it is refused, below it wants a remark (N21)."""
    usual = plan.pre_allocation_share
    if usual is None:
        message = _("The plan of this year and sector has no pre-allocation")
        table.refuse(row.number, "stage", message, "no_pre_allocation")
        return None
    share = _exact(table, row, "share") if row["share"] else Fraction(usual)
    most = Fraction(usual if plan.share_cap is None else plan.share_cap)
    if share is None:
        return None
    if share > most:
        message = _(
            "A pre-allocation share of %(share)s %% is above the highest share of %(cap)s %%",
            share=_number(share),
            cap=_number(most),
        )
        table.refuse(row.number, "share", message, "share_above_cap")
    elif share < usual and not row["remark"]:
        message = _(
            "The share is lower than the plan's %(usual)s %%: say why",
            usual=_number(Fraction(usual)),
        )
        table.refuse(row.number, "remark", message, "remark_missing")
    return share


def _quantity(table: Table, row: Row) -> int | None:
    """Return the pushed quantity; zero is one."""
    typed = row["quantity"]
    if typed.isascii() and typed.isdigit() and len(typed) < 14 and int(typed) <= LARGEST_REQUEST:
        return int(typed)
    message = _(
        "Enter whole tonnes from 0 to %(limit)s, not %(typed)s",
        limit=f"{LARGEST_REQUEST:,}",
        typed=typed[:30] or "–",
    )
    table.refuse(row.number, "quantity", message, "wrong_quantity")
    return None


def _require_change(
    table: Table, row: Row, known: _Known, key: tuple[int, int, str], verified: Fraction | None
) -> None:
    """Refuse a change of the verification that changes nothing, or before anything was approved (N32)."""
    before = known.approved.get(key)
    if row["unit"]:
        message = _("A verification changes for an enterprise as a whole")
        table.refuse(row.number, "unit", message, "unit_of_a_change")
    if row["quantity"]:
        message = _("A change of verification has no quantity; the approval that follows has it")
        table.refuse(row.number, "quantity", message, "quantity_of_a_change")
    if before is None:
        message = _("Nothing was approved for this year and sector that could change")
        table.refuse(row.number, "stage", message, "nothing_approved")
    elif before == verified:
        table.refuse(row.number, "verified", _("This is what was verified before"), "unchanged")


def _known(rows: Sequence[Row], today: date) -> _Known:
    """Read what all rows refer to, in four statements."""
    numbers = {folded(row["member_no"]) for row in rows}
    accounts = {
        account.member_no: account
        for account in db.session.scalars(
            select(Account).where(Account.kind == "enterprise", Account.member_no.in_(numbers))
        )
    }
    ids = [account.id for account in accounts.values()]
    plans = db.session.execute(select(plans_on(today))).all()
    figure = current_figure.c
    approved = db.session.execute(
        select(figure.account_id, figure.year, figure.sector, figure.verified).where(
            figure.account_id.in_(ids), figure.stage == APPROVED, figure.unit == ""
        )
    )
    return _Known(
        accounts,
        sectors.of_accounts(ids),
        {(plan.year, plan.sector): plan for plan in plans},
        {folded(str(title)): code for code, title in SECTORS.items()},
        {(each.account_id, each.year, each.sector): Fraction(each.verified) for each in approved},
    )
