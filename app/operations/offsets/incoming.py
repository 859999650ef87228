"""Messages of the CCER registry: bindings asked for, units frozen or reported, releases asked for.

Each is taken once: repeated, it has the same answer; with other content under its number it is refused
and the officers are told (rules-2026 N88).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from app.domain.compliance.offsets import (
    BINDING,
    CONFIRMED,
    CONTRADICTION,
    FREEZE,
    IN,
    OLD_STOCK_BEFORE,
    REPORT,
    MessageState,
)
from app.domain.errors import RuleError
from app.extensions import db, violated
from app.models import Account, OffsetBinding, OffsetMessage, OffsetMessageEvent, OffsetUnit
from app.operations.offsets import letters
from app.operations.offsets.exchange import Incoming, Reply, UnitFacts
from app.operations.records import log
from app.operations.records.actor import CCER

LONGEST_REASON = 300
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(7260090)")


def receive(item: Incoming, *, now: datetime) -> Reply:
    """Carry out a message of the CCER registry, once, and return our answer."""
    db.session.execute(_ONE_AT_A_TIME)
    known = _known(item.number)
    if known is not None:
        return _again(known, item, now)
    try:
        with db.session.begin_nested():
            made = _carry_out(item, now)
    except RuleError as error:
        _keep(item, now, _Made(), str(error))
        log.record(CCER, "offset.refuse", subject=item.number, result="refused", reason=str(error))
        letters.tell_officers(
            _("A message of the CCER registry was refused"),
            _("%(number)s: %(reason)s", number=item.number, reason=str(error)),
            key=f"offset:refused:{item.number}",
        )
        return Reply(False, str(error))
    _keep(item, now, made, "")
    log.record(
        CCER, f"offset.{item.kind}", subject=item.number, account_id=made.account_id,
        quantity=made.quantity, serial=item.serial or made.serial,
    )  # fmt: skip
    return Reply(True)


@dataclass(slots=True)
class _Made:
    """What a message was about."""

    account_id: int | None = None
    unit_id: int | None = None
    binding_id: int | None = None
    quantity: int | None = None
    serial: str = ""


def _known(number: str) -> OffsetMessage | None:
    mine = select(OffsetMessage).where(
        OffsetMessage.direction == IN, OffsetMessage.number == number
    )
    return db.session.scalars(mine.execution_options(populate_existing=True)).one_or_none()


def _again(known: OffsetMessage, item: Incoming, now: datetime) -> Reply:
    """Answer a repeated message as before; refuse it where it says something else."""
    first = db.session.scalars(
        select(OffsetMessageEvent.content)
        .where(OffsetMessageEvent.message_id == known.id, OffsetMessageEvent.what != CONTRADICTION)
        .order_by(OffsetMessageEvent.id)
        .limit(1)
    ).one()
    if first == item.content:
        return Reply(known.state == MessageState.DONE, known.reason)
    reason = _("Message %(number)s says something else than before", number=item.number)
    _note(known.id, CONTRADICTION, reason, item.content, now)
    log.record(CCER, "offset.contradiction", subject=item.number, result="refused", reason=reason)
    digest = hashlib.sha256(item.content.encode()).hexdigest()[:16]
    letters.tell_officers(
        _("A message of the CCER registry contradicts an earlier one"),
        reason,
        key=f"offset:contradiction:{item.number}:{digest}",
    )
    return Reply(False, reason)


def _keep(item: Incoming, now: datetime, made: _Made, reason: str) -> None:
    state = MessageState.REFUSED if reason else MessageState.DONE
    message_id = db.session.execute(
        insert(OffsetMessage)
        .values(
            direction=IN, number=item.number, kind=item.kind, account_id=made.account_id,
            unit_id=made.unit_id, binding_id=made.binding_id, state=str(state),
            quantity=item.unit.quantity if item.unit else made.quantity,
            reason=reason[:LONGEST_REASON], due_at=now, created_at=now, changed_at=now,
        )
        .returning(OffsetMessage.id)
    ).scalar_one()  # fmt: skip
    _note(message_id, str(state), reason, item.content, now)


def _note(message_id: int, what: str, reason: str, content: str, now: datetime) -> None:
    db.session.execute(
        insert(OffsetMessageEvent).values(
            message_id=message_id, what=what, source="notice", reason=reason[:LONGEST_REASON],
            content=content, at=now,
        )
    )  # fmt: skip


def _carry_out(item: Incoming, now: datetime) -> _Made:
    if item.kind == BINDING:
        return _ask_binding(item, now)
    binding = _binding(item)
    if item.kind in (FREEZE, REPORT) and item.unit is not None:
        return _mirror(item, item.unit, binding, now)
    return _unfreeze(item, binding, now)


def _ask_binding(item: Incoming, now: datetime) -> _Made:
    """Keep a binding that was started there, for the enterprise to answer."""
    account_id = db.session.scalar(
        select(Account.id).where(Account.uscc == item.uscc, Account.kind == "enterprise")
    )
    if account_id is None:
        raise RuleError(
            _("No account here has the unified social credit code %(uscc)s", uscc=item.uscc),
            code="uscc_unknown",
        )
    made = _Made(account_id)
    try:
        with db.session.begin_nested():
            made.binding_id = db.session.execute(
                insert(OffsetBinding)
                .values(
                    ccer_account=item.ccer_account, account_id=account_id, uscc=item.uscc,
                    name=item.name, asked_at=now,
                )
                .returning(OffsetBinding.id)
            ).scalar_one()  # fmt: skip
    except IntegrityError as error:
        if violated(error) not in ("one_binding_an_account", "one_binding_a_ccer_account"):
            raise
        raise RuleError(
            _(
                "One of the two accounts is bound already, or about to be; they are bound one to one"
            ),
            code="bound_already",
        ) from error
    letters.tell_enterprise(
        account_id,
        _("A CCER account asks to be bound to yours"),
        _("CCER account %(account)s asks to be bound. Please confirm or decline it under CCER account"
          " binding", account=item.ccer_account),
        key=f"offset:binding:{item.number}",
    )  # fmt: skip
    return made


def _binding(item: Incoming) -> OffsetBinding:
    """Return the confirmed binding that a message goes by.  Raises RuleError."""
    found = select(OffsetBinding).where(
        OffsetBinding.ccer_account == item.ccer_account,
        OffsetBinding.uscc == item.uscc,
        OffsetBinding.state == CONFIRMED,
    )
    binding = db.session.scalars(found).one_or_none()
    if binding is None:
        raise RuleError(
            _("CCER account %(account)s is not bound to an account of %(uscc)s here",
              account=item.ccer_account, uscc=item.uscc),
            code="ccer_not_bound",
        )  # fmt: skip
    return binding


def _mirror(item: Incoming, unit: UnitFacts, binding: OffsetBinding, now: datetime) -> _Made:
    is_report = item.kind == REPORT
    if is_report and unit.registered_on >= OLD_STOCK_BEFORE:
        raise RuleError(
            _("Only CCER recorded before %(day)s is cancelled first and then reported; this one was"
              " registered on %(registered)s",
              day=OLD_STOCK_BEFORE, registered=unit.registered_on),
            code="not_old_stock",
        )  # fmt: skip
    made = _Made(binding.account_id, quantity=unit.quantity)
    values = {name: getattr(unit, name) for name in UnitFacts.__slots__}
    try:
        with db.session.begin_nested():
            made.unit_id, made.serial = db.session.execute(
                insert(OffsetUnit)
                .values(
                    **values, account_id=binding.account_id, is_cancelled_before=is_report,
                    received_at=now, changed_at=now,
                )
                .returning(OffsetUnit.id, OffsetUnit.serial)
            ).one()  # fmt: skip
    except IntegrityError as error:
        raise _wrong_unit(violated(error), unit, error) from error
    return made


def _wrong_unit(constraint: str | None, unit: UnitFacts, error: IntegrityError) -> Exception:
    block = f"{unit.project_no}-{unit.first_serial}~{unit.last_serial}"
    if constraint == "offset_serials_once":
        return RuleError(
            _("Serials of %(block)s are mirrored here already", block=block), code="serials_twice"
        )
    if constraint == "offset_unit_is_bound":  # It ended meanwhile.
        return RuleError(_("%(block)s: the account is not bound any more", block=block),
                         code="ccer_not_bound")  # fmt: skip
    if constraint in ("offset_unit_quantity", "offset_unit_period"):
        return RuleError(
            _("%(block)s: serials, quantity %(quantity)s and period do not fit together",
              block=block, quantity=f"{unit.quantity:,}"),
            code="unit_malformed",
        )  # fmt: skip
    return error


def _unfreeze(item: Incoming, binding: OffsetBinding, now: datetime) -> _Made:
    """Let go of a unit whose holder asked for it there, while no application has it."""
    unit = db.session.scalars(
        select(OffsetUnit)
        .where(OffsetUnit.serial == item.serial, OffsetUnit.account_id == binding.account_id)
        .order_by(OffsetUnit.id.desc())
        .limit(1)
    ).one_or_none()
    # The account first, as applications of the enterprise have it.
    db.session.execute(
        select(Account.id).where(Account.id == binding.account_id).with_for_update(key_share=True)
    )
    if unit is None or not db.session.scalar(_UNFREEZE, {"unit": unit.id, "at": now}):
        raise RuleError(
            _(
                "%(serial)s does not wait for offset here; it cannot be released",
                serial=item.serial,
            ),
            code="unit_taken",
        )
    return _Made(unit.account_id, unit.id, quantity=unit.quantity)


_UNFREEZE = text("SELECT unfreeze_offset_unit(:unit, :at)")
