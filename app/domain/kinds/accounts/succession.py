"""承继: by merger or division others take over what an enterprise holds and owes (rules-2026 N115, N116)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.accounts import (
    DISSOLUTION,
    DIVISION,
    MERGER,
    Obstacle,
    Share,
    shares_of,
    split,
    told,
)
from app.domain.kinds.base import Kind
from app.domain.kinds.rules import (
    BOTH,
    HAS_AUTHORITY,
    HAS_DOCUMENT,
    HAS_REASON,
    HAS_START,
    Facts,
    Rule,
    Violation,
)
from app.domain.moves import CARE_ACCOUNT_ID, Bucket
from app.domain.workflow import Case, Line, Party, Status

# What a succession moves, or leaves to be paid out; without successor nobody takes over a claim.
STAYING = ("tonnes", "money", "notice")
SUCCEEDED = (*STAYING, "claim")


def lines_of(held: Mapping[int, int], shares: Sequence[Share]) -> tuple[Line, ...]:
    """Return the lines that move tonnes, by instrument, to successors by their shares."""
    return tuple(
        Line(instrument_id, tonnes, account_id=share.account_id)
        for instrument_id, quantity in sorted(held.items())
        for share, tonnes in zip(
            shares, split(quantity, [each.percent for each in shares]), strict=True
        )
        if tonnes
    )


def _wrong_number(case: Case, facts: Facts) -> Violation | None:
    accounts = [each.account_id for each in shares_of(case.proposal)]
    fits = {
        MERGER: len(accounts) == 1 and accounts[0] != CARE_ACCOUNT_ID,
        DIVISION: len(accounts) > 1 and CARE_ACCOUNT_ID not in accounts,
        DISSOLUTION: accounts == [CARE_ACCOUNT_ID],
    }
    return None if fits.get(case.category) else Violation("shares")


def _not_whole(case: Case, facts: Facts) -> Violation | None:
    total = sum((each.percent for each in shares_of(case.proposal)), Decimal(0))
    return None if total == 100 else Violation("shares", {"total": str(total)})


def _cannot_succeed(case: Case, facts: Facts) -> Violation | None:
    shares = shares_of(case.proposal)
    accounts = [each.account_id for each in shares]
    for each in shares:
        is_other = each.account_id != case.account_id and accounts.count(each.account_id) == 1
        if not is_other or each.account_id not in facts.life.successors:
            return Violation("shares", {"member": f"{each.name}（{each.member_no}）"})
    return None


def _in_the_way(case: Case, facts: Facts) -> Violation | None:
    staying = STAYING if case.category == DISSOLUTION else SUCCEEDED
    left = [each for each in facts.life.obstacles.get(case.id, ()) if each.what not in staying]
    return Violation("", {"obstacles": told(left)}) if left else None


def _not_everything(case: Case, facts: Facts) -> Violation | None:
    """Check that the lines are all of the tonnes, split by the shares; what came meanwhile is too much."""
    held = [each for each in facts.life.obstacles.get(case.id, ()) if each.what == "tonnes"]
    moved: dict[int, int] = {}
    for line in case.lines:
        moved[line.instrument_id] = moved.get(line.instrument_id, 0) + line.quantity
    if case.status is not Status.IN_REVIEW:
        held = [
            Obstacle("tonnes", each.name, rest, each.about)
            for each in held
            if (rest := (each.quantity or 0) - moved.get(each.about or 0, 0))
        ]
    if held:
        return Violation("", {"obstacles": told(held)})
    wanted = {(line.key, line.quantity) for line in lines_of(moved, shares_of(case.proposal))}
    is_split = wanted == {(line.key, line.quantity) for line in case.lines}
    return None if is_split else Violation("shares", {"obstacles": "–"})


HAS_SUCCESSORS = Rule(
    "successors_wrong",
    _("A merger has one successor, a division several; without successor the registry takes care"),
    _wrong_number,
)
SHARES_ARE_WHOLE = Rule(
    "shares_not_whole", _("The shares add up to %(total)s %%, not to 100 %%"), _not_whole, at=BOTH
)
MAY_SUCCEED = Rule(
    "cannot_succeed",
    _(
        "%(member)s cannot succeed: it is the enterprise itself, named twice, closed, or may not hold"
    ),
    _cannot_succeed,
    at=BOTH,
)
NOTHING_IN_THE_WAY = Rule(
    "succession_blocked",
    _("There can be no succession while there is: %(obstacles)s"),
    _in_the_way,
    at=BOTH,
)
MOVES_EVERYTHING = Rule(
    "not_everything",
    _(
        "A succession moves everything, out of what is available; held otherwise, or come meanwhile:"
        " %(obstacles)s"
    ),
    _not_everything,
    at=BOTH,
)


class AccountSuccession(Kind):
    """承继: two officers, on the document of the merger, the division or the dissolution.

    Open notices and claims go to the successors on approval (`carry_out_successions`); of a dissolution
    without successor the tonnes alone go, to the registry's care (N118).
    """

    code = "account_succession"
    title = _("Succession")
    prefix = "CK"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False  # It may be of notices alone.
    debits = False
    has_category = True
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.AVAILABLE)
    rules: ClassVar[tuple[Rule, ...]] = (
        HAS_DOCUMENT, HAS_AUTHORITY, HAS_START, HAS_REASON, HAS_SUCCESSORS, SHARES_ARE_WHOLE,
        MAY_SUCCEED, NOTHING_IN_THE_WAY, MOVES_EVERYTHING,
    )  # fmt: skip
