"""存管返还 (manual 六-一): assets kept by the registry while enterprises merge, split or reorganise."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.rules import HAS_REASON, RECEIVERS_ARE_LINKED, Facts, Rule, Violation
from app.domain.moves import Bucket
from app.domain.workflow import Case, Party


def _links_itself(case: Case, facts: Facts) -> Violation | None:
    return Violation("receivers") if case.account_id in case.receivers else None


def _linked_already(case: Case, facts: Facts) -> Violation | None:
    known = {receiver for receiver in case.receivers if (case.account_id, receiver) in facts.linked}
    return Violation("receivers") if known and known == case.receivers else None


HAS_RECEIVERS = Rule(
    "receivers_missing",
    _("Choose at least one enterprise to link"),
    lambda case, facts: None if case.receivers else Violation("receivers"),
)
LINKS_ANOTHER = Rule(
    "linked_to_itself", _("An enterprise cannot be linked with itself"), _links_itself
)
LINK_IS_NEW = Rule("linked_already", _("These enterprises are linked already"), _linked_already)


class CustodyDeposit(Kind):
    """存管: moves available tonnes, up to all of them, to custody under A's name (domain.md 11.2)."""

    code = "custody_deposit"
    title = _("Custody deposit")
    prefix = "CG"
    reviews = (Party.REGISTRY,)
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.CUSTODY)
    has_category = True
    rules = (HAS_REASON,)


class CustodyLink(Kind):
    """关联对方重点排放单位: links A with the enterprises that may receive its assets."""

    code = "custody_link"
    title = _("Link of enterprises")
    prefix = "GL"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False
    rules = (HAS_RECEIVERS, LINKS_ANOTHER, LINK_IS_NEW, HAS_REASON)


class CustodyReturn(Kind):
    """存管返还: custody goes to linked enterprises; every one approves, then the registry."""

    code = "custody_return"
    title = _("Return from custody")
    prefix = "FH"
    reviews = (Party.RECEIVER, Party.REGISTRY)
    reserves = (Bucket.CUSTODY, Bucket.IN_RETURN)
    settles = (Bucket.IN_RETURN, Bucket.AVAILABLE)
    draws_on = "custody_deposit"
    rules = (RECEIVERS_ARE_LINKED,)
