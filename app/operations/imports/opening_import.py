"""Applications for account openings, by file or singly."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import func, select

from app.domain.accounts import EMITTER, is_asked
from app.domain.kinds.accounts.account import AccountOpening
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.domain.regions import offered, province_of
from app.domain.texts import folded
from app.domain.workflow import Status
from app.extensions import db
from app.models import Account, Application
from app.operations.accounts import details, sectors
from app.operations.accounts.details import BY_NAME, FIELDS
from app.operations.applications import engine
from app.operations.imports import batches
from app.operations.imports.tables import ImportColumn, Row, Table
from app.operations.records import outbox
from app.operations.records.actor import Actor
from app.operations.records.catalogue import SECTORS

FILE_KIND = "account_opening"
COLUMNS = (
    ImportColumn("name", _("Enterprise name"), "江城发电有限公司"),
    ImportColumn("uscc", _("Unified social credit code"), "91420100MA4K2X7R0A"),
    ImportColumn(
        "sector",
        _("Sector of industry"),
        "发电",
        _("As in the data dictionary; several with 、 between them"),
    ),
    ImportColumn("province", _("Province"), "湖北", _("By its short or its full name")),
    ImportColumn("registered_address", _("Registered address"), "湖北省武汉市江岸区一元路1号"),
    ImportColumn("legal_representative", _("Legal representative"), "王建国"),
    ImportColumn(
        "representative",
        _("Account representative's name"),
        "李晓梅",
        _("Who signs in for the enterprise and gets both letters"),
    ),
    ImportColumn("representative_phone", _("Mobile phone"), "13800138000"),
    ImportColumn("representative_email", _("E-mail"), "lixiaomei@example.com"),
    ImportColumn("representative_identity_no", _("Identity number"), "11010519491231002X"),
    ImportColumn("bank_name", _("Bank of deposit"), "中国建设银行武汉分行", is_required=False),
    ImportColumn("bank_account", _("Bank account"), "42001234567890123456", is_required=False),
)


def judge(typed: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Check the details of an enterprise; return (proposal, messages by field).

    Sector and province may be names.  Personal data are encrypted in the proposal.
    """
    told = dict(typed)
    told["sector"] = _sectors_of(told.get("sector", ""))
    of_class = told.get("holder_class") or EMITTER
    asked = [each.name for each in FIELDS if is_asked(each.name, of_class)]
    values, wrong = details.read({name: told.get(name, "") for name in asked})
    typed_province = told.get("province", "").strip()
    province = province_of(typed_province)
    if not typed_province:
        wrong["province"] = gettext("Please fill this in")
    elif not province:
        wrong["province"] = gettext(
            "There is no such province as %(typed)s; it is one of %(offered)s",
            typed=typed_province[:30],
            offered=offered(),
        )
    for channel, name in (("mail", "representative_email"), ("sms", "representative_phone")):
        if name in values and not outbox.is_deliverable(channel, values[name]):
            wrong[name] = details.wrong_value(BY_NAME[name], values[name])
    proposal = details.propose({}, values) | {"province": ["", province]}
    if of_class != EMITTER:
        proposal |= {"holder_class": ["", of_class], "declared": ["", told.get("declared", "")]}
    return proposal, wrong


def _sectors_of(typed: str) -> str:
    """Return the codes of sectors' names; anything else unchanged."""
    by_title = {folded(str(title)): code for code, title in SECTORS.items()}
    names = [each for each in re.split(r"[、,，;；]+", typed) if each.strip()]
    return sectors.BETWEEN.join(by_title.get(folded(each), each.strip()) for each in names)


def draft(
    proposal: Mapping[str, Any], request_key: str, *, reason: str = "", import_id: int | None = None
) -> engine.Draft:
    """Return the application for an account, which belongs to the registry's own account."""
    return engine.Draft(
        kind=AccountOpening.code,
        account_id=ISSUANCE_ACCOUNT_ID,
        lines=(),
        request_key=request_key,
        reason=reason,
        import_id=import_id,
        proposal=proposal,
    )


def take(
    table: Table, actor: Actor, *, now: datetime, only_tries: bool = False
) -> batches.Imported:
    """Create an application per row; see `batches.take`."""
    reason = gettext("Imported from %(name)s", name=table.name)

    def drafts_of(import_id: int) -> list[engine.Draft]:
        return [
            draft(proposal, f"{FILE_KIND}:{import_id}:{row}", reason=reason, import_id=import_id)
            for row, proposal in _read(table).items()
        ]

    return batches.take(FILE_KIND, table, drafts_of, actor, now=now, only_tries=only_tries)


def _read(table: Table) -> dict[int, dict[str, Any]]:
    """Check every row: its cells, and duplicates of earlier rows and existing accounts."""
    known = _taken([folded(row["uscc"]) for row in table.rows])
    seen: dict[str, int] = {}
    found = {}
    for row in table.rows:
        proposal, wrong = judge(row.cells)
        for name, message in wrong.items():
            table.refuse(row.number, name, message)
        _require_first(table, row, seen, known)
        found[row.number] = proposal
    return found


def _require_first(table: Table, row: Row, seen: dict[str, int], known: Mapping[str, str]) -> None:
    code = folded(row["uscc"])
    if code in seen:
        message = _("The same code stands in row %(number)d", number=seen[code])
        table.refuse(row.number, "uscc", message)
    elif code in known:
        message = _(
            "This enterprise has an account, or is about to: %(number)s", number=known[code]
        )
        table.refuse(row.number, "uscc", message)
    if code:
        seen.setdefault(code, row.number)


def _taken(codes: Sequence[str]) -> dict[str, str]:
    """Return the credit codes that have an account or a pending opening."""
    proposed = func.jsonb_extract_path_text(Application.proposal, "uscc", "1")
    opening = select(proposed, Application.number).where(
        Application.kind == AccountOpening.code,
        (Application.status == Status.IN_REVIEW) | batches.awaits_submission(),
        proposed.in_(codes),
    )
    opened = select(Account.uscc, Account.member_no).where(Account.uscc.in_(codes))
    return {
        code: number for found in (opening, opened) for code, number in db.session.execute(found)
    }
