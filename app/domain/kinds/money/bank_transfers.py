"""资金: 入金, 出金 and 银行账户绑定 (docs/adr/0077; rules-2026 N142-N145)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.errors import NotAllowed
from app.domain.kinds.base import Kind
from app.domain.kinds.rules import BOTH, IS_RECONCILED, NOT_RESTRICTED, Facts, Rule, Violation
from app.domain.money import yuan
from app.domain.moves import ISSUANCE_ACCOUNT_ID, Bucket
from app.domain.workflow import Action, Case, Party


def _line(case: Case, name: str = "quantity") -> str:
    return f"lines.{case.lines[0].key}.{name}" if case.lines else ""


def _unbound(case: Case, facts: Facts) -> Violation | None:
    binding = facts.banking.bindings.get(case.account_id)
    if binding is None or case.proposal.get("binding") != binding.id:
        return Violation(_line(case))
    others = [line for line in case.lines if line.instrument_id != binding.instrument_id]
    return Violation(_line(case)) if others else None


def _unconfirmed(case: Case, facts: Facts) -> Violation | None:
    binding = facts.banking.bindings.get(case.account_id)
    return Violation(_line(case)) if binding and not binding.is_confirmed else None


def _too_early(case: Case, facts: Facts) -> Violation | None:
    binding = facts.banking.bindings.get(case.account_id)
    if binding is None or facts.moment.day >= binding.withdrawals_from:
        return None
    return Violation(_line(case), {"day": binding.withdrawals_from.isoformat()})


def _total(case: Case) -> int:
    return sum(line.quantity for line in case.lines)


def _above(case: Case, limit: int) -> Violation | None:
    if _total(case) <= limit:
        return None
    return Violation(_line(case), {"limit": yuan(limit), "asked": yuan(_total(case))})


def _above_of_the_day(case: Case, facts: Facts) -> Violation | None:
    """Add the amount to what the account asks for today, or refuse it."""
    banking, before = facts.banking, facts.banking.paid_out.get(case.account_id, 0)
    if before + _total(case) > banking.most_a_day:
        figures = {"limit": banking.most_a_day, "before": before, "asked": _total(case)}
        return Violation(_line(case), {name: yuan(fen) for name, fen in figures.items()})
    banking.paid_out[case.account_id] = before + _total(case)
    return None


def _on_its_way(case: Case, facts: Facts) -> Violation | None:
    return Violation("") if case.id in facts.banking.sent else None


def _elsewhere(case: Case, facts: Facts) -> Violation | None:
    """A withdrawal goes back to its bank: the counter account's side (docs/adr/0077)."""
    wrong = [line for line in case.lines if line.account_id != ISSUANCE_ACCOUNT_ID]
    return Violation(_line(case)) if wrong else None


def _bank_unknown(case: Case, facts: Facts) -> Violation | None:
    is_known = case.proposal.get("bank") in facts.banking.banks
    return None if is_known else Violation("bank")


def _other_name(case: Case, facts: Facts) -> Violation | None:
    own = facts.banking.names.get(case.account_id, "")
    typed = str(case.proposal.get("holder_name", ""))
    return None if typed == own else Violation("holder_name", {"typed": typed, "own": own})


def _under_way(case: Case, facts: Facts) -> Violation | None:
    return Violation("bank") if case.account_id in facts.banking.moving else None


def _moves_money(case: Case, facts: Facts) -> Violation | None:
    binding = facts.banking.bindings.get(case.account_id)
    if binding is None or binding.bank == case.proposal.get("bank"):
        return None
    return Violation("bank") if case.account_id in facts.banking.holding else None


def _owes(case: Case, facts: Facts) -> Violation | None:
    owed = facts.banking.owed.get(case.account_id, {})
    return Violation(_line(case), {"owed": yuan(sum(owed.values()))}) if owed else None


def _owes_there(case: Case, facts: Facts) -> Violation | None:
    """A deposit at the bank where money is owed pays it: that bank alone may be bound."""
    owed = facts.banking.owed.get(case.account_id, {})
    if owed.keys() <= {case.proposal.get("bank")}:
        return None
    return Violation("bank", {"owed": yuan(sum(owed.values()))})


