"""破产: an administrator acts for an insolvent enterprise (rules-2026 N119)."""

from __future__ import annotations

from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.rules import (
    BOTH,
    HAS_AUTHORITY,
    HAS_DOCUMENT,
    HAS_REASON,
    HAS_START,
    Rule,
    Violation,
)
from app.domain.workflow import Party

# Pairs [before, after] of account details, personal data encrypted.
NEEDED = (
    "representative",
    "representative_phone",
    "representative_email",
    "representative_identity_no",
)
HAS_ADMINISTRATOR = Rule(
    "administrator_missing",
    _("Enter the administrator's name, mobile phone, e-mail and identity number"),
    lambda case, facts: (
        None if all(case.proposal.get(name) for name in NEEDED) else Violation("representative")
    ),
    at=BOTH,
)
NOT_INSOLVENT_YET = Rule(
    "insolvent_already",
    _("An administrator acts for this enterprise already"),
    lambda case, facts: Violation() if case.account_id in facts.life.insolvent else None,
    at=BOTH,
)
HAS_PAPER = Rule(
    "paper_missing",
    _("Attach the court's document"),
    lambda case, facts: Violation("attachments") if case.id in facts.life.without_paper else None,
    at=BOTH,
)


class BankruptcyAdministrator(Kind):
    """破产管理人: the representative changes on the court's document; former certificates are revoked.

    From then on what the enterprise submits, transfers and surrenders alike, its administrator signs.
    """

    code = "bankruptcy"
    title = _("Bankruptcy administrator")
    prefix = "PC"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (
        HAS_DOCUMENT, HAS_AUTHORITY, HAS_START, HAS_REASON, HAS_ADMINISTRATOR, HAS_PAPER,
        NOT_INSOLVENT_YET,
    )  # fmt: skip
