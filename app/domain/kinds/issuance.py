"""发放 (manual 三): allowances come into being in an enterprise's account."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.rules import BOTH, Breach, Rule
from app.domain.moves import ISSUANCE_ACCOUNT_ID, Bucket
from app.domain.workflow import Party

ISSUANCE_TYPES = {
    "pre_allocation": _("Pre-allocation"),
    "approved": _("Approved allocation"),
    "supplementary": _("Supplementary issue"),
    "adjustment": _("Adjustment"),
}

TO_AN_ENTERPRISE = Rule(
    "not_an_enterprise",
    _("Allowances are issued to enterprises alone"),
    lambda case, facts: Breach() if case.account_id == ISSUANCE_ACCOUNT_ID else None,
    at=BOTH,
)


class Issuance(Kind):
    """Entered by one officer, confirmed by another; the source of every tonne."""

    code = "issuance"
    title = _("Issuance")
    prefix = "FF"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    settles = (Bucket.ISSUED, Bucket.AVAILABLE)
    debits = False
    categories = ISSUANCE_TYPES
    rules = (TO_AN_ENTERPRISE,)
