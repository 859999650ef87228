"""The rules of applications, as data: code, message, the actions that check it, and the check.

``docs/rules.md`` is generated from them (tools/rules.py): which rule guards which kind at which step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from flask_babel import lazy_gettext as _

from app.domain.accounts import CLASSES, RIGHTS, Life
from app.domain.banks import Banking
from app.domain.compliance.carry_over import CarryOvers
from app.domain.compliance.figures import AllocationFacts
from app.domain.compliance.notices import Standing
from app.domain.compliance.offsets import Offsets
from app.domain.compliance.plans import PlanFacts
from app.domain.errors import InsufficientQuantity, NotAllowed, RuleError
from app.domain.money import written
from app.domain.moves import Bucket
from app.domain.trading_day import TradingMoment
from app.domain.workflow import Action, Case, Line

SUBMISSION = (Action.SUBMIT,)
BOTH = (Action.SUBMIT, Action.APPROVE)  # Facts may change between submission and approval.
LONGEST_FREEZE_YEARS = 3


@dataclass(slots=True)
class Notice:
    """The facts of a 履约通知书, in tonnes; ``pending`` excludes drafts."""

    account_id: int
    number: str
    obligation: int
    surrendered: int
    pending: int
    # By the plan of its year and sector in force today:
    eligible: frozenset[int]  # 履约范围: the instruments that may be surrendered for it
    offset_limit: int  # floor(share x obligation); 0 where no CCER is allowed (domain.md 11.9)
    offset_by: date | None  # the last day of applications with CCER, where it has one of its own
    year: int = 0
    offset_from: date | None = None  # CCER registered from that day on counts (N85)
    deadline: datetime | None = None  # None: no plan in force
    offset_surrendered: int = 0
    offset_pending: int = 0
    offset_under_way: int = 0  # of the pending: approved, its cancellation not yet confirmed (N81)
    # Once the deadline has passed: newer allowances -> later compliance years that they count for (N51).
    later_years: Mapping[int, str] = field(default_factory=dict)


@dataclass(slots=True)
class Source:
    """An earlier application's line that others draw on, and its remaining tonnes."""

    account_id: int
    instrument_id: int
    kind: str
    is_approved: bool
    left: int
    notice_id: int | None = None
    quantity: int = 0
    approved_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Package:
    """A day package of the exchange, and the results that it confirmed: (settlement's id, digest)."""

    digest: str
    confirmed: frozenset[tuple[int, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Default:
    """What the buyer of a trade that was not delivered lacks now, in fen, of the money that it pays with."""

    account_id: int
    member: str
    money_id: int
    missing: int
    due_at: datetime  # until when it may be made good
    is_waited_for: bool = False  # A court's freeze would take what comes in.


@dataclass(frozen=True, slots=True)
class Membership:
    """A company's membership in a group, not over yet; both named as people know them."""

    head_id: int
    ends_on: date | None  # the first day without
    member: str
    head: str


@dataclass(slots=True)
class CourtOrder:
    """A court's order to freeze as the rules read it; quantities in tonnes, or fen."""

    account_id: int
    is_confirmed: bool
    left: int  # neither released nor assigned nor lapsed
    queued: int
    ends_on: date
    held: dict[int, int] = field(default_factory=dict)  # instrument -> effective
    promised: Mapping[int, int] = field(default_factory=dict)  # to surrenders under review
    on_sale: int = 0  # tonnes at the exchange, unsold


class OnSale(NamedTuple):
    """Units that a court lets sell at the exchange."""

    account_id: int
    order: int
    instrument_id: int
    unsold: int


@dataclass(frozen=True, slots=True)
class Courts:
    """What the rules of courts' measures read."""

    orders: Mapping[int, CourtOrder] = field(default_factory=dict)
    longest_years: int = 3
    sales: Mapping[int, OnSale] = field(default_factory=dict)
    without_paper: frozenset[int] = frozenset()  # cases without the court's paper
    at_bank: frozenset[tuple[int, int]] = frozenset()  # (account, money of the bank that it bound)
    admitted: frozenset[int] = frozenset()  # accounts that may receive what a court assigns
    known: frozenset[int] = frozenset()  # instruments
    waited_for: frozenset[int] = frozenset()  # transfers of tonnes that a court's order waits for


@dataclass(frozen=True, slots=True)
class Pledges:
    """What the rules of pledges read."""

    mode: int = 0  # of the day, as the parameter says
    valid: frozenset[str] = frozenset()  # credit codes that pass their own check (GB 32100-2015)
    accounts: Mapping[str, int] = field(default_factory=dict)  # credit code -> open account here
    pledgees: Mapping[int, str] = field(default_factory=dict)  # line -> credit code of its pledgee
    without_paper: frozenset[int] = frozenset()  # cases without a document of the pledgee


class Stop(NamedTuple):
    """Where an issue goes by the plan: to the enterprise, its province's account, or nowhere."""

    place: str  # "enterprise", "province" or "nothing"
    account_id: int  # the province's account


@dataclass(frozen=True, slots=True)
class Chain:
    """What the rules of the issuance chain read."""

    stops: Mapping[tuple[int, int, str], Stop] = field(default_factory=dict)  # as `Facts.issued`
    withheld: frozenset[tuple[int, int]] = frozenset()  # (account, instrument) kept by the list
    listed: frozenset[tuple[int, int]] = frozenset()  # (account, year) in 差异化名录
    under_review: dict[tuple[int, int], str] = field(default_factory=dict)  # about the list
    waiting: Mapping[tuple[int, int], Mapping[int, int]] = field(default_factory=dict)  # by line
    years: Mapping[int, int] = field(default_factory=dict)  # of notices
    commissioned: Mapping[int, Mapping[int, int]] = field(default_factory=dict)  # notice -> line


@dataclass(slots=True)
class Facts:
    """The data that the rules read, loaded once for a batch of cases.

    Quantities are reduced as cases of the batch are accepted, so that two cases cannot use the
    same tonnes.
    """

    moment: TradingMoment
    holdings: dict[tuple[int, int, Bucket], int]  # (account, instrument, bucket) -> tonnes
    instruments: Mapping[int, str]  # id -> name as shown
    money: frozenset[int] = frozenset()  # instruments that are money, in fen
    restricted: frozenset[int] = frozenset()  # accounts whose debits are refused
    differing: frozenset[int] = frozenset()  # accounts with a difference that nobody resolved yet
    tradable: frozenset[tuple[int, int]] = frozenset()  # (venue, instrument) with a trade code
    permitted: frozenset[int] = frozenset()  # accounts whose 划转权限 is on
    linked: frozenset[tuple[int, int]] = frozenset()  # (depositor, receiver)
    needs_second_operator: frozenset[int] = frozenset()  # accounts
    notices: Mapping[int, Notice] = field(default_factory=dict)
    sources: Mapping[int, Source] = field(default_factory=dict)  # by line
    lacking_documents: frozenset[int] = frozenset()  # cases without a required attachment
    duplicate_uscc: frozenset[int] = frozenset()  # cases that propose another account's credit code
    # (account, instrument, category) -> number of the issuance, approved or pending
    issued: dict[tuple[int, int, str], str] = field(default_factory=dict)
    chain: Chain = field(default_factory=Chain)
    categories: frozenset[tuple[str, str]] = frozenset()  # (kind, category) in force today
    # About decisions on notices: those in force, and who decides already, by (account, year, sector), those
    # in force also by the notice named, or 0; years and sectors with a plan in force; the sectors an
    # account was in since a year began.
    standing: Mapping[tuple[int, int, str, int], Standing] = field(default_factory=dict)
    notices_under_review: dict[tuple[int, int, str], str] = field(default_factory=dict)
    planned: frozenset[tuple[int, str]] = frozenset()
    account_sectors: frozenset[tuple[int, int, str]] = frozenset()
    # About decisions on plans: their latest versions and what rests on them, and who decides already.
    plans: Mapping[tuple[int, str], PlanFacts] = field(default_factory=dict)
    plans_under_review: dict[tuple[int, str], str] = field(default_factory=dict)
    carry_overs: CarryOvers = field(default_factory=CarryOvers)
    sectors: Mapping[str, Any] = field(default_factory=dict)  # code -> title, those in force today
    differences: Mapping[int, int] = field(default_factory=dict)  # open ones -> account
    # (account, package with trades of its) -> until when its statement may be objected to
    objectionable: Mapping[tuple[int, int], datetime] = field(default_factory=dict)
    packages: Mapping[int, Package] = field(default_factory=dict)  # of trades to be settled, by id
    # About machine clients: the client of each key, by thumbprint; whether the key of a (client, kid)
    # stands; whose each client is, a venue by its code (`machines.owner_of`).
    machine_keys: Mapping[str, str] = field(default_factory=dict)
    machine_key_ids: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    machine_owners: Mapping[str, str] = field(default_factory=dict)
    banking: Banking = field(default_factory=Banking)
    courts: Courts = field(default_factory=Courts)
    pledges: Pledges = field(default_factory=Pledges)
    allocation: AllocationFacts = field(default_factory=AllocationFacts)
    revocable: Mapping[str, Any] = field(default_factory=dict)  # number -> Revocable
    offset: Offsets = field(default_factory=Offsets)
    bank_differences: frozenset[int] = frozenset()  # open ones, by event
    defaults: Mapping[int, Default] = field(default_factory=dict)  # of buyers, open ones, by id
    memberships: Mapping[int, Sequence[Membership]] = field(default_factory=dict)  # by account
    life: Life = field(default_factory=Life)

    def name(self, instrument_id: int) -> str:
        """Return an instrument's name as people know it."""
        return str(self.instruments.get(instrument_id, instrument_id))

    def amount(self, instrument_id: int, quantity: int) -> str:
        """Return a line's quantity as people read it: tonnes, or yuan where it is money in fen."""
        return written(quantity, is_money=instrument_id in self.money)


@dataclass(frozen=True, slots=True)
class Violation:
    """The field that violates a rule, and the figures of its message."""

    field: str = ""
    values: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; ``check`` returns the case's Violation, or None.

    A check that deducts quantities from the facts does so on success; such a rule comes last.
    """

    code: str
    message: Any
    check: Callable[[Case, Facts], Violation | None]
    at: tuple[Action, ...] = SUBMISSION
    error: type[RuleError] = RuleError

    def require(self, case: Case, facts: Facts) -> None:
        """Raise the rule's error where the case violates it."""
        violation = self.check(case, facts)
        if violation is not None:
            message = str(self.message)
            if violation.values:
                message %= violation.values
            raise self.error(message, field=violation.field, code=self.code)


def _when(condition: bool, field: str = "", **values: Any) -> Violation | None:
    return Violation(field, values) if condition else None


# Every application -------------------------------------------------------------------------

ACCOUNT_STANDS = Rule(
    "account_closed",
    _("The account is closed; nothing can be applied for any more"),
    lambda case, facts: _when(case.account_id in facts.life.closed),
    at=BOTH,
    error=NotAllowed,
)


def has_right(right: str) -> Rule:
    """Return the rule that the account's class has a right on the day of submission (rules-2026 N125)."""

    def lacks(case: Case, facts: Facts) -> Violation | None:
        rights = facts.life.rights.get(case.account_id)
        if rights is None or right in rights:
            return None
        named = CLASSES[facts.life.classes[case.account_id]]
        return Violation("", {"class": str(named), "right": str(RIGHTS[right])})

    return Rule(
        "class_lacks_right",
        _("Accounts of the class %(class)s do not have the right: %(right)s"),
        lacks,
        error=NotAllowed,
    )


HAS_LINES = Rule(
    "no_lines",
    _("Choose at least one instrument"),
    lambda case, facts: _when(not case.lines, "lines"),
)
HAS_REASON = Rule(
    "reason_missing",
    _("Enter the reason for the application"),
    lambda case, facts: _when(not case.reason.strip(), "reason"),
)
HAS_CATEGORY = Rule(
    "category_missing",
    _("Choose one of the types offered"),
    lambda case, facts: _when((case.kind, case.category) not in facts.categories, "category"),
)
NOT_RESTRICTED = Rule(
    "account_restricted",
    _("The account is restricted; transfers and other debits are refused"),
    lambda case, facts: _when(case.account_id in facts.restricted),
    at=BOTH,
    error=NotAllowed,
)


IS_RECONCILED = Rule(
    "unreconciled",
    _(
        "Registry and exchange differ about this account; transfers and other debits are refused until"
        " two officers have resolved it"
    ),
    lambda case, facts: _when(case.account_id in facts.differing),
    at=BOTH,
    error=NotAllowed,
)


def measured(in_money: bool) -> Rule:
    """Return the rule that every line is of money, or that none is."""

    def other(case: Case, facts: Facts) -> Violation | None:
        for line in case.lines:
            if (line.instrument_id in facts.money) is not in_money:
                name = facts.name(line.instrument_id)
                return Violation(f"lines.{line.key}.quantity", {"instrument": name})
        return None

    message = (
        _("%(instrument)s is no money") if in_money else _("%(instrument)s is money, not tonnes")
    )
    return Rule("not_money" if in_money else "not_tonnes", message, other)


def takes(bucket: Bucket, holder: Callable[[Case, Line], int]) -> Rule:
    """Return the rule that the bucket of the line's holder covers it; it deducts all lines or none."""

    def check(case: Case, facts: Facts) -> Violation | None:
        left: dict[tuple[int, int, Bucket], int] = {}
        for line in case.lines:
            key = (holder(case, line), line.instrument_id, bucket)
            left[key] = left.get(key, facts.holdings.get(key, 0)) - line.quantity
            if left[key] < 0:
                return _violation_of(line, facts, left[key] + line.quantity)
        facts.holdings |= left
        return None

    return Rule(
        "insufficient_quantity",
        _("%(instrument)s: %(quantity)s asked for, but only %(left)s are available"),
        check,
        error=InsufficientQuantity,
    )


# Authorities' documents --------------------------------------------------------------------

HAS_DOCUMENT = Rule(
    "document_missing",
    _("Enter the number of the authority's document"),
    lambda case, facts: _when(not case.document_no.strip(), "document_no"),
)
HAS_AUTHORITY = Rule(
    "authority_missing",
    _("Enter the authority that decided"),
    lambda case, facts: _when(not case.authority.strip(), "authority"),
)
HAS_START = Rule(
    "start_missing",
    _("Enter the date from which it holds"),
    lambda case, facts: _when(case.starts_on is None, "starts_on"),
)
HAS_TERM = Rule(
    "term_missing",
    _("Enter the date until which it holds, not before the first"),
    lambda case, facts: _when(
        case.ends_on is None or (case.starts_on is not None and case.ends_on < case.starts_on),
        "ends_on",
    ),
)


def is_beyond(start: date | None, end: date | None, years: int) -> bool:
    """Tell whether a term is longer than so many years, to the day."""
    if start is None or end is None:
        return False
    return (end.year, end.month, end.day) > (start.year + years, start.month, start.day)


# domain.md R118: a freeze of more than three years is refused.
TERM_IS_BOUNDED = Rule(
    "term_too_long",
    _("A freeze holds for at most three years; a longer one is renewed by a new document"),
    lambda case, facts: _when(
        is_beyond(case.starts_on, case.ends_on, LONGEST_FREEZE_YEARS), "ends_on"
    ),
)


# Drawing on earlier applications -----------------------------------------------------------


def draws_on(kind: str) -> Rule:
    """Return the rule that each line draws on an approved line of that kind, within its remainder."""

    def check(case: Case, facts: Facts) -> Violation | None:
        left: dict[int, int] = {}
        for line in case.lines:
            source = facts.sources.get(line.source_line_id or 0)
            fits = source is not None and (
                source.kind == kind
                and source.is_approved
                and source.account_id == case.account_id
                and source.instrument_id == line.instrument_id
            )
            if source is None or not fits:
                return _violation_of(line, facts, 0)
            key = line.source_line_id or 0
            before = left.get(key, source.left)
            left[key] = before - line.quantity
            if left[key] < 0:
                return _violation_of(line, facts, before)
        for key, rest in left.items():
            facts.sources[key].left = rest
        return None

    return Rule(
        "more_than_left",
        _(
            "%(instrument)s: %(quantity)s asked for, but only %(left)s are left of the document they"
            " are drawn from"
        ),
        check,
        error=InsufficientQuantity,
    )


def _violation_of(line: Line, facts: Facts, left: int) -> Violation:
    return Violation(
        f"lines.{line.key}.quantity",
        {
            "instrument": facts.name(line.instrument_id),
            "quantity": facts.amount(line.instrument_id, line.quantity),
            "left": facts.amount(line.instrument_id, left),
        },
    )


# Receivers ---------------------------------------------------------------------------------


def _unlinked(case: Case, facts: Facts) -> Violation | None:
    for line in case.lines:
        if line.account_id is None or (case.account_id, line.account_id) not in facts.linked:
            return Violation(f"lines.{line.key}.quantity")
    return None


RECEIVERS_ARE_LINKED = Rule(
    "receiver_not_linked",
    _("The receiving enterprise is not linked with yours; the registry links the two first"),
    _unlinked,
    at=BOTH,
    error=NotAllowed,
)
