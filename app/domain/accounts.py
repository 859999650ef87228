"""Accounts: their classes and rights, what keeps one from ending, and how a succession is split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from flask_babel import lazy_gettext as _

from app.domain.errors import RuleError

# 账户类别 (rules-2026 N125); stored in `account.holder_class`.
CLASSES: Mapping[str, Any] = {
    "emitter": _("Emitting enterprise"),
    "institution": _("Financial institution"),
    "other": _("Other holder without obligation"),
    "person": _("Natural person"),
    "province": _("Provincial authority"),
    "state": _("The state"),
}
EMITTER, PERSON = "emitter", "person"
OPENED = ("emitter", "institution", "other", "person")  # by an application for an account
_OF_EMITTERS, _OF_COMPANIES = ("sector",), ("uscc", "legal_representative")


def is_asked(detail: str, holder_class: str) -> bool:
    """Tell whether an account of a class has a detail: a person is known by the identity number alone."""
    if detail in _OF_EMITTERS:
        return holder_class == EMITTER
    return detail not in _OF_COMPANIES or holder_class != PERSON


RIGHTS: Mapping[str, Any] = {
    "hold": _("May hold allowances"),
    "issue": _("May be issued to"),
    "comply": _("May get notices and surrender"),
    "trade": _("May trade"),
    "cancel": _("May cancel voluntarily"),
    "pledge": _("May pledge"),
}
MERGER, DIVISION, DISSOLUTION = "merger", "division", "dissolution"
ENDS: Mapping[str, Any] = {"closed": _("Closed"), "retired": _("Retired")}

OBSTACLES: Mapping[str, Any] = {
    "tonnes": _("%(name)s: %(quantity)s tonnes"),
    "money": _("money %(name)s: %(quantity)s yuan"),
    "application": _("application %(name)s under way"),
    "received": _("application %(name)s of another account that names it"),
    "notice": _("notice %(name)s open by %(quantity)s tonnes"),
    "court": _("court order %(name)s in force: %(quantity)s"),
    "claim": _("returns %(quantity)s tonnes by notice of adjustment %(name)s"),
    "waiting": _("%(name)s: %(quantity)s tonnes wait at the authority"),
    "offset": _("CCER %(name)s mirrored: %(quantity)s tonnes"),
    "pledge": _("pledge %(name)s in force: %(quantity)s tonnes"),
    "receivable": _("owes the registry at %(name)s: %(quantity)s yuan"),
    "difference": _("difference %(name)s with the exchange not resolved"),
    "member": _("%(name)s has signed in"),
    "trade_code": _("trade code %(name)s"),
    "bank": _("settlement bank %(name)s"),
}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One thing that an account (or instrument) has, owes or was used for; tonnes, or fen of money."""

    what: str
    name: str
    quantity: int | None = None
    about: int | None = None  # the instrument, or the notice

    def told(self) -> str:
        """Return it as people read it."""
        quantity = self.quantity or 0
        in_yuan = self.what in ("money", "receivable")
        shown = f"{quantity / 100:,.2f}" if in_yuan else f"{quantity:,}"
        return str(OBSTACLES[self.what]) % {"name": self.name, "quantity": shown}


def told(obstacles: Sequence[Obstacle]) -> str:
    """Return obstacles in one sentence."""
    return "；".join(each.told() for each in obstacles)


@dataclass(frozen=True, slots=True)
class Life:
    """What the rules about an account's life read, of a batch of cases."""

    closed: frozenset[int] = frozenset()  # accounts
    classes: Mapping[int, str] = field(default_factory=dict)  # account -> class
    rights: Mapping[int, frozenset[str]] = field(default_factory=dict)  # account -> on the day
    obstacles: Mapping[int, Sequence[Obstacle]] = field(default_factory=dict)  # by case
    uses: Mapping[int, Sequence[Obstacle]] = field(default_factory=dict)  # by case
    successors: frozenset[int] = frozenset()  # accounts that may succeed
    insolvent: Mapping[int, int] = field(default_factory=dict)  # account -> administrator's member
    persons_admitted: bool = False
    without_paper: frozenset[int] = frozenset()  # cases without an attachment


@dataclass(frozen=True, slots=True)
class Share:
    """A successor's part, in per cent."""

    account_id: int
    percent: Decimal
    member_no: str = ""
    name: str = ""

    def stored(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "account": self.account_id, "percent": str(self.percent), "member_no": self.member_no,
            "account_name": self.name,
        }  # fmt: skip


def shares_of(proposal: Mapping[str, Any]) -> list[Share]:
    """Return the shares of a succession's proposal."""
    return [
        Share(each["account"], Decimal(each["percent"]), each["member_no"], each["account_name"])
        for each in proposal.get("shares", ())
    ]


def percent(text: str, *, field: str) -> Decimal:
    """Parse a share above 0 and up to 100, with at most four decimals.  Raises RuleError."""
    typed = text.strip().removesuffix("%")
    whole, _dot, rest = typed.partition(".")
    is_plain = whole.isascii() and whole.isdigit() and len(whole) <= 3 and len(rest) <= 4
    if is_plain and (not rest or (rest.isascii() and rest.isdigit())):
        value = Decimal(typed.rstrip("."))
        if 0 < value <= 100:
            return value
    raise RuleError(
        _(
            "A share is above 0 and at most 100 %%, with up to four decimals, not %(typed)s",
            typed=text[:30] or "–",
        ),
        field=field,
        code="percent_wrong",
    )


def split(quantity: int, percents: Sequence[Decimal]) -> list[int]:
    """Split tonnes by percentages: each part rounded down, the rest to the first.

    The database's `split_by_shares` says the same.
    """
    parts = [int(quantity * each / 100) for each in percents]
    parts[0] += quantity - sum(parts)
    return parts