IS_BOUND = Rule(
    "not_bound",
    _("Bind a bank account first; money moves between it and the registry alone"),
    _unbound,
)
IS_CONFIRMED = Rule(
    "binding_unconfirmed",
    _("The bank has not confirmed the bound bank account yet"),
    _unconfirmed,
)
# N145 [I]: no withdrawal until the working day after a binding.
HAS_WAITED = Rule(
    "binding_too_new",
    _("The bank account was bound newly: withdrawals are possible from %(day)s on"),
    _too_early,
)
DEPOSIT_LIMIT = Rule(
    "deposit_above_limit",
    _("A deposit is at most %(limit)s yuan; this is %(asked)s yuan"),
    lambda case, facts: _above(case, facts.banking.largest_deposit),
)
WITHDRAWAL_LIMIT = Rule(
    "withdrawal_above_limit",
    _("A withdrawal is at most %(limit)s yuan; this is %(asked)s yuan"),
    lambda case, facts: _above(case, facts.banking.largest_withdrawal),
)
# domain.md R58, N143: what comes in pays receivables first.
OWES_NOTHING = Rule(
    "receivable_open",
    _("A receivable of %(owed)s yuan is open; money can be withdrawn once it is paid"),
    _owes,
)
STAYS_WHILE_OWING = Rule(
    "receivable_at_bank",
    _("A receivable of %(owed)s yuan is open; another bank can be bound once it is paid"),
    _owes_there,
    at=BOTH,
)
DAY_LIMIT = Rule(
    "withdrawals_above_limit_of_day",
    _(
        "At most %(limit)s yuan can be withdrawn a day; %(before)s yuan were asked for today already,"
        " and this is %(asked)s yuan"
    ),
    _above_of_the_day,
)
GOES_TO_THE_BANK = Rule(
    "not_to_the_bank", _("Money is withdrawn to the bound bank account alone"), _elsewhere
)
# What a bank may have carried out cannot be taken back; its outcome is asked for (N143).
NOT_SENT_YET = Rule(
    "sent_to_bank",
    _("It is on its way to the bank and can no longer be withdrawn"),
    _on_its_way,
    at=(Action.WITHDRAW,),
    error=NotAllowed,
)
BANK_IS_KNOWN = Rule("bank_unknown", _("Choose one of the settlement banks"), _bank_unknown)
# N145 [L]: own account only.
OWN_NAME = Rule(
    "not_own_name",
    _(
        "Only a bank account in the enterprise's own name can be bound: its holder is %(typed)s, the"
        " registry account is in the name of %(own)s"
    ),
    _other_name,
    at=BOTH,
)
# Money at one bank is not moved to another by a binding.
MONEY_STAYS = Rule(
    "money_at_bank",
    _("There is money at the bank bound so far: withdraw it before another bank is bound"),
    _moves_money,
    at=BOTH,
)
NOTHING_MOVES = Rule(
    "transfer_under_way",
    _("A deposit or withdrawal is under way; bind another bank account once it has ended"),
    _under_way,
    at=BOTH,
)


class Deposit(Kind):
    """入金: from the bound bank account to 可用, once the bank has said that it is done."""

    code = "deposit"
    title = _("Deposit of money")
    prefix = "RJ"
    also_started_by = Party.BANK
    reviews = (Party.BANK,)
    settles = (Bucket.ISSUED, Bucket.AVAILABLE)
    in_money = True
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (IS_BOUND, IS_CONFIRMED, DEPOSIT_LIMIT, NOT_SENT_YET)


class Withdrawal(Kind):
    """出金: 可取 is held on submission and leaves once the bank has said that it is done.

    A restriction stops the submission, not what a bank has paid already.
    """

    code = "withdrawal"
    title = _("Withdrawal of money")
    prefix = "CJ"
    reviews = (Party.BANK,)
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.ISSUED)
    in_money = True
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (
        replace(NOT_RESTRICTED, at=(Action.SUBMIT,)),
        replace(IS_RECONCILED, at=(Action.SUBMIT,)),
        OWES_NOTHING,
        IS_BOUND,
        IS_CONFIRMED,
        HAS_WAITED,
        GOES_TO_THE_BANK,
        WITHDRAWAL_LIMIT,
        DAY_LIMIT,
        NOT_SENT_YET,
    )


class BankBindingApplication(Kind):
    """银行账户绑定: an account of the enterprise's own name, reviewed by two officers."""

    code = "bank_binding"
    title = _("Binding of a bank account")
    prefix = "BD"
    reviews = (Party.REGISTRY, Party.REGISTRY)
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (
        BANK_IS_KNOWN, OWN_NAME, MONEY_STAYS, STAYS_WHILE_OWING, NOTHING_MOVES,
    )  # fmt: skip
