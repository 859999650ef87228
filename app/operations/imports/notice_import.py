"""Import of 履约通知书 from a table: a decision a row that says something new."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import func, select

from app.domain.compliance.notices import Decision, Terms
from app.domain.errors import RuleError
from app.domain.kinds import Facts
from app.domain.kinds.compliance.notice import OF_THE_TERMS, NoticeDecision, violations
from app.domain.moves import LARGEST_REQUEST
from app.domain.texts import folded
from app.domain.workflow import Case, Status
from app.extensions import db
from app.models import Account, Application, ImportFile, NoticeChange
from app.operations.accounts import sectors
from app.operations.applications import engine
from app.operations.applications.facts import gather
from app.operations.imports import batches, tables
from app.operations.imports.tables import ImportColumn, Row, Table
from app.operations.records import calendar
from app.operations.records.actor import Actor
from app.operations.records.catalogue import SECTORS

FILE_KIND = "notice"
COLUMNS = (
    ImportColumn("member_no", _("Member number"), "21042300007"),
    ImportColumn("year", _("Compliance year"), "2025"),
    ImportColumn(
        "sector",
        _("Sector"),
        "发电",
        _("Empty where the enterprise is in one sector alone"),
        is_required=False,
    ),
    ImportColumn("obligation", _("Obligation (tonnes)"), "1234567", _("Whole tonnes, digits only")),
)


def draft(
    account_id: int,
    decision: Decision,
    request_key: str,
    *,
    reason: str,
    document_no: str = "",
    notice_id: int | None = None,
    import_id: int | None = None,
) -> engine.Draft:
    """Return the application for a decision; ``notice_id`` is the notice that it changes."""
    return engine.Draft(
        kind=NoticeDecision.code,
        account_id=account_id,
        lines=(),
        request_key=request_key,
        reason=reason,
        document_no=document_no,
        notice_id=notice_id,
        import_id=import_id,
        proposal=decision.stored(),
    )


def take(
    table: Table,
    actor: Actor,
    *,
    now: datetime,
    reason: str,
    document_no: str = "",
    only_tries: bool = False,
) -> batches.Imported:
    """Create a decision for every row that says something new; see `batches.take`.

    Rows that say what the notice says already are left out.  Raises RuleError where all do, or where
    a notice is changed without a document.
    """
    if not reason.strip():
        raise RuleError(
            _("Enter the reason for the application"), field="reason", code="reason_missing"
        )

    def drafts_of(import_id: int) -> list[engine.Draft]:
        return [
            draft(
                account_id,
                decision,
                f"{FILE_KIND}:{import_id}:{account_id}:{decision.year}:{decision.sector}",
                reason=reason,
                document_no=document_no,
                notice_id=notice_id,
                import_id=import_id,
            )
            for account_id, notice_id, decision in _read(table, actor, document_no, now)
        ]

    return batches.take(FILE_KIND, table, drafts_of, actor, now=now, only_tries=only_tries)


def take_back(import_id: int, actor: Actor, *, now: datetime, reason: str, document_no: str) -> int:
    """Draft the opposite of all that a file's decisions did: 撤销 of the notices that it issued.

    Those that it changed say again what they said before; those decided upon again since stay as they
    are.  Returns the batch of the drafts, which is submitted or withdrawn like a file's.  Raises
    RuleError where nothing of it is in force, or it is being taken back already.
    """
    for field, text in (("document_no", document_no), ("reason", reason)):
        if not text:
            raise RuleError(_("Please fill this in"), field=field, code="required")
    latest = select(func.max(NoticeChange.id)).group_by(NoticeChange.notice_id)
    done = db.session.execute(
        select(Application, NoticeChange.notice_id)
        .join(NoticeChange, NoticeChange.application_id == Application.id)
        .where(Application.import_id == import_id, NoticeChange.id.in_(latest))
        .order_by(Application.id)
    ).all()
    if not done:
        raise RuleError(_("Nothing of this file is in force"), code="nothing_in_force")
    file = db.session.get_one(ImportFile, import_id)
    name = gettext("Revocation of %(name)s", name=file.name)[:200]
    rows = [Row(number, {}) for number, _each in enumerate(done, start=1)]
    table = Table(name, tables.taken_back(import_id), COLUMNS, rows)
    batch = tables.remember(FILE_KIND, table, actor, now)
    drafts = []
    for application, notice_id in done:
        made = Decision.read(application.proposal)
        drafts.append(
            draft(
                application.account_id,
                Decision(made.year, made.sector, made.after, made.before),
                f"{FILE_KIND}:{batch}:{application.id}",
                reason=reason,
                document_no=document_no,
                notice_id=notice_id,
                import_id=batch,
            )
        )
    engine.start(drafts, actor, now=now)
    return batch


# Reading the rows -------------------------------------------------------------------------------


def _read(
    table: Table, actor: Actor, document_no: str, now: datetime
) -> list[tuple[int, int | None, Decision]]:
    """Return account, notice and decision of the rows that say something new.

    Every problem of every row is added to ``table.problems``.
    """
    accounts = _accounts(table.rows, actor)
    keys = _keys(table, accounts)
    facts = _facts(table, keys, accounts, now)
    seen: dict[tuple[str, str, str], int] = {}
    found = []
    for row in table.rows:
        number, sector = folded(row["member_no"]), keys[row.number]
        key = (number, row["year"], sector)
        if sector and key in seen:
            message = _("The same enterprise, year and sector stand in row %(row)s", row=seen[key])
            table.refuse(row.number, "member_no", message)
        seen.setdefault(key, row.number)
        if number not in accounts:
            message = _("There is no enterprise %(number)s", number=row["member_no"])
            table.refuse(row.number, "member_no", message)
        decided = _decided(table, row, accounts.get(number, 0), sector, facts)
        if decided is not None:
            found.append(decided)
    if table.is_clear and not found:
        raise RuleError(
            _("Every row says what the notices say already; there is nothing to import"),
            code="nothing_new",
        )
    if not document_no.strip() and any(decision.before for _account, _notice, decision in found):
        raise RuleError(
            _("The table changes notices: enter the number of the authority's document"),
            field="document_no",
            code="document_missing",
        )
    return found


def _keys(table: Table, accounts: Mapping[str, int]) -> dict[int, str]:
    """Return the sector's code by row; what names none, or cannot be told, is refused and "".

    An enterprise that is in one sector alone need not name it.
    """
    by_title = {folded(str(title)): code for code, title in SECTORS.items()}
    only = sectors.of_accounts(accounts.values())
    found = {}
    for row in table.rows:
        typed = row["sector"]
        code = by_title.get(folded(typed), "")
        own = only.get(accounts.get(folded(row["member_no"]), 0), [])
        if not typed and len(own) == 1:
            (code,) = own
        elif not code and folded(row["member_no"]) in accounts:
            table.refuse(row.number, "sector", _sector_message(typed, own))
        found[row.number] = code
    return found


def _sector_message(typed: str, own: Sequence[str]) -> Any:
    if typed:
        offered = "、".join(str(SECTORS[each]) for each in SECTORS)
        return _(
            "There is no sector %(typed)s; there are %(offered)s", typed=typed[:30], offered=offered
        )
    if not own:
        return _("The enterprise is in no sector; enter which this is about")
    named = "、".join(str(SECTORS.get(each, each)) for each in own)
    return _("The enterprise is in several sectors (%(sectors)s); enter which", sectors=named)


def _decided(
    table: Table, row: Row, account_id: int, sector: str, facts: Facts
) -> tuple[int, int | None, Decision] | None:
    """Read one row; None where it has problems, or says nothing new."""
    unreadable = set()
    year = int(row["year"]) if re.fullmatch(r"[0-9]{4}", row["year"]) else 0
    if not year:
        message = _("Enter the year in four digits, not %(typed)s", typed=row["year"][:30])
        table.refuse(row.number, "year", message)
    try:
        terms = Terms(tonnes(row["obligation"]))
    except RuleError as error:
        table.refuse(row.number, "obligation", error.message)
        terms = Terms(0)
        unreadable.add("obligation")
    if not year or not sector:
        return None
    standing = facts.standing.get((account_id, year, sector, 0))
    before = standing.terms if standing else None
    if before == terms and not unreadable:
        return None
    decision = Decision(year, sector, before, terms)
    case = _case(account_id, decision, notice_id=standing.id if standing else None)
    rules = OF_THE_TERMS if unreadable or not account_id else NoticeDecision.rules
    problems = [
        (field, message)
        for field, message in violations(case, facts, rules)
        if field not in ("reason", "document_no") and field not in unreadable
    ]
    for field, message in problems:
        table.refuse(row.number, field, message)
    return None if problems or unreadable else (account_id, case.notice_id, decision)


def tonnes(text: str) -> int:
    """Parse an obligation, in tonnes, 0 included.  Raises RuleError."""
    typed = text.strip()
    if not re.fullmatch(r"[0-9]{1,13}", typed):
        message = _(
            "An obligation is a whole number of tonnes from 0 to %(limit)s, in plain digits, not"
            " %(typed)s",
            limit=f"{LARGEST_REQUEST:,}",
            typed=typed[:30] or "–",
        )
        raise RuleError(message, field="obligation", code="quantity_not_whole")
    return int(typed)


def _accounts(rows: Sequence[Row], actor: Actor) -> dict[str, int]:
    """Return the enterprises in scope by member number; others look like unknown ones."""
    wanted = select(Account.member_no, Account.id).where(
        Account.is_open(),
        Account.member_no.in_({folded(row["member_no"]) for row in rows}),
    )
    if actor.province is not None:
        wanted = wanted.where(Account.province == actor.province)
    return dict(db.session.execute(wanted).all())


def _facts(
    table: Table, keys: Mapping[int, str], accounts: Mapping[str, int], now: datetime
) -> Facts:
    """Return the facts of all rows, read once."""
    cases = [
        _case(accounts[number], Decision(int(row["year"]), keys[row.number], None, None))
        for row in table.rows
        if (number := folded(row["member_no"])) in accounts
        and keys[row.number]
        and re.fullmatch(r"[0-9]{4}", row["year"])
    ]
    nobody = [_case(0, Decision(0, "-", None, None))]
    return gather(cases or nobody, calendar.moment_at(now))


def _case(account_id: int, decision: Decision, *, notice_id: int | None = None) -> Case:
    """Return a row as the rules see it, before there is an application."""
    return Case(
        id=0,
        kind=NoticeDecision.code,
        number="",
        account_id=account_id,
        status=Status.DRAFT,
        notice_id=notice_id,
        proposal=decision.stored(),
    )
