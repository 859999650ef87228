"""银行账户绑定: the one bank account of a participant's own name (rules-2026 N145)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import BigInteger, select

from app.domain.errors import RuleError
from app.domain.workflow import Case
from app.extensions import db
from app.models import BankBinding, BankBindingAnswer, SettlementBank
from app.models.encrypted import decrypt, encrypt
from app.operations.accounts import details
from app.operations.records import log
from app.operations.records.actor import Actor
from app.operations.records.columns import typed

_CONTEXT = "bank_binding.bank_account"
_CARRY_OUT = typed("SELECT carry_out_bindings(:ids)", ids=BigInteger)


@dataclass(frozen=True, slots=True)
class Bound:
    """A binding in force; ``bank_account`` is the number in clear."""

    id: int
    bank_id: int
    bank: str
    bank_name: str
    instrument_id: int
    holder_name: str
    bank_account: str
    withdrawals_from: date
    is_confirmed: bool | None  # by the bank; None: it has not answered
    refusal: str = ""

    @property
    def ending(self) -> str:
        """The last digits, by which people know the account."""
        return self.bank_account[-4:]

    @property
    def proposal(self) -> dict[str, Any]:
        """What a deposit or withdrawal says of it, for its signature."""
        return {
            "binding": self.id,
            "bank": self.bank,
            "bank_name": self.bank_name,
            "holder_name": self.holder_name,
            "account_ending": self.ending,
        }


def current(account_id: int) -> Bound | None:
    """Return the binding in force of an account, or None."""
    row = db.session.execute(
        select(BankBinding, SettlementBank, BankBindingAnswer)
        .join(SettlementBank, SettlementBank.id == BankBinding.bank_id)
        .outerjoin(BankBindingAnswer, BankBindingAnswer.binding_id == BankBinding.id)
        .where(BankBinding.account_id == account_id, BankBinding.ended_at.is_(None))
    ).one_or_none()
    if row is None:
        return None
    binding, bank, answer = row
    return Bound(
        binding.id, bank.id, bank.code, bank.name, bank.instrument_id,
        binding.holder_name, binding.bank_account, binding.withdrawals_from,
        answer and answer.is_confirmed, answer.reason if answer else "",
    )  # fmt: skip


def propose(bank: str, bank_name: str, holder_name: str, bank_account: str) -> dict[str, Any]:
    """Return what an application for a binding proposes, the number encrypted.

    Raises RuleError for a malformed number.
    """
    found, wrong = details.read({"bank_account": bank_account})
    if wrong or not found["bank_account"]:
        message = wrong.get("bank_account") or _("Please fill this in")
        raise RuleError(message, field="bank_account", code="bank_account_wrong")
    number = found["bank_account"]
    return {
        "bank": bank,
        "bank_name": bank_name,
        "holder_name": holder_name.strip(),
        "account_no": encrypt(number, _CONTEXT),
        "account_ending": number[-4:],
    }


def proposed(proposal: Mapping[str, Any]) -> dict[str, str]:
    """Return the number that a proposal binds, in clear; nothing where it binds none."""
    stored = proposal.get("account_no")
    return {"account_no": decrypt(stored, _CONTEXT)} if stored else {}


def carry_out(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Bind what two officers have approved; the earlier binding of the account ends."""
    db.session.execute(_CARRY_OUT, {"ids": [case.id for case in cases]})
    for case in cases:
        log.record(
            actor,
            "bank.bind",
            subject=case.number,
            account_id=case.account_id,
            bank=case.proposal["bank"],
            account_ending=case.proposal["account_ending"],
        )
