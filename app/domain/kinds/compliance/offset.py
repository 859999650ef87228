"""CCER抵销申请 and CCER账户绑定确认 (管理办法 19; rules-2026 N80-N91; docs/adr/0091)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from flask_babel import lazy_gettext as _

from app.domain.compliance.offsets import ANSWERS, Unit, UnitState
from app.domain.errors import InsufficientQuantity, NotAllowed
from app.domain.kinds.base import Kind
from app.domain.kinds.compliance.surrender import NOTICE_IS_OURS, above_due
from app.domain.kinds.rules import BOTH, HAS_DOCUMENT, HAS_REASON, Facts, Rule, Violation
from app.domain.workflow import Case, Party, Status


def total(case: Case) -> int:
    """Return the tonnes of the units that an application names."""
    return sum(each["quantity"] for each in case.proposal.get("units", ()))


def _units(case: Case, facts: Facts) -> list[Unit]:
    named = (each["unit"] for each in case.proposal.get("units", ()))
    return [facts.offset.units[id_] for id_ in named if id_ in facts.offset.units]


def _unknown(case: Case, facts: Facts) -> Violation | None:
    """Compare what the application says of its units with the units."""
    said: list[Mapping[str, Any]] = case.proposal.get("units", [])
    for each in said:
        unit = facts.offset.units.get(each["unit"])
        if unit is None or (unit.account_id, unit.quantity, unit.serial) != (
            case.account_id, each["quantity"], each["serial"],
        ):  # fmt: skip
            return Violation("units", {"serial": each["serial"]})
    return None


def _of_unit(wrong: Callable[[Unit, Case, Facts], bool]) -> Callable[..., Violation | None]:
    """Return the check that no unit of a case is wrong; the message names the first that is."""

    def check(case: Case, facts: Facts) -> Violation | None:
        for unit in _units(case, facts):
            if wrong(unit, case, facts):
                start = facts.notices[case.notice_id or 0].offset_from
                return Violation(
                    "units",
                    {"serial": unit.serial, "day": f"{unit.registered_on}", "start": f"{start}"},
                )
        return None

    return check


def _is_taken(unit: Unit, case: Case, facts: Facts) -> bool:
    return unit.state != UnitState.FROZEN or unit.id in facts.offset.taken


def _is_too_old(unit: Unit, case: Case, facts: Facts) -> bool:
    notice = facts.notices[case.notice_id or 0]
    return not unit.is_registered_in_time(notice.offset_from, notice.year, facts.moment.day)


def _late(case: Case, facts: Facts) -> Violation | None:
    offset_by = facts.notices[case.notice_id or 0].offset_by
    is_late = offset_by is not None and facts.moment.day > offset_by
    return Violation("units", {"offset_by": f"{offset_by}"}) if is_late else None


def _above_limit(case: Case, facts: Facts) -> Violation | None:
    notice = facts.notices[case.notice_id or 0]
    is_approval = case.status is Status.IN_REVIEW
    waiting = notice.offset_under_way if is_approval else notice.offset_pending
    left = max(notice.offset_limit - notice.offset_surrendered - waiting, 0)
    if total(case) <= left:
        return None
    return Violation(
        "units",
        {
            "quantity": f"{total(case):,}",
            "left": f"{left:,}",
            "limit": f"{notice.offset_limit:,}",
        },
    )


def _above_due(case: Case, facts: Facts) -> Violation | None:
    """Deduct the tonnes as a surrender does, and take the units and their part of the cap."""
    violation = above_due(case, facts, total(case), field="units")
    if violation is None:
        notice = facts.notices[case.notice_id or 0]
        facts.offset.taken.update(unit.id for unit in _units(case, facts))
        if case.status is Status.IN_REVIEW:  # It counts once its cancellation is confirmed.
            notice.surrendered -= total(case)
            notice.offset_under_way += total(case)
        else:
            notice.offset_pending += total(case)
    return violation


def _not_asked(case: Case, facts: Facts) -> Violation | None:
    asked = facts.offset.asked.get(case.proposal.get("binding") or 0)
    wanted = (case.account_id, case.proposal.get("ccer_account"))
    return None if asked == wanted else Violation("binding")


def _no_answer(case: Case, facts: Facts) -> Violation | None:
    return None if case.proposal.get("answer") in ANSWERS else Violation("answer")


def _not_bound(case: Case, facts: Facts) -> Violation | None:
    bound = facts.offset.bound.get(case.proposal.get("binding") or 0)
    wanted = (case.account_id, case.proposal.get("ccer_account"))
    return None if bound == wanted else Violation()


def _busy(case: Case, facts: Facts) -> Violation | None:
    left = facts.offset.busy.get(case.account_id)
    return Violation("", {"left": "、".join(left)}) if left else None


HAS_UNITS = Rule(
    "no_units",
    _("Choose at least one unit of CCER that waits for offset"),
    lambda case, facts: None if case.proposal.get("units") else Violation("units"),
)
UNITS_ARE_OURS = Rule(
    "unit_unknown",
    _("%(serial)s is no unit of yours that is frozen for offset, or another one than was named"),
    _unknown,
    at=BOTH,
)
UNITS_ARE_FREE = Rule(
    "unit_taken",
    _(
        "%(serial)s does not wait for offset any more: another application has it, or it is released"
    ),
    _of_unit(_is_taken),
    error=NotAllowed,
)
# N85 [L]
REGISTERED_IN_TIME = Rule(
    "registered_too_early",
    _(
        "%(serial)s was registered on %(day)s; this notice accepts CCER registered from %(start)s on"
    ),
    _of_unit(_is_too_old),
    at=BOTH,
)
# N86 [L]
OUTSIDE_THE_BOUNDARY = Rule(
    "inside_boundary",
    _(
        "%(serial)s comes from a project inside the boundary of the carbon market and offsets nothing"
    ),
    _of_unit(lambda unit, case, facts: unit.in_ets),
    at=BOTH,
)
# N87: the cut-off for CCER may lie before the deadline.
IN_TIME = Rule(
    "offset_late",
    _("Applications with CCER were taken until %(offset_by)s; surrender allowances instead"),
    _late,
)
# N84: floor(5 % x 应履约量), what is under review and under way included.
WITHIN_LIMIT = Rule(
    "offset_limit",
    _(
        "%(quantity)s tonnes of CCER asked for, but only %(left)s of at most %(limit)s tonnes are left"
        " for this notice"
    ),
    _above_limit,
    at=BOTH,
    error=InsufficientQuantity,
)
# N89 [I]
REGISTRIES_AGREE = Rule(
    "offset_differs",
    _(
        "This registry and the CCER registry differ about this enterprise's frozen CCER; offset is"
        " possible once the next comparison finds none"
    ),
    lambda case, facts: Violation("") if case.account_id in facts.offset.differing else None,
    at=BOTH,
    error=NotAllowed,
)
STILL_DUE = Rule(
    "above_due",
    _(
        "%(quantity)s tonnes asked for, but only %(left)s tonnes are still due under notice %(number)s"
    ),
    _above_due,
    at=BOTH,
    error=InsufficientQuantity,
)
IS_ASKED = Rule(
    "binding_not_asked",
    _("This binding was not asked for by the CCER registry, or is answered already"),
    _not_asked,
)
IS_ANSWERED = Rule("answer_missing", _("Confirm or decline the binding"), _no_answer)


class OffsetApplication(Kind):
    """CCER抵销申请: its units are held while the province reviews it, and count once cancelled there.

    They are named by the proposal: a mirrored unit is no pocket of the ledger (N83).
    """

    code = "offset"
    right = "comply"
    title = _("Offset by CCER")
    prefix = "DX"
    reviews = (Party.AUTHORITY,)
    has_lines = False
    debits = False  # A restricted account may always fulfil its obligation (domain.md 11.7).
    rules: ClassVar[tuple[Rule, ...]] = (
        HAS_UNITS,
        NOTICE_IS_OURS,
        REGISTRIES_AGREE,
        UNITS_ARE_OURS,
        UNITS_ARE_FREE,
        REGISTERED_IN_TIME,
        OUTSIDE_THE_BOUNDARY,
        IN_TIME,
        WITHIN_LIMIT,
        STILL_DUE,
    )


class OffsetBindingAnswer(Kind):
    """CCER账户绑定确认: asked for in the CCER registry, answered by the enterprise at once (N80)."""

    code = "offset_binding"
    title = _("Answer to a binding of a CCER account")
    prefix = "CB"
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (IS_ANSWERED, IS_ASKED)


IS_BOUND = Rule(
    "ccer_not_bound",
    _("No CCER account is bound to this account, or another one than was named"),
    _not_bound,
    at=BOTH,
)
NOTHING_UNDER_WAY = Rule(
    "ccer_under_way",
    _(
        "CCER of this account is under way: %(left)s. It is offset or released, and the CCER registry has"
        " answered, before the binding ends"
    ),
    _busy,
    at=BOTH,
)


class OffsetBindingEnd(Kind):
    """CCER账户解绑: applied for by the holder, confirmed by the registry; another binding may follow."""

    code = "offset_binding_end"
    title = _("End of a CCER account binding")
    prefix = "JB"
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (HAS_REASON, IS_BOUND, NOTHING_UNDER_WAY)


class OffsetBindingEndByRegistry(OffsetBindingEnd):
    """CCER账户解绑 by two officers of the registry, on a document."""

    code = "offset_binding_end_by_registry"
    title = _("End of a CCER account binding by the registry")
    prefix = "ZD"
    started_by = Party.REGISTRY
    rules = (HAS_DOCUMENT, *OffsetBindingEnd.rules)


BINDING_ENDS: tuple[type[Kind], ...] = (OffsetBindingEnd, OffsetBindingEndByRegistry)
