"""开户 (manual 二-一): the registry enters an enterprise, another officer confirms, the account opens."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.kinds.account_change import CODE_IS_FREE
from app.domain.kinds.base import Kind
from app.domain.kinds.rules import BOTH, Rule, Violation
from app.domain.workflow import Party

# Needed to identify the account's holder and to reach its representative.
NEEDED = ("name", "uscc", "province", "representative_phone", "representative_email")

HAS_DETAILS = Rule(
    "details_missing",
    _("The details of the enterprise are not complete"),
    lambda case, facts: None if all(name in case.proposal for name in NEEDED) else Violation(),
    at=BOTH,
)


class AccountOpening(Kind):
    """The account is created on the second officer's approval; until then it is a proposal.

    The application belongs to the registry's own account (docs/adr/0039).
    """

    code = "account_opening"
    title = _("Account opening")
    prefix = "KH"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    certifies = True
    debits = False
    rules = (HAS_DETAILS, CODE_IS_FREE)
