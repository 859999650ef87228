"""质押登记: pledges of allowances, as a note or as a hold, and what ends them (rules-2026 N110-N114)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from flask_babel import lazy_gettext as _

from app.domain.errors import NotAllowed
from app.domain.kinds.base import Kind
from app.domain.kinds.compliance.surrender import (
    IS_CONFIRMED,
    IS_ELIGIBLE,
    NOTICE_IS_OURS,
    STILL_DUE,
)
from app.domain.kinds.rules import BOTH, HAS_DOCUMENT, HAS_REASON, Facts, Rule, Violation
from app.domain.moves import Bucket
from app.domain.texts import is_mail_address
from app.domain.workflow import Case, Party

# 质押登记方式: the values of the parameter `pledge_mode` (N110).
OFF, AS_NOTE, AS_HOLD = 0, 1, 2
# What a pledge says besides its lines and the end of its filing in 中登网 (N111).
TEXTS: dict[str, tuple[Any, int]] = {
    "pledgee": (_("Pledgee"), 200),
    "uscc": (_("Pledgee's unified social credit code"), 18),
    "contract_no": (_("Number of the pledge contract"), 100),
    "filing_no": (_("Number of the filing in the movables registry"), 60),
    "email": (_("Pledgee's e-mail for notices"), 100),
}


def said(case: Case, name: str) -> str:
    """Return one of the texts of a pledge."""
    return str(case.proposal.get(name, "")).strip()


def pledgee_of(case: Case, facts: Facts) -> str:
    """Return the credit code of the pledgee: the pledge's own, or that of what the lines draw on.

    "" where the lines draw on pledges of several.
    """
    if "uscc" in case.proposal:
        return said(case, "uscc")
    found = {facts.pledges.pledgees.get(line.source_line_id or 0, "") for line in case.lines}
    return found.pop() if len(found) == 1 else ""


def _offered_in(mode: int) -> Rule:
    """Return the rule that pledges are registered in this way on the day (N110)."""
    return Rule(
        "pledge_not_offered",
        _("Pledges are not registered in this way at present (system parameter on pledges)"),
        lambda case, facts: None if facts.pledges.mode == mode else Violation(),
        at=BOTH,
        error=NotAllowed,
    )


def _blank(name: str) -> Callable[[Case, Facts], Violation | None]:
    def check(case: Case, facts: Facts) -> Violation | None:
        longest = TEXTS[name][1]
        return None if 0 < len(said(case, name)) <= longest else Violation(name, {"most": longest})

    return check


_TELLS = tuple(
    Rule(f"{name}_missing", message, _blank(name))
    for name, message in (
        ("pledgee", _("Enter the pledgee's name, at most %(most)s characters")),
        ("contract_no", _("Enter the number of the pledge contract, at most %(most)s characters")),
        (
            "filing_no",
            _(
                "Enter the number of the filing in the movables registry, at most %(most)s characters"
            ),
        ),
    )
)
USCC_IS_VALID = Rule(
    "pledgee_uscc",
    _("The pledgee's credit code has 18 characters and must pass its own check: %(typed)s"),
    lambda case, facts: (
        None
        if said(case, "uscc") in facts.pledges.valid
        else Violation("uscc", {"typed": said(case, "uscc")[:30] or "–"})
    ),
)
HAS_ADDRESS = Rule(
    "pledgee_email",
    _("Enter the e-mail address to which the pledgee's notices go: %(typed)s"),
    lambda case, facts: (
        None
        if is_mail_address(said(case, "email"))
        else Violation("email", {"typed": said(case, "email")[:30] or "–"})
    ),
)
FILING_HOLDS = Rule(
    "filing_over",
    _("Enter the day until which the filing in the movables registry holds, not before %(today)s"),
    lambda case, facts: (
        None
        if case.ends_on and case.ends_on >= facts.moment.day
        else Violation("ends_on", {"today": f"{facts.moment.day}"})
    ),
)
PLEDGEE_IS_ANOTHER = Rule(
    "pledged_to_itself",
    _("The pledgee is another one than the holder"),
    lambda case, facts: (
        Violation("uscc")
        if facts.pledges.accounts.get(said(case, "uscc")) == case.account_id
        else None
    ),
)
HAS_CONSENT = Rule(
    "pledgee_paper_missing",
    _("Attach the document that the pledgee signed or sealed"),
    lambda case, facts: (
        Violation("attachments") if case.id in facts.pledges.without_paper else None
    ),
)
ONE_PLEDGEE = Rule(
    "several_pledgees",
    _("One application is about what is pledged to one pledgee; make another one for the other"),
    lambda case, facts: None if pledgee_of(case, facts) else Violation("lines"),
)


def _asks_another(case: Case, facts: Facts) -> Violation | None:
    account = facts.pledges.accounts.get(pledgee_of(case, facts))
    wanted = {account} if account else set()
    return None if set(case.receivers) == wanted else Violation()


# Who has an account here confirms itself; of others two officers check the paper.
PLEDGEE_IS_ASKED = Rule(
    "pledgee_not_asked",
    _(
        "A pledgee with an account here confirms it itself, and it is not asked as things are; open the"
        " application again and submit it anew"
    ),
    _asks_another,
)
NEVER_ALONE = Rule(
    "pledgee_has_to_agree",
    _(
        "A pledge is not released by the holder alone, and this pledgee has no account here to agree with:"
        " the registry releases it on the pledgee's document"
    ),
    lambda case, facts: None if case.receivers else Violation(),
    at=BOTH,
    error=NotAllowed,
)


class _Pledge(Kind):
    """Applied for by the holder; the pledgee agrees, itself or on paper, and two officers check it."""

    right = "pledge"
    reviews = (Party.RECEIVER, Party.REGISTRY, Party.REGISTRY)
    rules: ClassVar[tuple[Rule, ...]] = (
        *_TELLS, USCC_IS_VALID, PLEDGEE_IS_ANOTHER, HAS_ADDRESS, FILING_HOLDS, HAS_CONSENT,
        PLEDGEE_IS_ASKED,
    )  # fmt: skip


class Pledge(_Pledge):
    """质押冻结: reserved while it is under review, frozen for the pledgee from the registration on."""

    code = "pledge"
    title = _("Pledge")
    prefix = "ZY"
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.FROZEN)
    rules = (_offered_in(AS_HOLD), *_Pledge.rules)


class PledgeNote(_Pledge):
    """质押备注: a marker of a pledge that moves and stops nothing."""

    code = "pledge_note"
    title = _("Pledge note")
    prefix = "ZM"
    debits = False
    rules = (_offered_in(AS_NOTE), *_Pledge.rules)


class PledgeJointRelease(Kind):
    """质押解除 by both: the holder applies, the pledgee agrees in its own account; never one without it."""

    code = "pledge_joint_release"
    title = _("Joint release of a pledge")
    prefix = "GJ"
    reviews = (Party.RECEIVER, Party.REGISTRY)
    settles = (Bucket.FROZEN, Bucket.AVAILABLE)
    debits = False
    draws_on = "pledge"
    rules = (ONE_PLEDGEE, NEVER_ALONE, PLEDGEE_IS_ASKED)


class _Release(Kind):
    """Entered and confirmed by two officers on the document of the pledgee, or of both."""

    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (HAS_DOCUMENT, HAS_REASON, ONE_PLEDGEE, HAS_CONSENT)


class PledgeRelease(_Release):
    """质押解除 on the pledgee's document: what is frozen for it is available again, in part or in whole."""

    code = "pledge_release"
    title = _("Release of a pledge")
    prefix = "ZJ"
    settles = (Bucket.FROZEN, Bucket.AVAILABLE)
    draws_on = "pledge"


class PledgeNoteRelease(_Release):
    """质押备注注销: the marker ends, in part or in whole."""

    code = "pledge_note_release"
    title = _("Deletion of a pledge note")
    prefix = "BX"
    draws_on = "pledge_note"


class PledgeSurrender(Kind):
    """质押配额清缴 (N113): with the pledgee's consent, for a quantity and a notice, out of what is frozen.

    The tonnes are free at no time in between.
    """

    code = "pledge_surrender"
    right = "comply"
    title = _("Surrender of what is pledged")
    prefix = "ZQ"
    reviews = (Party.RECEIVER, Party.REGISTRY, Party.REGISTRY, Party.AUTHORITY)
    settles = (Bucket.FROZEN, Bucket.SURRENDERED)
    debits = False
    draws_on = "pledge"
    rules = (
        ONE_PLEDGEE, PLEDGEE_IS_ASKED, HAS_CONSENT,
        NOTICE_IS_OURS, IS_ELIGIBLE, IS_CONFIRMED, STILL_DUE,
    )  # fmt: skip


PLEDGES: tuple[type[Kind], ...] = (Pledge, PledgeNote)
