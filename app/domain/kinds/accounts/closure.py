"""销户 and 停用: how accounts and instruments end (登记管理规则 14, rules-2026 N117; docs/adr/0092)."""

from __future__ import annotations

from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.accounts import told
from app.domain.kinds.base import Kind
from app.domain.kinds.rules import BOTH, HAS_DOCUMENT, HAS_REASON, Facts, Rule, Violation
from app.domain.workflow import Case, Party


def _something_left(case: Case, facts: Facts) -> Violation | None:
    left = facts.life.obstacles.get(case.id)
    return Violation("", {"obstacles": told(left)}) if left else None


def _used(case: Case, facts: Facts) -> Violation | None:
    uses = facts.life.uses.get(case.id)
    return Violation("", {"uses": told(uses)}) if uses else None


NOTHING_LEFT = Rule(
    "account_not_empty",
    _("The account cannot be closed while it has: %(obstacles)s"),
    _something_left,
    at=BOTH,
)
NEVER_USED = Rule(
    "used_already",
    _("Only what was never used can be retired; this was: %(uses)s"),
    _used,
    at=BOTH,
)
NAMES_AN_INSTRUMENT = Rule(
    "instrument_missing",
    _("Choose the instrument that is to be retired"),
    lambda case, facts: None if case.proposal.get("instrument") else Violation("instrument"),
    at=BOTH,
)


class AccountClosure(Kind):
    """销户: applied for by the holder, approved by two officers of the registry; nothing may be left."""

    code = "account_closure"
    title = _("Account closure")
    prefix = "XH"
    reviews = (Party.REGISTRY, Party.REGISTRY)
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (HAS_REASON, NOTHING_LEFT)


class ClosureByOffice(Kind):
    """销户 at the request of the province: the enterprise is dissolved, its licence cancelled."""

    code = "closure_by_office"
    title = _("Account closure at the authority's request")
    prefix = "ZH"
    started_by = Party.OFFICE
    reviews = (Party.REGISTRY, Party.REGISTRY)
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (HAS_DOCUMENT, HAS_REASON, NOTHING_LEFT)


class AccountRetirement(Kind):
    """停用: an account that was opened by mistake and never used."""

    code = "account_retirement"
    title = _("Retirement of an account")
    prefix = "TY"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (HAS_REASON, NEVER_USED)


class InstrumentRetirement(Kind):
    """停用: an instrument that was created by mistake and never used."""

    code = "instrument_retirement"
    title = _("Retirement of an instrument")
    prefix = "BT"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (NAMES_AN_INSTRUMENT, HAS_REASON, NEVER_USED)
